// SPDX-License-Identifier: GPL-2.0-only
#include "user/decode/decode.h"

#include <stddef.h>
#include <string.h>

static int decode_wait(struct decode_handler *h, const void *data)
{
	struct hu_wait_record rec;

	memcpy(&rec, data, sizeof(rec));
	/* What time and counting promise; a record that breaks it is no record of ours. */
	if (!rec.tgid || !rec.tid || !rec.sleeps || rec.end_ns < rec.start_ns ||
	    rec.blocked_ns > rec.end_ns - rec.start_ns ||
	    rec.runq_ns > rec.end_ns - rec.start_ns - rec.blocked_ns) {
		h->bad++;
		return 0;
	}
	rec.comm[HU_COMM_LEN - 1] = '\0';
	return h->wait(h->ctx, &rec);
}

static int decode_process(struct decode_handler *h, const void *data)
{
	struct hu_proc_record rec;

	memcpy(&rec, data, sizeof(rec));
	if (!rec.tgid) {
		h->bad++;
		return 0;
	}
	rec.comm[HU_COMM_LEN - 1] = '\0';
	return h->process(h->ctx, &rec);
}

static int decode_holder(struct decode_handler *h, const void *data)
{
	struct hu_holder_record rec;

	memcpy(&rec, data, sizeof(rec));
	if (!rec.tgid || !rec.tid || !h->holder) {
		h->bad++;
		return 0;
	}
	rec.comm[HU_COMM_LEN - 1] = '\0';
	return h->holder(h->ctx, &rec);
}

/* Large, so not copied: data is aligned as the ring aligns its records. */
static int decode_stack(struct decode_handler *h, const void *data)
{
	const struct hu_stack_record *rec = data;

	if (!rec->tgid || rec->len > rec->hdr.size - offsetof(struct hu_stack_record, data) ||
	    !rec->stack_id || !h->stack) {
		h->bad++;
		return 0;
	}
	return h->stack(h->ctx, rec);
}

static int decode_birth(struct decode_handler *h, const void *data)
{
	struct hu_birth_record rec;

	memcpy(&rec, data, sizeof(rec));
	if (!rec.tgid || !rec.tid || rec.tid == rec.tgid || !h->birth) {
		h->bad++;
		return 0;
	}
	rec.comm[HU_COMM_LEN - 1] = '\0';
	return h->birth(h->ctx, &rec);
}

static int decode_death(struct decode_handler *h, const void *data)
{
	struct hu_death_record rec;

	memcpy(&rec, data, sizeof(rec));
	if (!rec.tgid || !rec.tid || !h->death) {
		h->bad++;
		return 0;
	}
	rec.comm[HU_COMM_LEN - 1] = '\0';
	return h->death(h->ctx, &rec);
}

static int decode_call(struct decode_handler *h, const void *data)
{
	struct hu_pthread_record rec;

	memcpy(&rec, data, sizeof(rec));
	if (!rec.tgid || !rec.tid || rec.what < HU_PTHREAD_JOIN || rec.what > HU_PTHREAD_CANCEL ||
	    !h->call) {
		h->bad++;
		return 0;
	}
	return h->call(h->ctx, &rec);
}

int decode__record(void *handler, const void *data, size_t sz)
{
	struct decode_handler *h = handler;
	struct hu_record head;

	if (sz < sizeof(head)) {
		h->bad++;
		return 0;
	}
	memcpy(&head, data, sizeof(head));
	/* The ring rounds sizes up to eight bytes; the record says its own. */
	if (head.size > sz) {
		h->bad++;
		return 0;
	}
	switch (head.kind) {
	case HU_REC_WAIT:
		if (head.size == sizeof(struct hu_wait_record))
			return decode_wait(h, data);
		break;
	case HU_REC_HOLDER:
		if (head.size == sizeof(struct hu_holder_record))
			return decode_holder(h, data);
		break;
	case HU_REC_STACK:
		if (head.size == sizeof(struct hu_stack_record) || head.size == HU_RAW_SHORT_SZ)
			return decode_stack(h, data);
		break;
	case HU_REC_BIRTH:
		if (head.size == sizeof(struct hu_birth_record))
			return decode_birth(h, data);
		break;
	case HU_REC_DEATH:
		if (head.size == sizeof(struct hu_death_record))
			return decode_death(h, data);
		break;
	case HU_REC_PTHREAD:
		if (head.size == sizeof(struct hu_pthread_record))
			return decode_call(h, data);
		break;
	case HU_REC_SEEN:
	case HU_REC_EXEC:
	case HU_REC_EXIT:
	case HU_REC_RESCAN:
		if (head.size == sizeof(struct hu_proc_record))
			return decode_process(h, data);
		break;
	}
	h->bad++;
	return 0;
}

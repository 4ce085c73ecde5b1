// SPDX-License-Identifier: GPL-2.0-only
/* Why a thread was off the CPU, in words. */
#include <errno.h>
#include <string.h>

#include "bpf/wait.h"
#include "user/model/holders.h"
#include "user/model/locks_build.h"
#include "user/model/offcpu_build.h"
#include "user/target/kind.h"

#define FUTEX_CMD_MASK 127 /* include/uapi/linux/futex.h */

/* A page fault within a call: x86's entry, and arm64's (arch/arm64/mm/fault.c). */
static const char *const fault_functions[] = { "exc_page_fault",   "do_user_addr_fault",
					       "do_page_fault",	   "do_mem_abort",
					       "handle_userfault", NULL };
/* cgroup freezer (kernel/signal.c), and suspending (kernel/freezer.c) */
static const char *const frozen_functions[] = { "do_freezer_trap", "__refrigerator",
						"cgroup_enter_frozen", NULL };
static const char *const memory_functions[] = { "mem_cgroup_handle_over_high", NULL };

static void set(struct off_place *p, const char *category, const char *text)
{
	p->category = category;
	p->reason = p->general = text;
}

static void classify(struct off_builder *b, const struct off_site *site, const struct off_place *p,
		     struct target_wait *ret)
{
	struct hu_wait_record rec = {
		.uaddr = HU_REASON_VALUE(site->what.reason),
		.sleeps = 1,
		.op = site->what.args[1] & FUTEX_CMD_MASK,
		.val = site->what.args[2],
		.word = site->what.args[2],
		.flags = site->what.args[1] & HU_FUTEX_PRIVATE ? 0 : HU_WAIT_SHARED,
	};
	struct sym_object object = { .name = "" };
	struct target_site target = { .frames = p->frames, .frame_cnt = p->frame_cnt, .rec = &rec };

	if (p->process && p->process->names)
		symbolizer__object(b->in->symbolizer, p->process->names, rec.uaddr, &object);
	target.symbol = object.name;
	target.symbol_off = object.offset;
	target__classify(&target, ret);
}

/* The lock's variable, or where it is locked. */
static const char *lock_name(struct off_builder *b, const struct target_wait *t,
			     const struct off_place *p)
{
	const struct sym_frame *f = frames__caller(p->frames, p->frame_cnt, t->api);
	struct sym_object object = { .name = "" };

	if (t->object && p->process && p->process->names)
		symbolizer__object(b->in->symbolizer, p->process->names, t->object, &object);
	if (*object.name && !t->known_as_label)
		return object.offset ? off_builder__text(b, "%s+0x%llx", object.name,
							 (unsigned long long)object.offset)
				     : object.name;
	if (*t->label)
		return t->label;
	if (f && *f->function)
		return off_builder__text(b, "in %s", f->function);
	return f ? off_builder__text(b, "in %s+0x%llx", f->module, (unsigned long long)f->offset)
		 : "";
}

static void explain_lock(struct off_builder *b, const struct off_site *site, struct off_place *p)
{
	struct target_wait target;
	const char *kind;

	classify(b, site, p, &target);
	kind = target.kind == LOCK_PARK ? "futex" : lock_kind__name(target.kind);
	p->api = target.api;
	p->idle = target.idle;
	p->category = "lock";
	p->object = lock_name(b, &target, p);
	p->reason = *p->object ? off_builder__text(b, "%s %s", kind, p->object) : kind;
	p->general = p->reason;
}

/* Waits for somebody to come with work. A sleep is the program's own choice, and is listed. */
static bool call_idle(const struct call_wait *w)
{
	switch (w->kind) {
	case CALL_POLL:
	case CALL_SIGNAL:
	case CALL_TERMINAL:
	case CALL_CHILD:
		return true;
	case CALL_EVENT: /* others have asked for I/O, and wait for it */
		return strncmp(w->call, "io_", 3) || !strcmp(w->call, "io_uring_enter");
	case CALL_SOCKET:
		return !strncmp(w->call, "accept", 6);
	default:
		return false;
	}
}

static void explain_call(struct off_builder *b, const struct off_site *site, struct off_place *p)
{
	const struct call_wait *w = b->in->call ? b->in->call(b->in->call_ctx, &site->what) : NULL;
	bool compat = HU_REASON_WHY(site->what.reason) == HU_WHY_CALL32;
	int nr = HU_REASON_NR(site->what.reason);
	const char *name = compat ? NULL : call__name(nr), *kind;

	p->call = w	 ? w->call
		  : name ? name
			 : off_builder__text(b, compat ? "32-bit call %d" : "call %d", nr);
	p->category = !w ? "other" : w->kind == CALL_TIMER ? "sleep" : call_kind__name(w->kind);
	p->object = w ? w->object : "";
	p->idle = w && call_idle(w);
	p->reason = w && *w->what ? off_builder__text(b, "%s %s", p->call, w->what) : p->call;
	kind = w && (w->kind == CALL_FILE || w->kind == CALL_PIPE || w->kind == CALL_SOCKET ||
		     w->kind == CALL_TERMINAL)
		       ? call_kind__name(w->kind)
		       : NULL;
	p->general = kind ? off_builder__text(b, "%s (%s)", p->call, kind) : p->call;
	if (off_kernel__has(&p->kernel, fault_functions)) {
		p->category = "fault";
		p->idle = false;
		p->reason = p->general = off_builder__text(b, "page fault in %s", p->call);
	}
}

int off_place__explain(struct off_builder *b, const struct off_site *site, struct off_place *p)
{
	p->api = -1;
	p->call = p->object = "";
	switch (HU_REASON_WHY(site->what.reason)) {
	case HU_WHY_LOCK:
		p->call = "futex";
		explain_lock(b, site, p);
		break;
	case HU_WHY_CALL:
	case HU_WHY_CALL32:
		explain_call(b, site, p);
		break;
	case HU_WHY_FAULT:
		set(p, "fault", "page fault");
		break;
	case HU_WHY_RECLAIM:
		set(p, "reclaim", "memory reclaim");
		break;
	case HU_WHY_STOPPED:
		set(p, "stopped", "stopped by a signal");
		break;
	case HU_WHY_TRACED:
		set(p, "traced", "stopped by a debugger");
		break;
	case HU_WHY_THROTTLED:
		set(p, "throttled", "throttled by its cgroup");
		break;
	case HU_WHY_RUNNABLE:
		set(p, "preempted", "preempted");
		break;
	case HU_WHY_KERNEL:
		set(p, "exit", "ending");
		break;
	default:
		set(p, "unknown", "unknown");
	}
	if (site->what.flags & HU_OFF_SUMMARY)
		set(p, "summarized", "any (only as totals)");
	if (off_kernel__has(&p->kernel, frozen_functions))
		set(p, "frozen", "frozen with its cgroup");
	if (off_kernel__has(&p->kernel, memory_functions))
		set(p, "reclaim", "over its cgroup's memory.high");
	if (!strcmp(p->category, "frozen") || !strcmp(p->category, "reclaim"))
		p->idle = false;
	return p->reason && p->general && p->call && p->object ? 0 : -ENOMEM;
}

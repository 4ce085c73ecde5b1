// SPDX-License-Identifier: GPL-2.0-only
#include "user/view/json.h"

#include <errno.h>
#include <stdlib.h>

#include "user/util/text.h"

#define ADDRESS_SZ 20

void json__put(struct writer *w, json_t *object, const char *name, json_t *value)
{
	if (!value || json_object_set_new(object, name, value))
		w->failed = true;
}

void json__append(struct writer *w, json_t *array, json_t *value)
{
	if (!value || json_array_append_new(array, value))
		w->failed = true;
}

void json__put_u64(struct writer *w, json_t *object, const char *name, uint64_t value)
{
	json__put(w, object, name, json_integer(value));
}

json_t *json__text(struct writer *w, const char *text)
{
	char *clean = text__escape_dup(text);
	json_t *value = clean ? json_string(clean) : NULL;

	free(clean);
	if (!value)
		w->failed = true;
	return value;
}

void json__put_text(struct writer *w, json_t *object, const char *name, const char *text)
{
	json__put(w, object, name, json__text(w, text));
}

void json__put_address(struct writer *w, json_t *object, const char *name, uint64_t address)
{
	char text[ADDRESS_SZ];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)address);
	json__put(w, object, name, json_string(text));
}

static json_t *frame_json(struct writer *w, const struct sym_frame *f)
{
	json_t *o = json_object();

	json__put_text(w, o, "function", f->function);
	json__put_text(w, o, "module", f->module);
	json__put_address(w, o, "offset", f->offset);
	json__put_text(w, o, "file", f->file);
	json__put_u64(w, o, "line", f->line);
	json__put(w, o, "inlined", json_boolean(f->inlined));
	json__put(w, o, "guessed", json_boolean(f->guessed));
	return o;
}

json_t *json__stack(struct writer *w, const struct sym_frame *frames, size_t cnt)
{
	json_t *stack = json_array();

	for (size_t i = 0; i < cnt; i++)
		json__append(w, stack, frame_json(w, &frames[i]));
	return stack;
}

int json__write(FILE *out, struct writer *w, json_t *doc, const struct view_style *style)
{
	int err = w->failed || !doc ? -ENOMEM : 0;

	if (!err && json_dumpf(doc, out, style->compact ? JSON_COMPACT : JSON_INDENT(2)))
		err = view__flush(out) ? -EIO : -ENOMEM;
	json_decref(doc);
	if (err)
		return err;
	fputc('\n', out);
	return view__flush(out);
}

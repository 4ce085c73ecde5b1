// SPDX-License-Identifier: GPL-2.0-only
#include "user/model/go_names.h"

#include <stdio.h>
#include <string.h>

#define NAME_SZ	   1024
#define INLINE_MAX 32

/* As Go's own tracebacks print generic functions: src/runtime/symtab.go, funcNameForPrint(). */
static const char *readable(struct symbolizer *symbolizer, const char *name)
{
	const char *from = strchr(name, '['), *to = strrchr(name, ']'), *text;
	char shorter[NAME_SZ];

	if (!from || !to || to < from ||
	    snprintf(shorter, sizeof(shorter), "%.*s[...]%s", (int)(from - name), name, to + 1) >=
		    (int)sizeof(shorter))
		return name;
	text = symbolizer__intern(symbolizer, shorter);
	return text ? text : name;
}

static struct sym_frame name_frame(struct symbolizer *symbolizer, const struct go_target *go,
				   const struct go_frame *f, uint64_t pc)
{
	return (struct sym_frame){
		.function = readable(symbolizer, f->function),
		.raw = f->function,
		.module = go->module,
		.file = f->file,
		.offset = pc - go->process.text - f->entry,
		.line = f->line,
		.inlined = f->inlined,
	};
}

size_t go_names__frames(struct symbolizer *symbolizer, const struct go_target *go, uint64_t pc,
			bool leaf, bool all, struct sym_frame *ret, size_t cap)
{
	struct go_frame frame[INLINE_MAX];
	size_t cnt;

	if (!go || !go->open || !go_process__has_code(&go->process, pc))
		return 0;
	cnt = go_process__frames(&go->process, pc, leaf, frame, INLINE_MAX);
	if (!all && cnt && cap) {
		ret[0] = name_frame(symbolizer, go, &frame[cnt - 1], pc);
		ret[0].file = "";
		ret[0].line = 0;
		return 1;
	}
	if (cnt > cap)
		cnt = cap;
	for (size_t i = 0; i < cnt; i++)
		ret[i] = name_frame(symbolizer, go, &frame[i], pc);
	return cnt;
}

static const char *start_of(const struct go_target *go, const struct go_goroutine *g)
{
	struct go_frame f;

	return go_process__frames(&go->process, g->startpc, true, &f, 1) ? f.function : "";
}

void go_names__classify(const struct go_target *go, const struct go_goroutine *g,
			const struct sym_frame *frames, size_t cnt, uint64_t chan,
			struct go_wait *ret)
{
	struct go_frame frame[INLINE_MAX];

	if (cnt > INLINE_MAX)
		cnt = INLINE_MAX;
	for (size_t i = 0; i < cnt; i++)
		frame[i] = (struct go_frame){ .function = frames[i].raw };
	go_wait__classify(g, go_process__reason(&go->process, g->reason), frame, cnt,
			  start_of(go, g), chan, ret);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Building a JSON document: a failed allocation anywhere leaves `failed` set, and values are taken over. Text of
 * targets is escaped on its way in; addresses are text, since JSON readers round numbers above 2^53.
 * Internal to the JSON views.
 */
#ifndef HOLDUP_VIEW_JSON_H
#define HOLDUP_VIEW_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "user/sym/symbolizer.h"
#include "user/view/view.h"

struct writer {
	bool failed;
};

void json__put(struct writer *w, json_t *object, const char *name, json_t *value);
void json__append(struct writer *w, json_t *array, json_t *value);
void json__put_u64(struct writer *w, json_t *object, const char *name, uint64_t value);
void json__put_text(struct writer *w, json_t *object, const char *name, const char *text);
json_t *json__text(struct writer *w, const char *text);
void json__put_address(struct writer *w, json_t *object, const char *name, uint64_t address);
/* Frames, leaf first. */
json_t *json__stack(struct writer *w, const struct sym_frame *frames, size_t cnt);
/* Writes the document, which is freed, and ends the line; 0, -ENOMEM, or what writing failed with. */
int json__write(FILE *out, struct writer *w, json_t *doc, const struct view_style *style);

#endif

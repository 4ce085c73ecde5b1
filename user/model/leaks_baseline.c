// SPDX-License-Identifier: GPL-2.0-only
#include "user/model/leaks_baseline.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct known {
	uint64_t key, count;
};

struct leaks_baseline {
	size_t cnt;
	struct known known[]; /* by key */
};

static int compare(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

/* "key": 16 hexadecimal digits, as view/leaks_json.c writes it; "count" */
static int parse_suspect(const json_t *suspect, struct known *ret)
{
	const char *key = json_string_value(json_object_get(suspect, "key"));
	const json_t *count = json_object_get(suspect, "count");
	char *end;

	if (!key || strncmp(key, "0x", 2) || !json_is_integer(count) ||
	    json_integer_value(count) < 0)
		return -EINVAL;
	errno = 0;
	ret->key = strtoull(key, &end, 16);
	if (*end || errno)
		return -EINVAL;
	ret->count = json_integer_value(count);
	return 0;
}

static int parse_document(const json_t *doc, struct leaks_baseline **ret)
{
	const char *schema = json_string_value(json_object_get(doc, "schema"));
	const json_t *suspects = json_object_get(doc, "suspects");
	struct leaks_baseline *b;
	size_t cnt;

	if (!schema || strcmp(schema, "holdup.leaks.v1") || !json_is_array(suspects))
		return -EINVAL;
	cnt = json_array_size(suspects);
	b = calloc(1, sizeof(*b) + cnt * sizeof(b->known[0]));
	if (!b)
		return -ENOMEM;
	for (; b->cnt < cnt; b->cnt++)
		if (parse_suspect(json_array_get(suspects, b->cnt), &b->known[b->cnt])) {
			free(b);
			return -EINVAL;
		}
	qsort(b->known, cnt, sizeof(b->known[0]), compare);
	*ret = b;
	return 0;
}

int leaks_baseline__parse(const char *text, size_t len, struct leaks_baseline **ret,
			  const char **why)
{
	json_error_t error;
	json_t *doc = json_loadb(text, len, 0, &error); /* nests 2,048 deep at most */
	int err;

	*why = "it is no JSON document";
	if (!doc)
		return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : -EINVAL;
	*why = "it is no report of holdup leaks --json";
	err = parse_document(doc, ret);
	json_decref(doc);
	return err;
}

static int read_all(int fd, size_t sz, char *text, size_t *ret_len)
{
	size_t len = 0;
	ssize_t got;

	while (len < sz) {
		got = read(fd, text + len, sz - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		len += got;
	}
	*ret_len = len;
	return 0;
}

int leaks_baseline__read(const char *path, struct leaks_baseline **ret, const char **why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err = 0;
	struct stat st;
	size_t len = 0;
	char *text = NULL;

	if (fd < 0)
		return -errno;
	*why = "it is no regular file of at most 64 MiB";
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > LEAKS_BASELINE_MAX)
		err = -EINVAL;
	if (!err)
		text = malloc(st.st_size + 1);
	if (!err && !text)
		err = -ENOMEM;
	if (!err)
		err = read_all(fd, st.st_size, text, &len);
	if (!err)
		err = leaks_baseline__parse(text, len, ret, why);
	free(text);
	close(fd);
	return err;
}

uint64_t leaks_baseline__count(const struct leaks_baseline *b, uint64_t key)
{
	const struct known want = { .key = key };
	const struct known *found = bsearch(&want, b->known, b->cnt, sizeof(want), compare);

	return found ? found->count : 0;
}

void leaks_baseline__free(struct leaks_baseline *b)
{
	free(b);
}

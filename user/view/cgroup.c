// SPDX-License-Identifier: GPL-2.0-only
#include "user/view/cgroup.h"

#include <string.h>

#define ID_MIN	 32 /* containers have 64; pods' and machines' UUIDs without dashes 32 */
#define ID_SHOWN 12

static size_t hex_run(const char *s, const char *end)
{
	size_t n = strspn(s, "0123456789abcdef");

	return n < (size_t)(end - s) ? n : (size_t)(end - s);
}

/* Where the component begins that ends before `end`. */
static const char *component(const char *path, const char *end)
{
	while (end > path && end[-1] != '/')
		end--;
	return end;
}

/* systemd's suffix of what it did not start itself; says nothing (systemd.scope(5)). */
static const char *without_scope(const char *start, const char *end)
{
	static const char scope[] = ".scope";
	size_t len = sizeof(scope) - 1;

	return (size_t)(end - start) > len && !memcmp(end - len, scope, len) ? end - len : end;
}

const char *cgroup__shorten(const char *path, char buf[CGROUP_SZ])
{
	const char *end = path + strlen(path), *s;
	size_t out = 0, run;

	while (end > path + 1 && end[-1] == '/')
		end--;
	s = component(path, end);
	if (s > path + 1 && hex_run(s, end) == (size_t)(end - s) && end - s >= ID_MIN)
		s = component(path, s - 1);
	end = without_scope(s, end);
	while (s < end && out < CGROUP_SZ - 1) {
		run = hex_run(s, end);
		for (size_t i = 0; i < run && out < CGROUP_SZ - 1; i++)
			if (run < ID_MIN || i < ID_SHOWN)
				buf[out++] = s[i];
		s += run;
		if (!run)
			buf[out++] = *s++;
	}
	buf[out] = '\0';
	return buf;
}

// SPDX-License-Identifier: GPL-2.0-only
/* libFuzzer: symbols made readable. The demanglers are the distribution's, not instrumented. */
#include <string.h>

#include "tests/fuzz/check.h"
#include "user/sym/module.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz)
{
	char *name = malloc(sz + 1), *readable, *again;

	CHECK(name);
	memcpy(name, data, sz);
	name[sz] = '\0';
	readable = demangle__name(name);
	CHECK(readable);
	CHECK(strlen(readable) <= 16384 + sizeof(" [cold]") || strcmp(readable, name) == 0);
	/* nothing becomes nothing, and plain words stay */
	CHECK(!name[0] == !readable[0]);
	if (!strchr(name, '.') && strncmp(name, "_Z", 2) && strncmp(name, "_R", 2))
		CHECK(strcmp(readable, name) == 0);
	again = demangle__name(name);
	CHECK(again && strcmp(again, readable) == 0);
	free(again);
	free(readable);
	free(name);
	return 0;
}

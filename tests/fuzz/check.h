/* SPDX-License-Identifier: GPL-2.0-only */
/* What the fuzz targets share: a condition that has to hold for any input. */
#ifndef HOLDUP_FUZZ_CHECK_H
#define HOLDUP_FUZZ_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define CHECK(cond)              \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz);

#endif

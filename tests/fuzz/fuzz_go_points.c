// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target for the places of probes in Go's runtime: any bytes may be a function's code. Where one is found it
 * lies on an instruction within the function.
 */
#include "tests/fuzz/check.h"
#include "user/golang/go_points.h"

#define CODE 0x401000ull

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz)
{
	/* The fuzzer finds calls to within the function more easily than to elsewhere. */
	const uint64_t callee[] = { CODE, CODE + sz, 0 };
	struct go_code code = { data, sz, CODE };
	struct go_point point, resume[GO_RESUMES_MAX];
	const char *wrong;
	size_t cnt;

	if (sz > 4096)
		return 0;
	if (!go_code__entry(&code, &point))
		CHECK(point.addr >= CODE && point.addr < CODE + sz);
	wrong = go_code__resumes(&code, callee, 3, resume, &cnt);
	CHECK(cnt <= GO_RESUMES_MAX);
	for (size_t i = 0; i < cnt && !wrong; i++)
		CHECK(resume[i].addr > CODE && resume[i].addr < CODE + sz && !resume[i].at_check);
	go_code__calls(&code, CODE);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/* The price of a probe: what collect/hold.h measures and model/locks_hold.h reckons with. */
#ifndef HOLDUP_COLLECT_HOLD_PRICE_H
#define HOLDUP_COLLECT_HOLD_PRICE_H

#include <stdint.h>

/* What probes cost here, measured on holdup itself with an empty program. */
struct hold_price {
	uint64_t emulated_ns; /* one hit of an instruction that the kernel emulates */
	uint64_t stepped_ns;  /* … that it single-steps */
	uint64_t return_ns;   /* a return whose address was replaced, on top of its entry */
};

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A live measurement of time off the CPU: live.h, and what it needs besides. Functions return 0 or negative errno after
 * telling the user; live_offcpu__open() an enum exit_status.
 */
#ifndef HOLDUP_LIVE_OFFCPU_H
#define HOLDUP_LIVE_OFFCPU_H

#include "user/aggregate/offcpu.h"
#include "user/live.h"
#include "user/sym/intern.h"
#include "user/target/call.h"

struct live_offcpu {
	struct live live;
	struct offcpu offcpu;
	struct calls *calls;	/* while a pass goes on: descriptors are looked at anew in each */
	struct intern *strings; /* of what they say */
	struct table waits; /* of struct off_call: what calls were for when they were seen first */
	uint64_t passed_ns; /* when the kernel side was last passed over, and */
	uint64_t pass_took_ns; /* for how long */
	uint64_t sites_passed; /* HU_LOSS_OFF_SITES then */
	bool on;	       /* attached */
};

/* Attached; *l zeroed. mode: enum hu_off_mode. */
int live_offcpu__open(struct live_offcpu *l, const struct options *opt, uint32_t mode);
/* Threads that are off the CPU already. */
int live_offcpu__adopt(struct live_offcpu *l);
int live_offcpu__poll(struct live_offcpu *l, int timeout_ms);
/* Ends an interval at until_ns, or, after live__stop(), the measurement. */
int live_offcpu__settle(struct live_offcpu *l, uint64_t until_ns);
int live_offcpu__next(struct live_offcpu *l);
void live_offcpu__close(struct live_offcpu *l);

/* What the call of a site was for; NULL: not known. */
const struct call_wait *live_offcpu__call(const void *live_offcpu, const struct hu_off_what *what);

#endif

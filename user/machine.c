// SPDX-License-Identifier: GPL-2.0-only
#include "user/machine.h"

#include <string.h>

#include "user/options.h"
#include "user/util/log.h"

int machine__check(struct features *ret)
{
	int err = features__privileges();

	if (err) {
		log__msg("not permitted: run as root (sudo), or with CAP_BPF, CAP_PERFMON and "
			 "CAP_SYS_PTRACE");
		return EXIT_UNSUPPORTED;
	}
	err = features__detect(ret);
	if (err) {
		log__msg("/sys/kernel/btf/vmlinux: %s: this kernel lacks BTF "
			 "(CONFIG_DEBUG_INFO_BTF), without which holdup can't work; see holdup "
			 "doctor",
			 strerror(-err));
		return EXIT_UNSUPPORTED;
	}
	return EXIT_FINE;
}

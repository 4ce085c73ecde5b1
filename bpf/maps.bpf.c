// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define HU_DEFINE_MAPS
#include "bpf/maps.h"
#include "bpf/offcpu_maps.h"

/* The loader checks the same (tests/unit/test_abi.c). */
#define CHECK_SIZE(name, sz) _Static_assert(sizeof(struct name) == (sz), #name);
HU_ABI_SIZES(CHECK_SIZE)

char LICENSE[] SEC("license") = "Dual BSD/GPL";

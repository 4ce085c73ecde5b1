/* SPDX-License-Identifier: GPL-2.0-only */
/* Can holdup work here at all? What every command that loads something asks first. */
#ifndef HOLDUP_MACHINE_H
#define HOLDUP_MACHINE_H

#include "user/collect/features.h"

/* Fills *ret; an enum exit_status, EXIT_UNSUPPORTED after telling what is missing. */
int machine__check(struct features *ret);

#endif

/* SPDX-License-Identifier: MIT */
/* Clocks that stand still, in a program that is linked with -Wl,--wrap=clock_gettime. */
#ifndef HELD_CLOCK_H
#define HELD_CLOCK_H

#include "internal.h"

static uint64_t held_ns;	/* what all clocks show; 0: the time */

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (!held_ns)
		return __real_clock_gettime(clock, ret);
	*ret = asynctimer__timespec(held_ns);
	return 0;
}

/* At the end of a test: Check measures how long it takes. */
static inline void let_go(void)
{
	held_ns = 0;
}

#endif

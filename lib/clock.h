/* SPDX-License-Identifier: MIT */
/* Time is uint64_t nanoseconds; struct timespec stays at the kernel's door. */
#ifndef ASYNCTIMER_CLOCK_H
#define ASYNCTIMER_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "asynctimer.h"

static inline uint64_t asynctimer__now_ns(int clock)
{
	struct timespec now = { 0 };

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * ASYNCTIMER_SECOND + (uint64_t)now.tv_nsec;
}

static inline struct timespec asynctimer__timespec(uint64_t ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / ASYNCTIMER_SECOND),
		.tv_nsec = (long)(ns % ASYNCTIMER_SECOND),
	};
}

#endif

/* SPDX-License-Identifier: MIT */
/* Time is uint64_t nanoseconds; struct timespec stays at the kernel's door. */
#ifndef ASYNCTIMER_CLOCK_H
#define ASYNCTIMER_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "asynctimer.h"

_Static_assert(sizeof(time_t) >= 8, "intervals up to 2^62 ns need a 64-bit time_t: "
				    "musl 1.2, or glibc 2.34 with -D_TIME_BITS=64");

static inline uint64_t asynctimer__now_ns(int clock)
{
	struct timespec now = { 0 };

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * ASYNCTIMER_SECOND + (uint64_t)now.tv_nsec;
}

/* Between two readings of what is polled: the processor need not hurry, and its other thread gets on. */
static inline void asynctimer__pause_processor(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static inline struct timespec asynctimer__timespec(uint64_t ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / ASYNCTIMER_SECOND),
		.tv_nsec = (long)(ns % ASYNCTIMER_SECOND),
	};
}

#endif

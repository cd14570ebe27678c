/* SPDX-License-Identifier: MIT */
/*
 * USDT probes of the provider asynctimer, for tracers of a running process. A
 * probe is a call that is only made while a semaphore, which tracers count up,
 * says that one listens; so a tick pays for no more than a look at that.
 */
#ifndef ASYNCTIMER_PROBES_H
#define ASYNCTIMER_PROBES_H

#ifdef ASYNCTIMER_PROBES
#include "internal.h"

/* <sys/sdt.h> wants this name for the semaphore. With the lock held, or alone in the reactor. */
#define PROBE_DECLARE(name, ...)                                                                   \
	extern unsigned short asynctimer_##name##_semaphore                                        \
		__attribute__((section(".probes"), visibility("hidden")));                         \
	void asynctimer__probe_##name(const struct asynctimer *timer, ##__VA_ARGS__)               \
		__attribute__((cold))
PROBE_DECLARE(start);
PROBE_DECLARE(stop);
PROBE_DECLARE(tick_start, const struct asynctimer_tick *tick); /* and skip */
PROBE_DECLARE(tick_end, uint64_t duration_ns);

#define PROBE(name, ...)                                                                           \
	do {                                                                                       \
		if (__builtin_expect(asynctimer_##name##_semaphore, 0))                            \
			asynctimer__probe_##name(__VA_ARGS__);                                     \
	} while (0)
#else
#define PROBE(name, ...) ((void)0)
#endif

#endif

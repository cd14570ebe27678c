/* SPDX-License-Identifier: MIT */
/*
 * USDT probes of the provider asynctimer, for tracers of a running process: a
 * nop each. The arguments are computed only while a semaphore, which tracers
 * count up, says that one listens.
 */
#ifndef ASYNCTIMER_PROBES_H
#define ASYNCTIMER_PROBES_H

#ifdef ASYNCTIMER_PROBES
#define _SDT_HAS_SEMAPHORES 1
#define SDT_USE_VARIADIC 1
#include <sys/sdt.h>

/* <sys/sdt.h> gives them these names. */
#define PROBE_SEMAPHORE(name)                                                                      \
	extern unsigned short asynctimer_##name##_semaphore                                        \
		__attribute__((section(".probes"), visibility("hidden")))
PROBE_SEMAPHORE(start);
PROBE_SEMAPHORE(stop);
PROBE_SEMAPHORE(skip);
PROBE_SEMAPHORE(tick_start);
PROBE_SEMAPHORE(tick_end);

#define PROBED(name) __builtin_expect(asynctimer_##name##_semaphore, 0)
#define PROBE(name, ...)                                                                           \
	do {                                                                                       \
		if (PROBED(name))                                                                  \
			STAP_PROBEV(asynctimer, name, __VA_ARGS__);                                \
	} while (0)
#else
#define PROBED(name) 0
#define PROBE(name, timer, ...) ((void)(timer))
#endif

#endif

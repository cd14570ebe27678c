/* SPDX-License-Identifier: MIT */
#include "probes.h"

#ifdef ASYNCTIMER_PROBES
#define _SDT_HAS_SEMAPHORES 1
#define SDT_USE_VARIADIC 1
#include <sys/sdt.h>

#include "names.h"

/* The kernel writes it, so no compiler may think it is 0. */
#define SEMAPHORE __attribute__((used)) unsigned short

SEMAPHORE asynctimer_start_semaphore;
SEMAPHORE asynctimer_stop_semaphore;
SEMAPHORE asynctimer_tick_start_semaphore;
SEMAPHORE asynctimer_tick_end_semaphore;

/* Where skips are counted a call would cost each tick a slow load; so both have one look. */
#define asynctimer_skip_semaphore asynctimer_tick_start_semaphore

static const char *name_of(const struct asynctimer *timer)
{
	return asynctimer__names_find(&timer->base->reactor->names, timer);
}

void asynctimer__probe_start(const struct asynctimer *timer)
{
	STAP_PROBEV(asynctimer, start, timer, name_of(timer), timer->schedule.interval_ns,
		    timer->schedule.node.due_ns);
}

void asynctimer__probe_stop(const struct asynctimer *timer)
{
	STAP_PROBEV(asynctimer, stop, timer, name_of(timer));
}

void asynctimer__probe_tick_start(const struct asynctimer *timer, const struct asynctimer_tick *tick)
{
	const char *name = name_of(timer);
	uint64_t skipped = tick->skipped_busy + tick->skipped_late;

	if (skipped)
		STAP_PROBEV(asynctimer, skip, timer, name, tick->number, tick->skipped_busy,
			    tick->skipped_late);
	STAP_PROBEV(asynctimer, tick_start, timer, name, tick->number, tick->now_ns - tick->due_ns,
		    skipped, tick->behind_ns);
}

void asynctimer__probe_tick_end(const struct asynctimer *timer, uint64_t duration_ns)
{
	STAP_PROBEV(asynctimer, tick_end, timer, name_of(timer), timer->schedule.number,
		    duration_ns);
}
#endif

/* SPDX-License-Identifier: MIT */
/*
 * When ticks are due: pure arithmetic, in which time is an argument.
 *
 * A tick is claimed when next_ns is reached and completed by one reading of
 * the clock; points up to a completion are skipped busy, points from there to
 * the claim are skipped late. Nothing here loops over ticks.
 */
#ifndef ASYNCTIMER_SCHEDULE_H
#define ASYNCTIMER_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "asynctimer.h"

#define ASYNCTIMER__INTERVAL_MAX (UINT64_C(1) << 62)
#define ASYNCTIMER__NEVER UINT64_MAX

struct schedule {
	uint64_t interval_ns;
	uint64_t next_ns;	/* when the next tick is due; NEVER while FIXED_DELAY has a tick open */
	uint64_t base_ns;	/* the anchor; FIXED_DELAY: the last completion, or the start */
	uint64_t number;	/* of the last tick claimed */
	uint64_t skipped_busy;	/* since then */
	int policy;
	bool first;		/* nothing has come due since the start: the anchor holds */
	bool asked;		/* the start named its first tick */
};

void asynctimer__schedule_start(struct schedule *schedule, uint64_t now_ns);
void asynctimer__schedule_start_at(struct schedule *schedule, uint64_t anchor_ns, uint64_t now_ns);

/* Claims the newest point that is due at now_ns >= next_ns and fills in its tick. */
void asynctimer__schedule_claim(struct schedule *schedule, uint64_t now_ns,
				struct asynctimer_tick *ret);

/* The open tick of a started timer completed at now_ns. */
void asynctimer__schedule_complete(struct schedule *schedule, uint64_t now_ns);

/* The clock may have been set back: a grid under way extends both ways. */
void asynctimer__schedule_clock_set(struct schedule *schedule, uint64_t now_ns);

/* A started schedule gets another interval. */
void asynctimer__schedule_set_interval(struct schedule *schedule, uint64_t interval_ns,
				       uint64_t now_ns);

#endif

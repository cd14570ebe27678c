/* SPDX-License-Identifier: MIT */
/*
 * When ticks are due: pure arithmetic, in which time is an argument.
 *
 * A tick is claimed when its due time has come, and completed at one reading of
 * the clock. Grid points up to that reading are skipped busy; points from there
 * to the next claim are skipped late. Nothing here loops over ticks.
 */
#ifndef ASYNCTIMER_SCHEDULE_H
#define ASYNCTIMER_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "asynctimer.h"
#include "queue.h"

#define ASYNCTIMER__INTERVAL_MAX (UINT64_C(1) << 62)
#define ASYNCTIMER__NEVER UINT64_MAX

struct schedule {
	struct node node;	/* due_ns: when the next tick can be claimed; NEVER while FIXED_DELAY has one open */
	uint64_t interval_ns;
	uint64_t number;	/* of the last tick claimed */
	uint8_t policy;
	bool before_first : 1;	/* nothing has come due since the start, so the anchor holds */
	bool anchor_is_tick : 1; /* the first tick is due at the anchor, not one interval after it */
	bool was_busy : 1;	/* points were skipped since the last claim */
	uint8_t spare[6];	/* free for whoever embeds it */
	union {
		uint64_t anchor_ns;	/* before_first: what the start asked for */
		uint64_t skipped_busy;	/* was_busy: how many */
	};
};

/* Starts at now_ns: the anchor is now, and the first tick is due one interval later. */
void asynctimer__schedule_start(struct schedule *schedule, uint64_t now_ns);

/* Starts at now_ns with the first tick at the anchor or, if that is past, at the next grid point. */
void asynctimer__schedule_start_at(struct schedule *schedule, uint64_t anchor_ns, uint64_t now_ns);

/*
 * Claims the newest grid point up to reached_ns, which is node.due_ns or later,
 * and fills in its tick, but for behind_ns. False: it was the last, and the timer
 * is stopped. reached_ns says how far the grid has come: that is
 * now_ns, a reading of the clock, or what the kernel has counted by then.
 */
bool asynctimer__schedule_claim(struct schedule *schedule, uint64_t reached_ns, uint64_t now_ns,
				struct asynctimer_tick *ret);

/* When the next tick of a started timer is due; NEVER where the end of its open tick will say so. */
uint64_t asynctimer__schedule_next_due_ns(const struct schedule *schedule, bool open);

/*
 * The clock of a started schedule was set and shows now_ns. Where it was set
 * back, the grid extends both ways; before the first tick the anchor holds.
 */
void asynctimer__schedule_clock_set(struct schedule *schedule, uint64_t now_ns);

/* The open tick of a started timer completed at now_ns, when the grid had come to reached_ns. */
void asynctimer__schedule_complete(struct schedule *schedule, uint64_t reached_ns, uint64_t now_ns);

/*
 * A started schedule gets another interval at now_ns. Its grid is anchored anew
 * one old interval before the next due time; before the first tick it keeps its
 * anchor, as ASYNCTIMER_ONCE always does.
 */
void asynctimer__schedule_set_interval(struct schedule *schedule, uint64_t interval_ns,
				       uint64_t now_ns);

/* Whether there is such a policy, and it goes with the clock. */
bool asynctimer__schedule_is_valid(int policy, int clock);

/* The ticks are on a grid, so one interval after the next tick there is another. */
static inline bool asynctimer__schedule_is_periodic(const struct schedule *schedule)
{
	return schedule->policy == ASYNCTIMER_FIXED_SCHEDULE;
}

#endif

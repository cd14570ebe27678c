/* SPDX-License-Identifier: MIT */
/*
 * When ticks are due: pure arithmetic, in which time is an argument.
 *
 * A tick is claimed when its due time is reached and completed by one reading of
 * the clock; points up to a completion are skipped busy, points from there to
 * the claim are skipped late. Nothing here loops over ticks.
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
	struct node node;	/* due_ns: of the next tick; NEVER while FIXED_DELAY has one open */
	uint64_t interval_ns;
	uint64_t number;	/* of the last tick claimed */
	uint64_t skipped_busy;	/* since then */
	uint8_t policy;
	bool first;		/* nothing has come due since the start: the anchor holds */
	bool asked;		/* the start named its anchor, which is a point of the grid */
};

void asynctimer__schedule_start(struct schedule *schedule, uint64_t now_ns);
void asynctimer__schedule_start_at(struct schedule *schedule, uint64_t anchor_ns, uint64_t now_ns);

/* Claims the newest point that is due at now_ns >= node.due_ns and fills in its tick. */
void asynctimer__schedule_claim(struct schedule *schedule, uint64_t now_ns,
				struct asynctimer_tick *ret);

/* The open tick of a started timer completed at now_ns. */
void asynctimer__schedule_complete(struct schedule *schedule, uint64_t now_ns);

/*
 * The clock was set. Set back, a started schedule's grid extends both ways;
 * before the first tick its anchor, anchor_ns, holds.
 */
void asynctimer__schedule_clock_set(struct schedule *schedule, uint64_t anchor_ns, uint64_t now_ns);

/* A started schedule, of that anchor, gets another interval. */
void asynctimer__schedule_set_interval(struct schedule *schedule, uint64_t interval_ns,
				       uint64_t anchor_ns, uint64_t now_ns);

#endif

/* SPDX-License-Identifier: MIT */
#include <time.h>

#include "schedule.h"

bool asynctimer__schedule_is_valid(int policy, int clock)
{
	switch (policy) {
	case ASYNCTIMER_FIXED_SCHEDULE:
	case ASYNCTIMER_ONCE:
		return clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME ||
		       clock == CLOCK_REALTIME;
	case ASYNCTIMER_FIXED_DELAY:
		/* A delay is elapsed time, and a relative timerfd on CLOCK_REALTIME counts that of another clock. */
		return clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME;
	default:
		return false;
	}
}

/* The first grid point after now_ns >= anchor_ns. */
static uint64_t next_point(uint64_t anchor_ns, uint64_t interval_ns, uint64_t now_ns)
{
	return anchor_ns + ((now_ns - anchor_ns) / interval_ns + 1) * interval_ns;
}

static void start(struct schedule *schedule, uint64_t anchor_ns, bool anchor_is_tick, uint64_t next_ns)
{
	schedule->node.due_ns = next_ns;
	schedule->anchor_ns = anchor_ns;
	schedule->before_first = true;
	schedule->anchor_is_tick = anchor_is_tick;
	schedule->was_busy = false;
}

void asynctimer__schedule_start(struct schedule *schedule, uint64_t now_ns)
{
	start(schedule, now_ns, false, now_ns + schedule->interval_ns);
}

void asynctimer__schedule_start_at(struct schedule *schedule, uint64_t anchor_ns, uint64_t now_ns)
{
	uint64_t next_ns = anchor_ns;

	if (anchor_ns < now_ns)
		next_ns = schedule->policy == ASYNCTIMER_FIXED_SCHEDULE
				  ? next_point(anchor_ns, schedule->interval_ns, now_ns)
				  : now_ns;
	start(schedule, anchor_ns, true, next_ns);
}

/* The anchor has done its duty: from here on the next due time alone says where the grid is. */
static void leave_anchor(struct schedule *schedule)
{
	schedule->before_first = false;
	schedule->was_busy = false;
}

/* What the next tick is told that it is due: ASYNCTIMER_ONCE keeps an anchor that was past at the start. */
static uint64_t told_due_ns(const struct schedule *schedule)
{
	if (schedule->policy == ASYNCTIMER_ONCE && schedule->anchor_is_tick)
		return schedule->anchor_ns;
	return schedule->node.due_ns;
}

bool asynctimer__schedule_claim(struct schedule *schedule, uint64_t reached_ns, uint64_t now_ns,
				struct asynctimer_tick *ret)
{
	uint64_t due_ns = schedule->node.due_ns;
	uint64_t skipped_busy = schedule->was_busy ? schedule->skipped_busy : 0;
	uint64_t skipped_late = 0;

	if (schedule->policy == ASYNCTIMER_FIXED_SCHEDULE) {
		if (reached_ns - due_ns >= schedule->interval_ns) {
			skipped_late = (reached_ns - due_ns) / schedule->interval_ns;
			due_ns += skipped_late * schedule->interval_ns;
		}
		schedule->node.due_ns = due_ns + schedule->interval_ns;
	} else {
		due_ns = told_due_ns(schedule);
		schedule->node.due_ns = ASYNCTIMER__NEVER;
	}
	schedule->number += 1 + skipped_busy + skipped_late;
	*ret = (struct asynctimer_tick){
		.number = schedule->number,
		.due_ns = due_ns,
		.now_ns = now_ns,
		.skipped_busy = skipped_busy,
		.skipped_late = skipped_late,
	};
	leave_anchor(schedule);
	return schedule->policy != ASYNCTIMER_ONCE;
}

uint64_t asynctimer__schedule_next_due_ns(const struct schedule *schedule, bool open)
{
	if (open && schedule->policy == ASYNCTIMER_FIXED_DELAY)
		return ASYNCTIMER__NEVER;
	return told_due_ns(schedule);
}

/* Where the clock was set back, there are grid points before the next one. */
static void pull_back(struct schedule *schedule, uint64_t now_ns)
{
	uint64_t next_ns = schedule->node.due_ns;
	uint64_t interval_ns = schedule->interval_ns;

	if (next_ns > now_ns && next_ns - now_ns > interval_ns)
		schedule->node.due_ns -= (next_ns - now_ns - 1) / interval_ns * interval_ns;
}

/* The next point of a grid whose clock may have been set. */
static inline void look_again(struct schedule *schedule, uint64_t now_ns)
{
	if (!schedule->before_first || now_ns >= schedule->anchor_ns)
		pull_back(schedule, now_ns);
	else
		schedule->node.due_ns = schedule->anchor_ns +
					(schedule->anchor_is_tick ? 0 : schedule->interval_ns);
}

/* ASYNCTIMER_ONCE stays due when it was; but where its anchor was past at the start, that start may be to come now. */
static void keep_anchor(struct schedule *schedule, uint64_t now_ns)
{
	if (schedule->anchor_is_tick && schedule->node.due_ns > now_ns)
		schedule->node.due_ns =
			schedule->anchor_ns > now_ns ? schedule->anchor_ns : now_ns;
}

void asynctimer__schedule_clock_set(struct schedule *schedule, uint64_t now_ns)
{
	if (schedule->policy == ASYNCTIMER_FIXED_SCHEDULE)
		look_again(schedule, now_ns);
	else if (schedule->policy == ASYNCTIMER_ONCE)
		keep_anchor(schedule, now_ns);
}

void asynctimer__schedule_complete(struct schedule *schedule, uint64_t reached_ns, uint64_t now_ns)
{
	uint64_t next_ns = schedule->node.due_ns;

	if (schedule->policy == ASYNCTIMER_FIXED_DELAY) {
		/* Restarted while open, it has a next tick already: that is the least. */
		if (next_ns == ASYNCTIMER__NEVER || next_ns < now_ns + schedule->interval_ns) {
			schedule->node.due_ns = now_ns + schedule->interval_ns;
			schedule->anchor_is_tick = false;
		}
	} else if (schedule->policy == ASYNCTIMER_ONCE) {
		keep_anchor(schedule, now_ns);
	} else if (reached_ns >= next_ns) {
		uint64_t skipped = (reached_ns - next_ns) / schedule->interval_ns + 1;

		if (!schedule->was_busy)
			schedule->skipped_busy = 0;
		schedule->before_first = false;
		schedule->was_busy = true;
		schedule->skipped_busy += skipped;
		schedule->node.due_ns += skipped * schedule->interval_ns;
	} else {
		/* While the tick was open nobody looked. */
		look_again(schedule, now_ns);
	}
}

void asynctimer__schedule_set_interval(struct schedule *schedule, uint64_t interval_ns,
				       uint64_t now_ns)
{
	uint64_t next_ns = schedule->node.due_ns;
	uint64_t last_ns = next_ns - schedule->interval_ns;

	schedule->interval_ns = interval_ns;
	if (schedule->policy == ASYNCTIMER_FIXED_DELAY) {
		/* The last completion or the start is one interval before. */
		if (next_ns != ASYNCTIMER__NEVER &&
		    !(schedule->before_first && schedule->anchor_is_tick))
			schedule->node.due_ns = last_ns + interval_ns;
		return;
	}
	if (schedule->policy == ASYNCTIMER_ONCE) {
		if (!schedule->anchor_is_tick)
			schedule->node.due_ns = schedule->anchor_ns + interval_ns;
		keep_anchor(schedule, now_ns);
		return;
	}
	if (schedule->before_first)
		last_ns = schedule->anchor_ns;
	else
		schedule->was_busy = false;
	/* Near the clock's beginning the last point may be before that: then it looks later than the next. */
	if (now_ns >= last_ns || last_ns > next_ns) {
		schedule->node.due_ns = next_point(last_ns, interval_ns, now_ns);
		return;
	}
	schedule->node.due_ns = last_ns;
	if (!schedule->before_first)
		pull_back(schedule, now_ns);
	else if (!schedule->anchor_is_tick)
		schedule->node.due_ns += interval_ns;
}

/* SPDX-License-Identifier: MIT */
#include "schedule.h"

/* The first grid point after now_ns >= anchor_ns. */
static uint64_t next_point(uint64_t anchor_ns, uint64_t interval_ns, uint64_t now_ns)
{
	return anchor_ns + ((now_ns - anchor_ns) / interval_ns + 1) * interval_ns;
}

static void start(struct schedule *schedule, uint64_t next_ns, bool asked)
{
	schedule->node.due_ns = next_ns;
	schedule->skipped_busy = 0;
	schedule->first = true;
	schedule->asked = asked;
}

void asynctimer__schedule_start(struct schedule *schedule, uint64_t now_ns)
{
	start(schedule, now_ns + schedule->interval_ns, false);
}

void asynctimer__schedule_start_at(struct schedule *schedule, uint64_t anchor_ns, uint64_t now_ns)
{
	uint64_t next_ns = anchor_ns;

	if (anchor_ns < now_ns)
		next_ns = schedule->policy == ASYNCTIMER_FIXED_DELAY
				  ? now_ns
				  : next_point(anchor_ns, schedule->interval_ns, now_ns);
	start(schedule, next_ns, true);
}

void asynctimer__schedule_claim(struct schedule *schedule, uint64_t now_ns,
				struct asynctimer_tick *ret)
{
	uint64_t due_ns = schedule->node.due_ns;
	uint64_t skipped_late = 0;

	if (schedule->policy == ASYNCTIMER_FIXED_DELAY) {
		schedule->node.due_ns = ASYNCTIMER__NEVER;
	} else {
		if (now_ns - due_ns >= schedule->interval_ns) {
			skipped_late = (now_ns - due_ns) / schedule->interval_ns;
			due_ns += skipped_late * schedule->interval_ns;
		}
		schedule->node.due_ns = due_ns + schedule->interval_ns;
	}
	schedule->number += 1 + schedule->skipped_busy + skipped_late;
	*ret = (struct asynctimer_tick){
		.number = schedule->number,
		.due_ns = due_ns,
		.now_ns = now_ns,
		.skipped_busy = schedule->skipped_busy,
		.skipped_late = skipped_late,
	};
	schedule->skipped_busy = 0;
	schedule->first = false;
}

/* Where the clock was set back, there are grid points before the next one. */
static void pull_back(struct schedule *schedule, uint64_t now_ns)
{
	uint64_t next_ns = schedule->node.due_ns;
	uint64_t interval_ns = schedule->interval_ns;

	if (next_ns > now_ns && next_ns - now_ns > interval_ns)
		schedule->node.due_ns -= (next_ns - now_ns - 1) / interval_ns * interval_ns;
}

void asynctimer__schedule_complete(struct schedule *schedule, uint64_t now_ns)
{
	uint64_t next_ns = schedule->node.due_ns;

	if (schedule->policy == ASYNCTIMER_FIXED_DELAY) {
		/* Restarted while open, it has a next tick already: that is the least. */
		if (next_ns == ASYNCTIMER__NEVER || next_ns < now_ns + schedule->interval_ns) {
			schedule->node.due_ns = now_ns + schedule->interval_ns;
			schedule->asked = false;
		}
	} else if (now_ns >= next_ns) {
		uint64_t skipped = (now_ns - next_ns) / schedule->interval_ns + 1;

		schedule->skipped_busy += skipped;
		schedule->node.due_ns += skipped * schedule->interval_ns;
		schedule->first = false;
	} else if (!schedule->first) {
		pull_back(schedule, now_ns);
	}
}

void asynctimer__schedule_clock_set(struct schedule *schedule, uint64_t anchor_ns, uint64_t now_ns)
{
	if (schedule->policy == ASYNCTIMER_FIXED_DELAY)
		return;
	if (!schedule->first || (schedule->asked && now_ns >= anchor_ns))
		pull_back(schedule, now_ns);
	else if (schedule->asked)
		schedule->node.due_ns = anchor_ns;
}

void asynctimer__schedule_set_interval(struct schedule *schedule, uint64_t interval_ns,
				       uint64_t anchor_ns, uint64_t now_ns)
{
	uint64_t next_ns = schedule->node.due_ns;
	uint64_t last_ns = next_ns - schedule->interval_ns;

	schedule->interval_ns = interval_ns;
	if (schedule->policy == ASYNCTIMER_FIXED_DELAY) {
		/* The last completion or the start is one interval before. */
		if (next_ns != ASYNCTIMER__NEVER && !(schedule->first && schedule->asked))
			schedule->node.due_ns = last_ns + interval_ns;
		return;
	}
	if (schedule->first)
		last_ns = anchor_ns;
	schedule->skipped_busy = 0;
	schedule->node.due_ns = last_ns;
	/* Not now_ns >= last_ns: near the clock's beginning the last point may be before that. */
	if ((int64_t)(now_ns - last_ns) >= 0)
		schedule->node.due_ns = next_point(last_ns, interval_ns, now_ns);
	else if (!schedule->first)
		pull_back(schedule, now_ns);
}

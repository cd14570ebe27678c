/* SPDX-License-Identifier: MIT */
/*
 * The least number of wake-ups with which every tick comes within its slack: to
 * wake up at the end of the earliest window, and then to run all that is due.
 */
#include <stdlib.h>

#include "job.h"

#define LOOK_NS (10 * SECOND)

static uint64_t earliest(const uint64_t *dues, unsigned count)
{
	uint64_t first = dues[0];

	for (unsigned i = 1; i < count; i++)
		if (dues[i] < first)
			first = dues[i];
	return first;
}

double least_wakeups(const struct job *job, struct record **records)
{
	uint64_t *dues = malloc(job->timers * sizeof(*dues));
	uint64_t wakeups = 0, now;

	for (unsigned i = 0; i < job->timers; i++)
		dues[i] = records[i]->anchor_ns;
	while ((now = earliest(dues, job->timers) + bench_slack_ns) < bench->base_ns + LOOK_NS) {
		wakeups++;
		for (unsigned i = 0; i < job->timers; i++)
			while (dues[i] <= now)
				dues[i] += records[i]->interval_ns;
	}
	free(dues);
	return (double)(wakeups * SECOND) / LOOK_NS;
}

/* SPDX-License-Identifier: MIT */
/*
 * Many processes with a few timers each, as the daemons of a machine are. Each
 * notes when its callbacks run; bench.py puts these times together with those of
 * programs that run beside this one, and for that all begin at the same time.
 */
#include <stdio.h>
#include <stdlib.h>

#include "job.h"

static struct usage usage_of_all(const struct job *job, const pid_t *pids)
{
	struct usage sum = { 0 };

	for (unsigned i = 0; i < job->processes; i++) {
		struct usage usage = usage_of(&bench[i], pids[i], cpu_clock_of(pids[i]));

		sum.cpu_ns += usage.cpu_ns;
		sum.switches += usage.switches;
		sum.ticks += usage.ticks;
	}
	return sum;
}

static void print_times(const struct job *job, uint64_t end_ns)
{
	const char *comma = "";

	printf("series=");
	for (struct bench *one = bench; one < bench + job->processes; one++)
		for (int i = 0; i < NOTED && one->times[i]; i++)
			if (one->times[i] >= job->begin_ns && one->times[i] < end_ns) {
				printf("%s%llu", comma, (unsigned long long)(one->times[i] - job->begin_ns));
				comma = ",";
			}
	printf("\t");
}

void measure_machine(const struct job *job)
{
	pid_t *pids = calloc(job->processes, sizeof(*pids));
	uint64_t end_ns = job->begin_ns + (uint64_t)(job->seconds * SECOND);

	for (unsigned i = 0; i < job->processes; i++)
		pids[i] = start_child(job, i);
	for (unsigned i = 0; i < job->processes; i++)
		wait_until_ready(&bench[i], pids[i]);
	if (now_ns() > job->begin_ns)
		cannot("the processes were not ready in time");
	sleep_until(job->begin_ns);
	struct usage before = usage_of_all(job, pids);

	sleep_until(end_ns);
	struct usage after = usage_of_all(job, pids);
	uint64_t ticks = after.ticks - before.ticks;

	for (unsigned i = 0; i < job->processes; i++)
		end_child(pids[i]);
	printf("cost=%.1f\twakeups=%.1f\tdelivered=%llu\t", per(after.cpu_ns - before.cpu_ns, ticks),
	       (double)(after.switches - before.switches) / job->seconds, (unsigned long long)ticks);
	print_times(job, end_ns);
	free(pids);
}

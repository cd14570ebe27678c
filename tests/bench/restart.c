/* SPDX-License-Identifier: MIT */
/*
 * Timers that are pushed back again and again: call by call, without a loop, and
 * as the idle timeouts of a busy server are.
 */
#include <stdio.h>
#include <string.h>

#include "job.h"

#define CALLS (1 << 20)
#define EVERY_NS US		/* of the idle timeouts one is pushed back */
#define MOST_OWED 10000		/* at one tick of the server, for who can't keep up */

void measure_restart(const struct job *job)
{
	int again = !strncmp(job->work, "again", 5);
	void (*restart)(struct record *) = again ? bench_peer->again : bench_peer->restart;
	unsigned among = strstr(job->work, "_one") ? 1 : job->timers;

	if (!restart)
		cannot(again ? "no restart in one call in this library" : "no stop in this library");
	struct record **records = set_up(job);

	for (unsigned i = 0; i < job->timers; i++)
		restart(records[i]);
	uint64_t begin = cpu_now(CLOCK_PROCESS_CPUTIME_ID);

	for (unsigned i = 0; i < CALLS; i++)
		restart(records[i % among]);
	printf("cost=%.1f\t", (double)(cpu_now(CLOCK_PROCESS_CPUTIME_ID) - begin) / CALLS);
}

static struct record **served;
static unsigned clients;

void serve_idle(const struct job *job, struct record **records)
{
	if (!bench_peer->again)
		cannot("no restart in one call in this library");
	served = records;
	clients = job->timers - 1;
}

/* The first timer is the server's. At each of its ticks it pushes back as many others as are owed. */
void serve(struct record *record)
{
	static uint64_t begun_ns;

	if (record != served[0])
		return;
	if (!begun_ns)
		begun_ns = now_ns();
	uint64_t owed = (now_ns() - begun_ns) / EVERY_NS - bench->restarts;

	if (owed > MOST_OWED)
		owed = MOST_OWED;
	for (uint64_t i = 0; i < owed; i++)
		bench_peer->again(served[1 + random_below(clients)]);
	bench->restarts += owed;
}

/* All that the process does, by its restarts: the queue, the wake-ups and the server's own work. */
void measure_idle(const struct job *job, pid_t pid)
{
	clockid_t clock = cpu_clock_of(pid);

	sleep_until(bench->base_ns + SECOND / 2);
	uint64_t cpu_ns = cpu_now(clock), restarts = bench->restarts;

	sleep_until(now_ns() + (uint64_t)(job->seconds * SECOND));
	cpu_ns = cpu_now(clock) - cpu_ns;
	restarts = bench->restarts - restarts;
	end_child(pid);
	printf("cost=%.1f\tdelivered=%llu\t", per(cpu_ns, restarts), (unsigned long long)restarts);
}

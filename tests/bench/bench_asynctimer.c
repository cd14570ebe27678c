/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "asynctimer.h"
#include "bench.h"

static struct asynctimer_reactor *reactor;

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	bench_tick(data);
	return ASYNCTIMER_DONE;
}

static void open_reactor(void)
{
	must(asynctimer_reactor_new(&reactor), "reactor_new");
}

static void add_own(struct record *record)
{
	struct asynctimer *timer;

	must(asynctimer_new(reactor, CLOCK_MONOTONIC, record->interval_ns, ASYNCTIMER_FIXED_SCHEDULE,
			    on_tick, record, &timer), "new");
	record->handle = timer;
	must(asynctimer_start_at(timer, record->anchor_ns), "start_at");
}

static void add_shared(struct record *record)
{
	struct asynctimer *timer;

	must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, record->interval_ns,
				   ASYNCTIMER_FIXED_SCHEDULE, bench_slack_ns, on_tick, record, &timer),
	     "new_shared");
	record->handle = timer;
	must(asynctimer_start_at(timer, record->anchor_ns), "start_at");
}

static void restart(struct record *record)
{
	must(asynctimer_stop(record->handle), "stop");
	must(asynctimer_start(record->handle), "start");
}

static void *run_in_thread(void *slot)
{
	bench_slot = slot;
	must(asynctimer_reactor_run(reactor), "run");
	return NULL;
}

static void run(void)
{
	pthread_t thread;

	for (unsigned i = 1; i < bench_peer->threads; i++)
		must(-pthread_create(&thread, NULL, run_in_thread, &bench->slots[i]), "pthread_create");
	must(asynctimer_reactor_run(reactor), "run");
}

#define OWN .unit_ns = 1, .early_from_ns = 1, .needs_descriptors = 1, .open = open_reactor, \
	    .add = add_own, .restart = restart, .run = run
#define SHARED .unit_ns = 1, .early_from_ns = 1, .open = open_reactor, .add = add_shared, \
	       .restart = restart, .run = run

static const struct peer peers[] = {
	{ .name = "asynctimer_own", OWN },
	{ .name = "asynctimer_own_2t", .threads = 2, OWN },
	{ .name = "asynctimer_own_4t", .threads = 4, OWN },
	{ .name = "asynctimer_shared", SHARED },
	{ .name = "asynctimer_shared_2t", .threads = 2, SHARED },
	{ .name = "asynctimer_shared_4t", .threads = 4, SHARED },
};

BENCH_MAIN(peers)

/* SPDX-License-Identifier: MIT */
#include <dlfcn.h>
#include <pthread.h>

#include "asynctimer.h"
#include "bench.h"

#define SPIN_NS (200 * US)

static struct asynctimer_reactor *reactor;

/* Of later releases: looked up, so that the program also runs with a library that lacks them. */
static __typeof__(&asynctimer_reactor_set_spin) set_spin;
static __typeof__(&asynctimer_restart_after) restart_after;

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	bench_tick(data);
	return ASYNCTIMER_DONE;
}

static void open_reactor(void)
{
	set_spin = dlsym(RTLD_DEFAULT, "asynctimer_reactor_set_spin");
	restart_after = dlsym(RTLD_DEFAULT, "asynctimer_restart_after");
	must(asynctimer_reactor_new(&reactor), "reactor_new");
}

static void open_spinning(void)
{
	open_reactor();
	if (!set_spin)
		cannot("no asynctimer_reactor_set_spin in this release");
	must(set_spin(reactor, SPIN_NS), "set_spin");
}

static void open_virtual(void)
{
	must(asynctimer_reactor_new_virtual(&reactor), "reactor_new_virtual");
	must(asynctimer_reactor_advance(reactor, now_ns()), "advance");
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

static void again(struct record *record)
{
	if (!restart_after)
		cannot("no asynctimer_restart_after in this release");
	must(restart_after(record->handle, record->interval_ns), "restart_after");
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

static void run_virtual(void)
{
	for (;;)
		must(asynctimer_reactor_advance(reactor, SECOND), "advance");
}

#define OWN .unit_ns = 1, .early_from_ns = 1, .needs_descriptors = 1, .open = open_reactor, \
	    .add = add_own, .restart = restart, .again = again, .run = run
#define SHARED .unit_ns = 1, .early_from_ns = 1, .open = open_reactor, .add = add_shared, \
	       .restart = restart, .again = again, .run = run

static const struct peer peers[] = {
	{ .name = "asynctimer_own", OWN },
	{ .name = "asynctimer_own_2t", .threads = 2, OWN },
	{ .name = "asynctimer_own_4t", .threads = 4, OWN },
	{ .name = "asynctimer_virtual", .unit_ns = 1, .open = open_virtual, .add = add_shared,
	  .run = run_virtual },
	{ .name = "asynctimer_shared", SHARED },
	{ .name = "asynctimer_shared_spin", .unit_ns = 1, .early_from_ns = 1, .open = open_spinning,
	  .add = add_shared, .run = run },
	{ .name = "asynctimer_shared_2t", .threads = 2, SHARED },
	{ .name = "asynctimer_shared_4t", .threads = 4, SHARED },
};

BENCH_MAIN(peers)

/* SPDX-License-Identifier: MIT */
#include <asynctimer.h>

#include "peer.h"

static __thread struct asynctimer_reactor *reactor;

static void open_reactor(void)
{
	must(asynctimer_reactor_new(&reactor), "asynctimer_reactor_new");
}

static int on_tick(struct asynctimer *handle, const struct asynctimer_tick *tick, void *data)
{
	struct timer *timer = data;

	(void)handle;
	timer->missed += tick->skipped_busy + tick->skipped_late;
	timer->on_tick(timer);
	return ASYNCTIMER_DONE;
}

static int new_own(int clock, int policy, struct timer *timer, struct asynctimer **ret)
{
	return asynctimer_new(reactor, clock, timer->interval_ns, policy, on_tick, timer, ret);
}

static int new_shared(int clock, int policy, struct timer *timer, struct asynctimer **ret)
{
	return asynctimer_new_shared(reactor, clock, timer->interval_ns, policy, 0, on_tick, timer, ret);
}

static void start(struct timer *timer, int (*new_timer)(int, int, struct timer *, struct asynctimer **))
{
	static const int policies[] = {
		[REPEAT] = ASYNCTIMER_FIXED_SCHEDULE, [DELAY] = ASYNCTIMER_FIXED_DELAY,
		[ONCE] = ASYNCTIMER_ONCE, [WALL] = ASYNCTIMER_FIXED_SCHEDULE,
	};
	struct asynctimer *handle = timer->handle;

	if (!handle)
		must(new_timer(timer->kind == WALL ? CLOCK_REALTIME : CLOCK_MONOTONIC, policies[timer->kind],
			       timer, &handle), "asynctimer_new");
	timer->handle = handle;
	must(timer->kind == WALL ? asynctimer_start_at(handle, 0) :
				   asynctimer_start_after(handle, timer->interval_ns), "asynctimer_start");
}

static void start_own(struct timer *timer)
{
	start(timer, new_own);
}

static void start_shared(struct timer *timer)
{
	start(timer, new_shared);
}

static int stop(struct timer *timer)
{
	return asynctimer_stop(timer->handle);
}

static int stop_nowait(struct timer *timer)
{
	return asynctimer_stop_nowait(timer->handle);
}

static void release(struct timer *timer)
{
	asynctimer_free(timer->handle);
}

static void run(void)
{
	asynctimer_reactor_run(reactor);
}

static const struct remark remarks[] = {
	{ "lock", "documented: stop waits" },
	{ "forkstop", "documented: all calls there answer so" },
	{ "forkon", "documented: it can only free there" },
	{ NULL, NULL },
};

static const struct peer peers[] = {
	{ .name = "asynctimer, own", .version = asynctimer_version, .threads = 1, .wall = 1,
	  .open = open_reactor, .run = run, .start = start_own, .stop = stop, .stop_nowait = stop_nowait,
	  .release = release, .remarks = remarks },
	{ .name = "asynctimer, shared", .version = asynctimer_version, .threads = 1, .wall = 1,
	  .open = open_reactor, .run = run, .start = start_shared, .stop = stop, .stop_nowait = stop_nowait,
	  .release = release, .remarks = remarks },
};

PEERS_MAIN(peers)

/* SPDX-License-Identifier: MIT */
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>

#include "peer.h"

static __thread struct ev_loop *loop;

static const char *version(void)
{
	static char text[20];

	snprintf(text, sizeof(text), "%d.%d", ev_version_major(), ev_version_minor());
	return text;
}

static void open_loop(void)
{
	loop = ev_loop_new(EVBACKEND_EPOLL);
	must(loop ? 0 : -1, "ev_loop_new");
}

static void on_timer(struct ev_loop *on, ev_timer *handle, int events)
{
	struct timer *timer = handle->data;

	(void)events;
	timer->on_tick(timer);
	if (timer->kind == DELAY)
		ev_timer_again(on, handle);
}

static double seconds(uint64_t ns)
{
	return (double)ns / SECOND;
}

static void start_timer(struct timer *timer)
{
	ev_timer *handle = timer->handle;
	double interval = seconds(timer->interval_ns);

	if (!handle) {
		timer->handle = handle = malloc(sizeof(*handle));
		ev_init(handle, on_timer);
		handle->data = timer;
	}
	ev_timer_set(handle, interval, timer->kind == ONCE ? 0 : interval);
	ev_timer_start(loop, handle);
}

static int stop_timer(struct timer *timer)
{
	ev_timer_stop(loop, timer->handle);
	return 0;
}

static void release_timer(struct timer *timer)
{
	stop_timer(timer);
	free(timer->handle);
}

/* For what repeats; all else is ev_timer's. */
static void on_periodic(struct ev_loop *on, ev_periodic *handle, int events)
{
	struct timer *timer = handle->data;

	(void)on;
	(void)events;
	timer->on_tick(timer);
}

static int is_periodic(const struct timer *timer)
{
	return timer->kind == REPEAT || timer->kind == WALL;
}

static void start_periodic(struct timer *timer)
{
	ev_periodic *handle = timer->handle;

	if (!is_periodic(timer)) {
		start_timer(timer);
		return;
	}
	if (!handle) {
		timer->handle = handle = malloc(sizeof(*handle));
		ev_init(handle, on_periodic);
		handle->data = timer;
	}
	ev_periodic_set(handle, timer->kind == WALL ? 0 : ev_time(), seconds(timer->interval_ns), 0);
	ev_periodic_start(loop, handle);
}

static int stop_periodic(struct timer *timer)
{
	if (!is_periodic(timer))
		return stop_timer(timer);
	ev_periodic_stop(loop, timer->handle);
	return 0;
}

static void release_periodic(struct timer *timer)
{
	stop_periodic(timer);
	free(timer->handle);
}

static void run(void)
{
	ev_run(loop, 0);
}

static int after_fork(void)
{
	ev_loop_fork(loop);
	return 0;
}

#define LOCKS "documented: one thread per loop"

static const struct remark timer_remarks[] = {
	{ "callback", "documented: counts from ev_now" },
	{ "before", "documented: counts from ev_now" },
	{ "early", "documented: counts from ev_now" },
	{ "gap", "documented: counts from ev_now" },
	{ "thread", LOCKS }, { "lock", LOCKS }, { "nowait", LOCKS }, { "cross", LOCKS },
	{ "forkon", "after ev_loop_fork, as documented" },
	{ NULL, NULL },
};

static const struct remark periodic_remarks[] = {
	{ "callback", "as ev_timer, which has delays" },
	{ "before", "as ev_timer, which has delays" },
	{ "early", "as ev_timer, which has delays" },
	{ "gap", "as ev_timer, which has delays" },
	{ "thread", LOCKS }, { "lock", LOCKS }, { "nowait", LOCKS }, { "cross", LOCKS },
	{ "forkon", "after ev_loop_fork, as documented" },
	{ NULL, NULL },
};

static const struct peer peers[] = {
	{ .name = "libev, ev_timer", .version = version, .open = open_loop, .run = run,
	  .start = start_timer, .stop = stop_timer, .release = release_timer,
	  .after_fork = after_fork, .remarks = timer_remarks },
	{ .name = "libev, ev_periodic", .version = version, .wall = 1, .open = open_loop, .run = run,
	  .start = start_periodic, .stop = stop_periodic, .release = release_periodic,
	  .after_fork = after_fork, .remarks = periodic_remarks },
};

PEERS_MAIN(peers)

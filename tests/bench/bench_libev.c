/* SPDX-License-Identifier: MIT */
#include <ev.h>

#include "bench.h"

static struct ev_loop *loop;
static uint64_t opened_ns;
static double to_wall;		/* CLOCK_REALTIME - CLOCK_MONOTONIC, in seconds */

static double seconds(uint64_t ns)
{
	return (double)ns / SECOND;
}

static void open_loop(void)
{
	struct timespec wall;

	loop = ev_loop_new(EVBACKEND_EPOLL);
	if (!loop)
		must(-1, "ev_loop_new");
	opened_ns = now_ns();
	ev_now_update(loop);
	clock_gettime(CLOCK_REALTIME, &wall);
	to_wall = (double)wall.tv_sec + (double)wall.tv_nsec / SECOND - seconds(now_ns());
}

static void on_timer(struct ev_loop *on, ev_timer *timer, int events)
{
	(void)on;
	(void)events;
	bench_tick(record_of(timer));
}

static void add_timer(struct record *record)
{
	ev_timer *timer = behind(record);

	/* The loop's cached now is later than opened_ns, so none is early. */
	ev_timer_init(timer, on_timer, seconds(record->anchor_ns - opened_ns), seconds(record->interval_ns));
	ev_timer_start(loop, timer);
}

static void restart_timer(struct record *record)
{
	ev_timer *timer = behind(record);

	ev_timer_stop(loop, timer);
	ev_timer_set(timer, timer->repeat, timer->repeat);
	ev_timer_start(loop, timer);
}

static void again_timer(struct record *record)
{
	ev_timer_again(loop, behind(record));
}

static void on_periodic(struct ev_loop *on, ev_periodic *periodic, int events)
{
	(void)on;
	(void)events;
	bench_tick(record_of(periodic));
}

static void add_periodic(struct record *record)
{
	ev_periodic *periodic = behind(record);

	ev_periodic_init(periodic, on_periodic, seconds(record->anchor_ns) + to_wall,
			 seconds(record->interval_ns), 0);
	ev_periodic_start(loop, periodic);
}

static void restart_periodic(struct record *record)
{
	ev_periodic *periodic = behind(record);

	ev_periodic_stop(loop, periodic);
	ev_periodic_start(loop, periodic);
}

static void run(void)
{
	ev_run(loop, 0);
}

static const struct peer peers[] = {
	{ .name = "libev_timer", .size = sizeof(ev_timer), .unit_ns = 1,
	  .open = open_loop, .add = add_timer, .restart = restart_timer, .again = again_timer,
	  .run = run },
	{ .name = "libev_periodic", .size = sizeof(ev_periodic), .unit_ns = 1,
	  .open = open_loop, .add = add_periodic, .restart = restart_periodic, .run = run },
};

BENCH_MAIN(peers)

/* SPDX-License-Identifier: MIT */
/* It has no repetition: the manual says how to arm again, from the handler's usec or from now. */
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-event.h>

#include "peer.h"

static __thread sd_event *event;

static const char *version(void)
{
	return SYSTEMD_VERSION;
}

static void open_event(void)
{
	must(sd_event_new(&event), "sd_event_new");
}

static void switch_on(sd_event_source *source)
{
	must(sd_event_source_set_enabled(source, SD_EVENT_ONESHOT), "sd_event_source_set_enabled");
}

static int tick(sd_event_source *source, uint64_t next_us, struct timer *timer)
{
	if (timer->kind == REPEAT || timer->kind == WALL) {
		sd_event_source_set_time(source, next_us);
		switch_on(source);
	}
	sd_event_source_ref(source);	/* the callback may release it */
	timer->on_tick(timer);
	if (timer->kind == DELAY) {
		sd_event_source_set_time_relative(source, timer->interval_ns / US);
		switch_on(source);
	}
	sd_event_source_unref(source);
	return 0;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *data)
{
	struct timer *timer = data;

	return tick(source, usec + timer->interval_ns / US, timer);
}

static int on_tick_relative(sd_event_source *source, uint64_t usec, void *data)
{
	struct timer *timer = data;

	sd_event_now(event, timer->kind == WALL ? CLOCK_REALTIME : CLOCK_MONOTONIC, &usec);
	return tick(source, usec + timer->interval_ns / US, timer);
}

static void start(struct timer *timer, sd_event_time_handler_t handler)
{
	sd_event_source *source = timer->handle;

	if (source) {
		must(sd_event_source_set_time_relative(source, timer->interval_ns / US), "sd_event_source_set_time");
		switch_on(source);
	} else if (timer->kind == WALL) {
		must(sd_event_add_time(event, &source, CLOCK_REALTIME, next_on_the_wall(timer) / US, 1,
				       handler, timer), "sd_event_add_time");
	} else {
		must(sd_event_add_time_relative(event, &source, CLOCK_MONOTONIC, timer->interval_ns / US, 1,
						handler, timer), "sd_event_add_time_relative");
	}
	timer->handle = source;
}

static void start_usec(struct timer *timer)
{
	start(timer, on_tick);
}

static void start_relative(struct timer *timer)
{
	start(timer, on_tick_relative);
}

static int stop(struct timer *timer)
{
	return sd_event_source_set_enabled(timer->handle, SD_EVENT_OFF);
}

static void release(struct timer *timer)
{
	sd_event_source_disable_unref(timer->handle);
}

static void run(void)
{
	sd_event_loop(event);
}

#define RELATIVE "documented: relative to sd_event_now"
#define LOCKS "documented: a loop per thread"
#define FORK "documented: -ECHILD after a fork"

static const struct remark usec_remarks[] = {
	{ "callback", RELATIVE }, { "early", RELATIVE }, { "gap", RELATIVE },
	{ "burst", "as documented for regular timers" },
	{ "suspend", "as documented for regular timers" },
	{ "thread", LOCKS }, { "lock", LOCKS }, { "nowait", LOCKS }, { "cross", LOCKS },
	{ "forkstop", FORK }, { "forkon", FORK },
	{ NULL, NULL },
};

static const struct remark relative_remarks[] = {
	{ "callback", RELATIVE }, { "early", RELATIVE }, { "gap", RELATIVE },
	{ "drift", "documented: latency accumulates" },
	{ "phase", "documented: latency accumulates" },
	{ "thread", LOCKS }, { "lock", LOCKS }, { "nowait", LOCKS }, { "cross", LOCKS },
	{ "forkstop", FORK }, { "forkon", FORK },
	{ NULL, NULL },
};

static const struct peer peers[] = {
	{ .name = "sd-event, by usec", .version = version, .wall = 1, .open = open_event, .run = run,
	  .start = start_usec, .stop = stop, .release = release, .remarks = usec_remarks },
	{ .name = "sd-event, by now", .version = version, .wall = 1, .open = open_event, .run = run,
	  .start = start_relative, .stop = stop, .release = release, .remarks = relative_remarks },
};

PEERS_MAIN(peers)

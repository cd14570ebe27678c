/* SPDX-License-Identifier: MIT */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <string.h>

#include "bench.h"

static struct event_base *base;

static void open_base(void)
{
	struct event_config *config = event_config_new();

	if (!strcmp(bench_peer->name, "libevent_precise"))
		must(event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER), "event_config_set_flag");
	base = event_base_new_with_config(config);
	if (!base)
		must(-1, "event_base_new_with_config");
	event_config_free(config);
}

static struct timeval timeval_of(uint64_t ns)
{
	return (struct timeval){ (time_t)(ns / SECOND), (suseconds_t)(ns % SECOND / US) };
}

static void on_tick(evutil_socket_t fd, short events, void *data)
{
	(void)fd;
	(void)events;
	bench_tick(data);
}

static void add(struct record *record)
{
	struct event *event = behind(record);
	uint64_t now = now_ns();
	struct timeval first = timeval_of((record->anchor_ns > now ? record->anchor_ns - now : 0) + US - 1);

	must(event_assign(event, base, -1, EV_PERSIST, on_tick, record), "event_assign");
	must(event_add(event, &first), "event_add");
	/* No call sets a first delay and an interval; this is where libevent keeps the interval. */
	event->ev_.ev_io.ev_timeout = timeval_of(record->interval_ns);
}

static void again(struct record *record)
{
	struct timeval interval = timeval_of(record->interval_ns);

	must(event_add(behind(record), &interval), "event_add");
}

static void restart(struct record *record)
{
	must(event_del(behind(record)), "event_del");
	again(record);
}

static void run(void)
{
	event_base_dispatch(base);
}

static const struct peer peers[] = {
	{ .name = "libevent", .size = sizeof(struct event), .unit_ns = US,
	  .open = open_base, .add = add, .restart = restart, .again = again, .run = run },
	{ .name = "libevent_precise", .size = sizeof(struct event), .unit_ns = US,
	  .open = open_base, .add = add, .restart = restart, .again = again, .run = run },
};

BENCH_MAIN(peers)

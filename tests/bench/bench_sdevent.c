/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <systemd/sd-event.h>

#include "bench.h"

static sd_event *event;
static uint64_t accuracy_us;

static void open_event(void)
{
	if (!strcmp(bench_peer->name, "sdevent"))
		accuracy_us = bench_slack_ns / US;
	else
		accuracy_us = strcmp(bench_peer->name, "sdevent_1us") ? 1000 : 1;
	must(sd_event_new(&event), "sd_event_new");
}

static int on_tick(sd_event_source *source, uint64_t usec, void *data)
{
	struct record *record = data;
	uint64_t now_us = 0;

	record->due_ns = usec * US;
	sd_event_now(event, CLOCK_MONOTONIC, &now_us);
	sd_event_source_set_time(source, bench_next_due(record, now_us * US) / US);
	bench_tick(record);
	return 0;
}

static void add(struct record *record)
{
	sd_event_source *source;

	must(sd_event_add_time(event, &source, CLOCK_MONOTONIC, record->anchor_ns / US, accuracy_us,
			       on_tick, record), "sd_event_add_time");
	must(sd_event_source_set_enabled(source, SD_EVENT_ON), "sd_event_source_set_enabled");
	record->handle = source;
}

static void restart(struct record *record)
{
	sd_event_source_set_enabled(record->handle, SD_EVENT_OFF);
	sd_event_source_set_time_relative(record->handle, record->interval_ns / US);
	must(sd_event_source_set_enabled(record->handle, SD_EVENT_ON), "sd_event_source_set_enabled");
}

static void again(struct record *record)
{
	must(sd_event_source_set_time_relative(record->handle, record->interval_ns / US),
	     "sd_event_source_set_time_relative");
}

static void run(void)
{
	must(sd_event_loop(event), "sd_event_loop");
}

static const struct peer peers[] = {
	{ .name = "sdevent", .unit_ns = US, .max_timers = 100000,
	  .open = open_event, .add = add, .restart = restart, .again = again, .run = run },
	{ .name = "sdevent_1us", .unit_ns = US, .max_timers = 100000,
	  .open = open_event, .add = add, .restart = restart, .again = again, .run = run },
	{ .name = "sdevent_1ms", .unit_ns = US, .max_timers = 100000,
	  .open = open_event, .add = add, .restart = restart, .again = again, .run = run },
};

BENCH_MAIN(peers)

/* SPDX-License-Identifier: MIT */
#include <uv.h>

#include "bench.h"

static uv_loop_t loop;

static void open_loop(void)
{
	must(uv_loop_init(&loop), "uv_loop_init");
}

static void start(uv_timer_t *timer, uv_timer_cb callback, uint64_t due_ns, uint64_t repeat_ns)
{
	uint64_t due = due_ns / MS, now = uv_now(&loop);

	must(uv_timer_start(timer, callback, due > now ? due - now : 0, repeat_ns / MS), "uv_timer_start");
}

/* uv_timer's repeat moves the grid with every lateness, so an exact timer is armed again for the next point. */
static void on_tick(uv_timer_t *timer)
{
	struct record *record = record_of(timer);

	start(timer, on_tick, bench_next_due(record, uv_now(&loop) * MS), 0);
	bench_tick(record);
}

static void on_repeat(uv_timer_t *timer)
{
	bench_tick(record_of(timer));
}

static void add(struct record *record)
{
	must(uv_timer_init(&loop, behind(record)), "uv_timer_init");
	start(behind(record), on_tick, record->due_ns, 0);
}

static void add_repeat(struct record *record)
{
	must(uv_timer_init(&loop, behind(record)), "uv_timer_init");
	start(behind(record), on_repeat, record->due_ns, record->interval_ns);
}

static void restart(struct record *record)
{
	uv_timer_t *timer = behind(record);

	must(uv_timer_stop(timer), "uv_timer_stop");
	must(uv_timer_start(timer, on_tick, record->interval_ns / MS, 0), "uv_timer_start");
}

static void again(struct record *record)
{
	uv_timer_set_repeat(behind(record), record->interval_ns / MS);
	must(uv_timer_again(behind(record)), "uv_timer_again");
}

static void run(void)
{
	uv_run(&loop, UV_RUN_DEFAULT);
}

static const struct peer peers[] = {
	{ .name = "libuv", .size = sizeof(uv_timer_t), .unit_ns = MS,
	  .open = open_loop, .add = add, .restart = restart, .again = again, .run = run },
	{ .name = "libuv_repeat", .size = sizeof(uv_timer_t), .unit_ns = MS,
	  .open = open_loop, .add = add_repeat, .restart = restart, .run = run },
};

BENCH_MAIN(peers)

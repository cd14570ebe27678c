/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <uv.h>

#include "peer.h"

static __thread uv_loop_t loop;

static void open_loop(void)
{
	must(uv_loop_init(&loop), "uv_loop_init");
}

static void start(struct timer *timer);

static void on_tick(uv_timer_t *handle)
{
	struct timer *timer = handle->data;

	timer->on_tick(timer);
	if (timer->kind == DELAY)
		start(timer);
}

static void start(struct timer *timer)
{
	uv_timer_t *handle = timer->handle;
	uint64_t interval = timer->interval_ns / MS;

	if (!handle) {
		timer->handle = handle = malloc(sizeof(*handle));
		must(uv_timer_init(&loop, handle), "uv_timer_init");
		handle->data = timer;
	}
	must(uv_timer_start(handle, on_tick, interval, timer->kind == REPEAT ? interval : 0), "uv_timer_start");
}

static int stop(struct timer *timer)
{
	return uv_timer_stop(timer->handle);
}

static void on_close(uv_handle_t *handle)
{
	free(handle);
}

static void release(struct timer *timer)
{
	uv_close(timer->handle, on_close);
}

static void run(void)
{
	uv_run(&loop, UV_RUN_DEFAULT);
}

static int after_fork(void)
{
	return uv_loop_fork(&loop);
}

#define LOCKS "documented: not thread-safe"

static const struct remark remarks[] = {
	{ "before", "documented: see uv_update_time" },
	{ "drift", "documented: relative to the loop's now" },
	{ "phase", "documented: relative to the loop's now" },
	{ "freeown", "the memory goes in uv_close's callback" },
	{ "freeother", "the memory goes in uv_close's callback" },
	{ "thread", LOCKS }, { "lock", LOCKS }, { "nowait", LOCKS }, { "cross", LOCKS },
	{ "forkon", "after uv_loop_fork, as documented" },
	{ NULL, NULL },
};

static const struct peer peers[] = {
	{ .name = "libuv", .version = uv_version_string, .open = open_loop, .run = run, .start = start,
	  .stop = stop, .release = release, .after_fork = after_fork, .remarks = remarks },
};

PEERS_MAIN(peers)

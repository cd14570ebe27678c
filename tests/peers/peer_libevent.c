/* SPDX-License-Identifier: MIT */
#include <event2/event.h>
#include <event2/thread.h>

#include "peer.h"

static __thread struct event_base *base;

static void open_base(int flags)
{
	struct event_config *config = event_config_new();

	must(evthread_use_pthreads(), "evthread_use_pthreads");
	must(event_config_set_flag(config, flags), "event_config_set_flag");
	base = event_base_new_with_config(config);
	must(base ? 0 : -1, "event_base_new_with_config");
	event_config_free(config);
}

static void open_default(void)
{
	open_base(0);
}

static void open_precise(void)
{
	open_base(EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NO_CACHE_TIME);
}

static void add(struct timer *timer)
{
	struct timeval interval = { (time_t)(timer->interval_ns / SECOND),
				    (suseconds_t)(timer->interval_ns % SECOND / US) };

	must(event_add(timer->handle, &interval), "event_add");
}

static void on_tick(evutil_socket_t fd, short events, void *data)
{
	struct timer *timer = data;

	(void)fd;
	(void)events;
	timer->on_tick(timer);
	if (timer->kind == DELAY)
		add(timer);
}

static void start(struct timer *timer)
{
	if (!timer->handle)
		timer->handle = event_new(base, -1, timer->kind == REPEAT ? EV_PERSIST : 0, on_tick, timer);
	add(timer);
}

static int stop(struct timer *timer)
{
	return event_del(timer->handle);
}

static int stop_nowait(struct timer *timer)
{
	return event_del_noblock(timer->handle);
}

static void release(struct timer *timer)
{
	event_free(timer->handle);
}

static void run(void)
{
	event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
}

static int after_fork(void)
{
	return event_reinit(base);
}

static const struct remark default_remarks[] = {
	{ "early", "documented: unless PRECISE_TIMER" },
	{ "lock", "documented: event_del blocks" },
	{ "forkon", "after event_reinit, as documented" },
	{ NULL, NULL },
};

static const struct remark precise_remarks[] = {
	{ "lock", "documented: event_del blocks" },
	{ "forkon", "after event_reinit, as documented" },
	{ NULL, NULL },
};

static const struct peer peers[] = {
	{ .name = "libevent, default", .version = event_get_version, .threads = 1, .open = open_default, .run = run,
	  .start = start, .stop = stop, .stop_nowait = stop_nowait, .release = release,
	  .after_fork = after_fork, .remarks = default_remarks },
	{ .name = "libevent, precise", .version = event_get_version, .threads = 1, .open = open_precise,
	  .run = run, .start = start, .stop = stop, .stop_nowait = stop_nowait, .release = release,
	  .after_fork = after_fork, .remarks = precise_remarks },
};

PEERS_MAIN(peers)

/* SPDX-License-Identifier: MIT */
/* What one writes without a library: a timerfd per timer, and an epoll loop. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "peer.h"

struct bare {
	int fd;
	struct timer *timer;
};

static __thread int epoll;

static const char *version(void)
{
	static struct utsname name;

	uname(&name);
	name.release[strcspn(name.release, "-")] = '\0';	/* without who built it */
	return name.release;
}

static void open_epoll(void)
{
	epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){ (time_t)(ns / SECOND), (long)(ns % SECOND) };
}

static int arm(struct timer *timer, uint64_t first_ns, uint64_t interval_ns)
{
	struct itimerspec spec = { timespec_of(interval_ns), timespec_of(first_ns) };
	struct bare *bare = timer->handle;

	return timerfd_settime(bare->fd, timer->kind == WALL ? TFD_TIMER_ABSTIME : 0, &spec, NULL);
}

static void start(struct timer *timer)
{
	struct bare *bare = timer->handle;
	int repeats = timer->kind == REPEAT || timer->kind == WALL;

	if (!bare) {
		struct epoll_event event = { .events = EPOLLIN };

		timer->handle = event.data.ptr = bare = malloc(sizeof(*bare));
		bare->timer = timer;
		bare->fd = must(timerfd_create(timer->kind == WALL ? CLOCK_REALTIME : CLOCK_MONOTONIC,
					       TFD_NONBLOCK | TFD_CLOEXEC), "timerfd_create");
		must(epoll_ctl(epoll, EPOLL_CTL_ADD, bare->fd, &event), "epoll_ctl");
	}
	must(arm(timer, timer->kind == WALL ? next_on_the_wall(timer) : timer->interval_ns,
		 repeats ? timer->interval_ns : 0), "timerfd_settime");
}

static int stop(struct timer *timer)
{
	return arm(timer, 0, 0);
}

static void release(struct timer *timer)
{
	struct bare *bare = timer->handle;

	close(bare->fd);
	free(bare);
}

static void tick(struct bare *bare)
{
	struct timer *timer = bare->timer;
	uint64_t expirations;

	if (read(bare->fd, &expirations, sizeof(expirations)) < 0)
		return;
	timer->missed += expirations - 1;
	timer->on_tick(timer);
	if (timer->kind == DELAY)
		start(timer);
}

static void run(void)
{
	struct epoll_event event;

	/* One at a time, as the callback may close the descriptor of another's event: epoll(7). */
	for (;;)
		if (epoll_wait(epoll, &event, 1, -1) == 1)
			tick(event.data.ptr);
}

static const struct remark remarks[] = {
	{ "phase", "documented: readable when overdue" },
	{ "forkstop", "documented: both have the same timer" },
	{ "forkon", "documented: both have the same timer" },
	{ "clock", "TFD_TIMER_CANCEL_ON_SET tells of it" },
	{ NULL, NULL },
};

static const struct peer peers[] = {
	{ .name = "bare timerfd", .version = version, .threads = 1, .wall = 1, .open = open_epoll, .run = run,
	  .start = start, .stop = stop, .release = release, .remarks = remarks },
};

PEERS_MAIN(peers)

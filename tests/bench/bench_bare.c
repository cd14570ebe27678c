/* SPDX-License-Identifier: MIT */
/* What one writes without a library: a periodic timerfd a timer and an epoll loop, or a loop that sleeps. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "bench.h"

static int epoll;
static struct record *sleeper;

static int *fd_of(struct record *record)
{
	return behind(record);
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){ (time_t)(ns / SECOND), (long)(ns % SECOND) };
}

static void arm(int fd, uint64_t value_ns, uint64_t interval_ns)
{
	struct itimerspec spec = { timespec_of(interval_ns), timespec_of(value_ns) };

	must(timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL), "timerfd_settime");
}

static void open_epoll(void)
{
	epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
}

static void add(struct record *record)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = record };

	*fd_of(record) = must(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), "timerfd_create");
	must(epoll_ctl(epoll, EPOLL_CTL_ADD, *fd_of(record), &event), "epoll_ctl");
	arm(*fd_of(record), record->anchor_ns, record->interval_ns);
}

static void again(struct record *record)
{
	arm(*fd_of(record), now_ns() + record->interval_ns, record->interval_ns);
}

static void restart(struct record *record)
{
	arm(*fd_of(record), 0, 0);
	again(record);
}

static void run(void)
{
	struct epoll_event events[64];
	uint64_t expirations;

	for (;;) {
		int count = must(epoll_wait(epoll, events, 64, -1), "epoll_wait");

		for (int i = 0; i < count; i++)
			if (read(*fd_of(events[i].data.ptr), &expirations, sizeof(expirations)) > 0)
				bench_tick(events[i].data.ptr);
	}
}

static void add_sleeper(struct record *record)
{
	sleeper = record;
}

static void run_sleep(void)
{
	struct timespec interval = timespec_of(sleeper->interval_ns);
	struct timespec first = timespec_of(sleeper->anchor_ns);

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &first, NULL);
	for (;;) {
		bench_tick(sleeper);
		clock_nanosleep(CLOCK_MONOTONIC, 0, &interval, NULL);
	}
}

/* In the order of their due times, which stays, for their intervals are equal. */
static struct record **sleepers;
static size_t sleeper_count;

static int compare(const void *a, const void *b)
{
	const struct record *const *one = a, *const *other = b;

	return ((*one)->due_ns > (*other)->due_ns) - ((*one)->due_ns < (*other)->due_ns);
}

static void add_nanosleeper(struct record *record)
{
	struct record **more = realloc(sleepers, (sleeper_count + 1) * sizeof(*sleepers));

	must(more ? 0 : -ENOMEM, "realloc");
	sleepers = more;
	sleepers[sleeper_count++] = record;
}

static void run_nanosleep(void)
{
	must(prctl(PR_SET_TIMERSLACK, 1UL), "prctl");
	qsort(sleepers, sleeper_count, sizeof(*sleepers), compare);
	for (size_t i = 0;; i = (i + 1) % sleeper_count) {
		struct timespec due = timespec_of(sleepers[i]->due_ns);

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
		bench_next_due(sleepers[i], now_ns());
		bench_tick(sleepers[i]);
	}
}

static const struct peer peers[] = {
	{ .name = "bare", .size = sizeof(int), .unit_ns = 1, .early_from_ns = 1, .needs_descriptors = 1,
	  .open = open_epoll, .add = add, .restart = restart, .again = again, .run = run },
	{ .name = "nanosleep", .unit_ns = 1, .early_from_ns = 1, .add = add_nanosleeper,
	  .run = run_nanosleep },
	{ .name = "sleep", .unit_ns = 1, .max_timers = 1, .add = add_sleeper, .run = run_sleep },
};

BENCH_MAIN(peers)

/* SPDX-License-Identifier: MIT */
/* Steps of CLOCK_REALTIME and the way back, for the programs that set it. */
#ifndef STEP_H
#define STEP_H

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <unistd.h>

#include "util.h"

static int64_t *stepped_us;	/* shared with the forked tests */

static int try_step(int64_t us)
{
	int64_t seconds = us / 1000000 - (us % 1000000 < 0);
	struct timex timex = { .modes = ADJ_SETOFFSET };

	timex.time.tv_sec = seconds;
	timex.time.tv_usec = us - seconds * 1000000;
	if (clock_adjtime(CLOCK_REALTIME, &timex) < 0)
		return -errno;
	*stepped_us += us;
	return 0;
}

static void step(int64_t us)
{
	must(try_step(us));
}

static void restore(void)
{
	if (*stepped_us)
		step(-*stepped_us);
}

/*
 * Not 0: the clock is stepped so far right before the library arms a timerfd on
 * it, the reading from which it has worked out for when being older than that.
 */
static int64_t step_before_arming_us;

int __real_timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *ret);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *ret);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *ret)
{
	int64_t us = step_before_arming_us;

	/* To disarm one is to arm it for the end of time. */
	if (us && (flags & TFD_TIMER_CANCEL_ON_SET) && when->it_value.tv_sec < INT32_MAX) {
		step_before_arming_us = 0;
		step(us);
	}
	return __real_timerfd_settime(fd, flags, when, ret);
}

static void restore_and_exit(int signal)
{
	try_step(-*stepped_us);
	_exit(128 + signal);
}

/* As RUN_TESTS; the clock is left as it was, whatever becomes of them. */
#define RUN_STEPPING_TESTS(name, ...)                                                              \
	(begin_stepping(), end_stepping(RUN_TESTS(name, __VA_ARGS__)))

static void begin_stepping(void)
{
	int r;

	stepped_us = mmap(NULL, sizeof(*stepped_us), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stepped_us == MAP_FAILED)
		skip_all("no shared memory to note the clock's steps in");
	r = try_step(0);
	if (r < 0) {
		printf("clock_adjtime: %s\n", strerror(-r));
		skip_all("only root may set the clock");
	}
	signal(SIGINT, restore_and_exit);
	signal(SIGTERM, restore_and_exit);
}

static int end_stepping(int failed)
{
	try_step(-*stepped_us);
	return failed;
}

#endif

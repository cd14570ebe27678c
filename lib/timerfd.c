/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clock.h"
#include "timerfd.h"

int asynctimer__timerfd_new(int clock)
{
	int fd = timerfd_create(clock, TFD_NONBLOCK | TFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int asynctimer__timerfd_arm_at(int fd, int clock, uint64_t due_ns, uint64_t interval_ns)
{
	int flags = TFD_TIMER_ABSTIME;
	struct itimerspec when = {
		.it_interval = asynctimer__timespec(interval_ns),
		.it_value = asynctimer__timespec(due_ns ? due_ns : 1), /* 0 would disarm */
	};

	if (clock == CLOCK_REALTIME)
		flags |= TFD_TIMER_CANCEL_ON_SET;
	return timerfd_settime(fd, flags, &when, NULL) < 0 ? -errno : 0;
}

int asynctimer__timerfd_arm_in(int fd, uint64_t delay_ns)
{
	struct itimerspec when = { .it_value = asynctimer__timespec(delay_ns) };

	return timerfd_settime(fd, 0, &when, NULL) < 0 ? -errno : 0;
}

int asynctimer__timerfd_disarm(int fd)
{
	struct itimerspec never = { 0 };

	return timerfd_settime(fd, 0, &never, NULL) < 0 ? -errno : 0;
}

int asynctimer__timerfd_take(int fd)
{
	uint64_t expirations;
	ssize_t length = read(fd, &expirations, sizeof(expirations));

	if (length == sizeof(expirations))
		return 1;
	/* 0 bytes where CLOCK_REALTIME was set back since it expired. */
	return length < 0 && errno != EAGAIN ? -errno : 0;
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clock.h"
#include "descriptor.h"
#include "timerfd.h"

#define FAR_NS UINT64_MAX	/* the kernel takes it for the end of time */

static int arm(int fd, int flags, uint64_t value_ns, uint64_t interval_ns)
{
	struct itimerspec when = {
		.it_interval = asynctimer__timespec(interval_ns),
		.it_value = asynctimer__timespec(value_ns),
	};

	return timerfd_settime(fd, flags, &when, NULL) < 0 ? -errno : 0;
}

int asynctimer__timerfd_new(int clock)
{
	int fd = asynctimer__descriptor(timerfd_create(clock, TFD_NONBLOCK | TFD_CLOEXEC));
	int r;

	if (fd < 0 || clock != CLOCK_REALTIME)
		return fd;
	r = asynctimer__timerfd_disarm(fd, clock);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

int asynctimer__timerfd_arm_at(int fd, int clock, uint64_t due_ns, uint64_t interval_ns)
{
	int flags = TFD_TIMER_ABSTIME;

	if (clock == CLOCK_REALTIME)
		flags |= TFD_TIMER_CANCEL_ON_SET;
	return arm(fd, flags, due_ns ? due_ns : 1, interval_ns);	/* 0 would disarm */
}

int asynctimer__timerfd_arm_in(int fd, uint64_t delay_ns)
{
	return arm(fd, 0, delay_ns, 0);
}

int asynctimer__timerfd_disarm(int fd, int clock)
{
	int r;

	if (clock != CLOCK_REALTIME)
		return arm(fd, 0, 0, 0);
	/* Really disarmed, it would not be told of a step. */
	r = asynctimer__timerfd_arm_at(fd, clock, FAR_NS, 0);
	return r == -ECANCELED ? 0 : r;
}

int asynctimer__timerfd_take(int fd, uint64_t *ret)
{
	uint64_t expirations;
	ssize_t length = read(fd, &expirations, sizeof(expirations));

	/* 0 bytes where CLOCK_REALTIME was set back since it expired. */
	*ret = length == sizeof(expirations) ? expirations : 0;
	return length < 0 && errno != EAGAIN ? -errno : 0;
}

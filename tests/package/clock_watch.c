/* SPDX-License-Identifier: MIT */
/*
 * Whether the wall clock is set: says "watching", waits for the end of its input,
 * and exits with 1 if the clock was set in between. Other tests do that.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
	const struct itimerspec never = { .it_value.tv_sec = INT32_MAX };
	int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
	uint64_t expirations;
	char byte;

	if (fd < 0 ||
	    timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0)
		return 2;
	puts("watching");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return read(fd, &expirations, sizeof(expirations)) < 0 && errno == ECANCELED;
}

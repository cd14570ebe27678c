/* SPDX-License-Identifier: MIT */
/* A timer in a poll(2) loop, which also echoes its standard input. */
#include <asynctimer.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	printf("%s %" PRIu64 " due %" PRIu64 "\n", (const char *)data, tick->number, tick->due_ns);
	return ASYNCTIMER_DONE;
}

static bool echo_input(void)
{
	char text[256];
	ssize_t length = read(STDIN_FILENO, text, sizeof(text));

	if (length > 0)
		printf("%.*s", (int)length, text);
	return length > 0;
}

int main(void)
{
	struct asynctimer_reactor *reactor;
	struct asynctimer *timer;
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	struct pollfd ready[2] = { input, input };

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (asynctimer_reactor_new(&reactor) < 0 ||
	    asynctimer_new(reactor, CLOCK_MONOTONIC, 20 * ASYNCTIMER_MILLISECOND,
			   ASYNCTIMER_FIXED_SCHEDULE, on_tick, "tick", &timer) < 0 ||
	    asynctimer_start(timer) < 0)
		errx(1, "can't make a timer: raise the limit of descriptors (ulimit -n)");
	ready[1].fd = asynctimer_reactor_fd(reactor);
	for (;;) {
		if (poll(ready, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			err(1, "poll");
		}
		if (ready[1].revents)
			asynctimer_reactor_dispatch(reactor, 0);
		if (ready[0].revents && !echo_input())
			break;
	}
	return asynctimer_reactor_free(reactor);
}

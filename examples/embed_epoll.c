/* SPDX-License-Identifier: MIT */
/* A timer in an epoll(7) loop (-e: edge-triggered), which also echoes its standard input. */
#include <asynctimer.h>
#include <err.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
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

int main(int argc, char **argv)
{
	struct asynctimer_reactor *reactor;
	struct asynctimer *timer;
	uint32_t edge = argc > 1 && strcmp(argv[1], "-e") == 0 ? EPOLLET : 0;
	struct epoll_event input = { .events = EPOLLIN };
	struct epoll_event timers = { .events = EPOLLIN | edge };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (asynctimer_reactor_new(&reactor) < 0 ||
	    asynctimer_new(reactor, CLOCK_MONOTONIC, 20 * ASYNCTIMER_MILLISECOND,
			   ASYNCTIMER_FIXED_SCHEDULE, on_tick, "tick", &timer) < 0 ||
	    asynctimer_start(timer) < 0)
		errx(1, "can't make a timer: raise the limit of descriptors (ulimit -n)");
	timers.data.ptr = reactor;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, asynctimer_reactor_fd(reactor), &timers) < 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) < 0)
		err(1, "can't watch standard input: make it a pipe or a terminal");
	for (struct epoll_event event;;) {
		if (epoll_wait(epoll, &event, 1, -1) < 1)
			continue;	/* a signal */
		if (event.data.ptr)
			asynctimer_reactor_dispatch(reactor, 0);	/* once an edge is enough */
		else if (!echo_input())
			break;
	}
	return asynctimer_reactor_free(reactor);
}

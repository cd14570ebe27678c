/* SPDX-License-Identifier: MIT */
/* A timer in a libevent loop, which also echoes its standard input. */
#include <asynctimer.h>
#include <err.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	printf("%s %" PRIu64 " due %" PRIu64 "\n", (const char *)data, tick->number, tick->due_ns);
	return ASYNCTIMER_DONE;
}

static void on_timers(evutil_socket_t fd, short events, void *data)
{
	(void)fd;
	(void)events;
	asynctimer_reactor_dispatch(data, 0);
}

static void on_input(evutil_socket_t fd, short events, void *data)
{
	char text[256];
	ssize_t length = read(fd, text, sizeof(text));

	(void)events;
	if (length > 0)
		printf("%.*s", (int)length, text);
	else
		event_base_loopbreak(data);
}

int main(void)
{
	struct asynctimer_reactor *reactor;
	struct asynctimer *timer;
	struct event_base *base = event_base_new();
	const short readable = EV_READ | EV_PERSIST;
	struct event *timers, *input = event_new(base, STDIN_FILENO, readable, on_input, base);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (asynctimer_reactor_new(&reactor) < 0 ||
	    asynctimer_new(reactor, CLOCK_MONOTONIC, 20 * ASYNCTIMER_MILLISECOND,
			   ASYNCTIMER_FIXED_SCHEDULE, on_tick, "tick", &timer) < 0 ||
	    asynctimer_start(timer) < 0)
		errx(1, "can't make a timer: raise the limit of descriptors (ulimit -n)");
	timers = event_new(base, asynctimer_reactor_fd(reactor), readable, on_timers, reactor);
	event_add(timers, NULL);
	event_add(input, NULL);
	event_base_dispatch(base);
	event_free(timers);
	event_free(input);
	event_base_free(base);
	return asynctimer_reactor_free(reactor);
}

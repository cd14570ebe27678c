/* SPDX-License-Identifier: MIT */
/* A timer in a libev loop, which also echoes its standard input. */
#include <asynctimer.h>
#include <err.h>
#include <ev.h>
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

static void on_timers(struct ev_loop *loop, ev_io *watcher, int events)
{
	(void)loop;
	(void)events;
	asynctimer_reactor_dispatch(watcher->data, 0);
}

static void on_input(struct ev_loop *loop, ev_io *watcher, int events)
{
	char text[256];
	ssize_t length = read(watcher->fd, text, sizeof(text));

	(void)events;
	if (length > 0)
		printf("%.*s", (int)length, text);
	else
		ev_break(loop, EVBREAK_ALL);
}

int main(void)
{
	struct asynctimer_reactor *reactor;
	struct asynctimer *timer;
	struct ev_loop *loop = ev_default_loop(0);
	ev_io timers, input;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (asynctimer_reactor_new(&reactor) < 0 ||
	    asynctimer_new(reactor, CLOCK_MONOTONIC, 20 * ASYNCTIMER_MILLISECOND,
			   ASYNCTIMER_FIXED_SCHEDULE, on_tick, "tick", &timer) < 0 ||
	    asynctimer_start(timer) < 0)
		errx(1, "can't make a timer: raise the limit of descriptors (ulimit -n)");
	ev_io_init(&timers, on_timers, asynctimer_reactor_fd(reactor), EV_READ);
	timers.data = reactor;
	ev_io_start(loop, &timers);
	ev_io_init(&input, on_input, STDIN_FILENO, EV_READ);
	ev_io_start(loop, &input);
	ev_run(loop, 0);
	ev_loop_destroy(loop);
	return asynctimer_reactor_free(reactor);
}

/* SPDX-License-Identifier: MIT */
/* A timer in a libuv loop, which also echoes its standard input. */
#include <asynctimer.h>
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	printf("%s %" PRIu64 " due %" PRIu64 "\n", (const char *)data, tick->number, tick->due_ns);
	return ASYNCTIMER_DONE;
}

static void on_timers(uv_poll_t *watcher, int status, int events)
{
	(void)status;
	(void)events;
	asynctimer_reactor_dispatch(watcher->data, 0);
}

static void on_input(uv_poll_t *watcher, int status, int events)
{
	char text[256];
	ssize_t length = read(STDIN_FILENO, text, sizeof(text));

	(void)status;
	(void)events;
	if (length > 0)
		printf("%.*s", (int)length, text);
	else
		uv_stop(watcher->loop);
}

int main(void)
{
	struct asynctimer_reactor *reactor;
	struct asynctimer *timer;
	uv_loop_t *loop = uv_default_loop();
	uv_poll_t timers, input;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (asynctimer_reactor_new(&reactor) < 0 ||
	    asynctimer_new(reactor, CLOCK_MONOTONIC, 20 * ASYNCTIMER_MILLISECOND,
			   ASYNCTIMER_FIXED_SCHEDULE, on_tick, "tick", &timer) < 0 ||
	    asynctimer_start(timer) < 0)
		errx(1, "can't make a timer: raise the limit of descriptors (ulimit -n)");
	uv_poll_init(loop, &timers, asynctimer_reactor_fd(reactor));
	timers.data = reactor;
	uv_poll_start(&timers, UV_READABLE, on_timers);
	if (uv_poll_init(loop, &input, STDIN_FILENO) < 0)
		errx(1, "can't watch standard input: make it a pipe or a terminal");
	uv_poll_start(&input, UV_READABLE, on_input);
	uv_run(loop, UV_RUN_DEFAULT);
	return asynctimer_reactor_free(reactor);
}

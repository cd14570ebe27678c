/* SPDX-License-Identifier: MIT */
/* A timer in an sd-event loop, which also echoes its standard input. */
#include <asynctimer.h>
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	printf("%s %" PRIu64 " due %" PRIu64 "\n", (const char *)data, tick->number, tick->due_ns);
	return ASYNCTIMER_DONE;
}

static int on_timers(sd_event_source *source, int fd, uint32_t events, void *reactor)
{
	(void)source;
	(void)fd;
	(void)events;
	return asynctimer_reactor_dispatch(reactor, 0);
}

static int on_input(sd_event_source *source, int fd, uint32_t events, void *data)
{
	char text[256];
	ssize_t length = read(fd, text, sizeof(text));

	(void)events;
	(void)data;
	if (length <= 0)
		return sd_event_exit(sd_event_source_get_event(source), 0);
	return printf("%.*s", (int)length, text);
}

int main(void)
{
	struct asynctimer_reactor *reactor;
	struct asynctimer *timer;
	sd_event *event = NULL;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (asynctimer_reactor_new(&reactor) < 0 ||
	    asynctimer_new(reactor, CLOCK_MONOTONIC, 20 * ASYNCTIMER_MILLISECOND,
			   ASYNCTIMER_FIXED_SCHEDULE, on_tick, "tick", &timer) < 0 ||
	    asynctimer_start(timer) < 0)
		errx(1, "can't make a timer: raise the limit of descriptors (ulimit -n)");
	if (sd_event_new(&event) < 0 ||
	    sd_event_add_io(event, NULL, STDIN_FILENO, EPOLLIN, on_input, NULL) < 0)
		errx(1, "can't watch standard input: make it a pipe or a terminal");
	sd_event_add_io(event, NULL, asynctimer_reactor_fd(reactor), EPOLLIN, on_timers, reactor);
	sd_event_loop(event);
	sd_event_unref(event);
	return asynctimer_reactor_free(reactor);
}

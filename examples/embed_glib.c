/* SPDX-License-Identifier: MIT */
/* A timer in GLib's main loop, which also echoes its standard input. */
#include <asynctimer.h>
#include <err.h>
#include <glib-unix.h>
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

static gboolean on_timers(gint fd, GIOCondition condition, gpointer reactor)
{
	(void)fd;
	(void)condition;
	asynctimer_reactor_dispatch(reactor, 0);
	return G_SOURCE_CONTINUE;
}

static gboolean on_input(gint fd, GIOCondition condition, gpointer loop)
{
	char text[256];
	ssize_t length = read(fd, text, sizeof(text));

	(void)condition;
	if (length > 0)
		printf("%.*s", (int)length, text);
	else
		g_main_loop_quit(loop);
	return length > 0;
}

int main(void)
{
	struct asynctimer_reactor *reactor;
	struct asynctimer *timer;
	GMainLoop *loop = g_main_loop_new(NULL, FALSE);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (asynctimer_reactor_new(&reactor) < 0 ||
	    asynctimer_new(reactor, CLOCK_MONOTONIC, 20 * ASYNCTIMER_MILLISECOND,
			   ASYNCTIMER_FIXED_SCHEDULE, on_tick, "tick", &timer) < 0 ||
	    asynctimer_start(timer) < 0)
		errx(1, "can't make a timer: raise the limit of descriptors (ulimit -n)");
	g_unix_fd_add(asynctimer_reactor_fd(reactor), G_IO_IN, on_timers, reactor);
	g_unix_fd_add(STDIN_FILENO, G_IO_IN | G_IO_HUP, on_input, loop);
	g_main_loop_run(loop);
	g_main_loop_unref(loop);
	return asynctimer_reactor_free(reactor);
}

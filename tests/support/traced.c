/* SPDX-License-Identifier: MIT */
/*
 * What test_strace.sh traces, and test_inject.sh: 25 ticks on the policy given,
 * 20 ms apart or as many as given. Writes to no descriptor mark in the trace
 * where start, each callback (and whether ticks were skipped before it) and stop
 * were.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "asynctimer.h"

static void mark(const char *text)
{
	ssize_t r = write(-1, text, strlen(text));

	(void)r;
}

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	int *callbacks = data;

	mark(tick->skipped_busy ? "busy" : tick->skipped_late ? "late" : "tick");
	if (++*callbacks == 25)
		asynctimer_reactor_stop(asynctimer_get_reactor(timer));
	return ASYNCTIMER_DONE;
}

int main(int argc, char **argv)
{
	uint64_t interval_ms = argc > 2 ? strtoul(argv[2], NULL, 10) : 20;
	int policy = ASYNCTIMER_FIXED_SCHEDULE;
	struct asynctimer_reactor *reactor;
	struct asynctimer *timer;
	int callbacks = 0;

	if (argc > 1 && strcmp(argv[1], "delay") == 0)
		policy = ASYNCTIMER_FIXED_DELAY;
	alarm(60);
	mark("new");
	if (asynctimer_reactor_new(&reactor) < 0 ||
	    asynctimer_new(reactor, CLOCK_MONOTONIC, interval_ms * ASYNCTIMER_MILLISECOND, policy, on_tick,
			   &callbacks, &timer) < 0)
		return EXIT_FAILURE;
	mark("start");
	if (asynctimer_start(timer) != 1 || asynctimer_reactor_run(reactor) != 0)
		return EXIT_FAILURE;
	mark("stop");
	return asynctimer_reactor_free(reactor) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

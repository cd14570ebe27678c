/* SPDX-License-Identifier: MIT */
/*
 * What test_instructions.sh counts: ticks on a virtual reactor, which has neither
 * chance nor a kernel in it. "exact": 100 timers of 100 Hz, each alone with its
 * due times. "slack": 1,000 of 16 intervals around 100 ms, with 1 ms of slack. The
 * number of ticks is printed.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "asynctimer.h"

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	(void)data;
	return ASYNCTIMER_DONE;
}

/* The index'th of them, started. */
static int add(struct asynctimer_reactor *reactor, uint64_t index, uint64_t interval_ns,
	       uint64_t slack_ns)
{
	struct asynctimer *timer;

	if (asynctimer_new_shared(reactor, CLOCK_MONOTONIC, interval_ns, ASYNCTIMER_FIXED_SCHEDULE,
				  slack_ns, on_tick, NULL, &timer) < 0)
		return -1;
	return asynctimer_start_after(timer, asynctimer_spread_ns(index, interval_ns));
}

int main(int argc, char **argv)
{
	int slack = argc == 2 && !strcmp(argv[1], "slack");
	struct asynctimer_reactor *reactor;

	if (asynctimer_reactor_new_virtual(&reactor) < 0)
		return 1;
	for (uint64_t i = 0; i < (slack ? 1000 : 100); i++) {
		uint64_t interval_ns = slack ? (92 + i % 16) * ASYNCTIMER_MILLISECOND :
					       10 * ASYNCTIMER_MILLISECOND;

		if (add(reactor, i, interval_ns, slack ? ASYNCTIMER_MILLISECOND : 0) < 0)
			return 1;
	}
	printf("%d\n", asynctimer_reactor_advance(reactor, 2 * ASYNCTIMER_SECOND));
	return asynctimer_reactor_free(reactor) < 0;
}

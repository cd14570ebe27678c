/* SPDX-License-Identifier: MIT */
/* Five ticks, 200 ms apart. To build it: cc basic.c $(pkg-config --cflags --libs asynctimer) */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <asynctimer.h>

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	printf("%s %" PRIu64 ", %" PRIu64 " ns late\n", (const char *)data, tick->number,
	       tick->now_ns - tick->due_ns);
	if (tick->number >= 5)
		asynctimer_reactor_stop(asynctimer_get_reactor(timer));
	return ASYNCTIMER_DONE;
}

int main(void)
{
	struct asynctimer_reactor *reactor = NULL;
	struct asynctimer *timer;
	int r = asynctimer_reactor_new(&reactor);

	if (r == 0)
		r = asynctimer_new(reactor, CLOCK_MONOTONIC, 200 * ASYNCTIMER_MILLISECOND,
				   ASYNCTIMER_FIXED_SCHEDULE, on_tick, "tick", &timer);
	if (r == 0)
		r = asynctimer_start(timer);
	if (r >= 0)
		r = asynctimer_reactor_run(reactor);
	if (r < 0)
		fprintf(stderr, "basic: %s\n", strerror(-r));
	asynctimer_reactor_free(reactor);	/* and its timer */
	return r < 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Whether a timer of 1 ms with 200 us of work drifts: the smallest lateness of
 * its first 1,000 ticks and of as many after 99,000, and whether every due time
 * is what clock readings around start say. Takes 100 seconds.
 */
#include <inttypes.h>
#include <stdio.h>

#include "asynctimer.h"
#include "bench.h"

#define LAST 100000
#define WINDOW 1000
#define INTERVAL_NS MS
#define WORK_NS (200 * US)

static struct asynctimer_reactor *reactor;
static uint64_t before_ns, after_ns, first_ns, wrong, skipped;
static uint64_t smallest[2] = { UINT64_MAX, UINT64_MAX };

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	uint64_t now = now_ns();
	uint64_t grid_ns = tick->due_ns - tick->number * INTERVAL_NS;

	(void)timer;
	(void)data;
	if (!first_ns)
		first_ns = grid_ns;
	/* The grid starts one interval after the start, which was between the two readings. */
	wrong += grid_ns != first_ns || grid_ns < before_ns || grid_ns > after_ns || now < tick->due_ns;
	skipped += tick->skipped_busy + tick->skipped_late;
	if (tick->number <= WINDOW || tick->number > LAST - WINDOW) {
		uint64_t *window = &smallest[tick->number > WINDOW];

		if (tick->now_ns - tick->due_ns < *window)
			*window = tick->now_ns - tick->due_ns;
	}
	if (tick->number >= LAST)
		asynctimer_reactor_stop(reactor);
	while (now_ns() < now + WORK_NS)
		;
	return ASYNCTIMER_DONE;
}

int main(void)
{
	struct asynctimer *timer;

	asynctimer_reactor_new(&reactor);
	if (asynctimer_new(reactor, CLOCK_MONOTONIC, INTERVAL_NS, ASYNCTIMER_FIXED_SCHEDULE, on_tick,
			   NULL, &timer) < 0)
		return 1;
	before_ns = now_ns();
	asynctimer_start(timer);
	after_ns = now_ns();
	asynctimer_reactor_run(reactor);
	asynctimer_reactor_free(reactor);
	printf("smallest lateness, ticks 1 to %d: %" PRIu64 " ns; the last %d of %d: %" PRIu64
	       " ns; skipped %" PRIu64 "; wrong due times: %" PRIu64 "\n", WINDOW, smallest[0], WINDOW,
	       LAST, smallest[1], skipped, wrong);
	return wrong != 0;
}

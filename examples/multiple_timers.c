/* SPDX-License-Identifier: MIT */
/*
 * Three timers on one reactor. Anchored at one point of time, they stay in step
 * for ever: tick 6 of the first is due with tick 3 of the second and tick 2 of
 * the third.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <asynctimer.h>

struct metronome {
	const char *name;
	uint64_t interval_ns;
	uint64_t last;			/* callbacks after which it stops the reactor; 0: never */
	uint64_t started_ns;
	struct asynctimer *timer;
};

static struct metronome metronomes[] = {
	{ .name = "fast", .interval_ns = 100 * ASYNCTIMER_MILLISECOND },
	{ .name = "medium", .interval_ns = 200 * ASYNCTIMER_MILLISECOND },
	{ .name = "slow", .interval_ns = 300 * ASYNCTIMER_MILLISECOND, .last = 4 },
};
#define METRONOMES (sizeof(metronomes) / sizeof(metronomes[0]))

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct metronome *metronome = data;

	printf("%-6s tick %2" PRIu64 " due at %11.6f ms\n", metronome->name, tick->number,
	       (double)(tick->due_ns - metronome->started_ns) / ASYNCTIMER_MILLISECOND);
	if (metronome->last && --metronome->last == 0)
		asynctimer_reactor_stop(asynctimer_get_reactor(timer));
	return ASYNCTIMER_DONE;
}

static int run(struct asynctimer_reactor *reactor)
{
	uint64_t started_ns;
	int r;

	for (size_t i = 0; i < METRONOMES; i++) {
		r = asynctimer_new(reactor, CLOCK_MONOTONIC, metronomes[i].interval_ns,
				   ASYNCTIMER_FIXED_SCHEDULE, on_tick, &metronomes[i],
				   &metronomes[i].timer);
		if (r < 0)
			return r;
		/* Only tracers read it: the timer works without. */
		asynctimer_set_name(metronomes[i].timer, metronomes[i].name);
	}
	started_ns = asynctimer_now_ns(metronomes[0].timer);
	for (size_t i = 0; i < METRONOMES; i++) {
		metronomes[i].started_ns = started_ns;
		asynctimer_start_at(metronomes[i].timer, started_ns + metronomes[i].interval_ns);
	}
	return asynctimer_reactor_run(reactor);
}

int main(void)
{
	struct asynctimer_reactor *reactor = NULL;
	int r = asynctimer_reactor_new(&reactor);

	if (r == 0)
		r = run(reactor);
	if (r < 0)
		fprintf(stderr, "multiple_timers: %s\n", strerror(-r));
	for (size_t i = 0; r == 0 && i < METRONOMES; i++) {
		struct asynctimer_stats stats;

		asynctimer_get_stats(metronomes[i].timer, &stats);
		printf("%-6s %" PRIu64 " callbacks, %" PRIu64 " skipped\n", metronomes[i].name,
		       stats.callbacks, stats.skipped_busy + stats.skipped_late);
	}
	asynctimer_reactor_free(reactor);
	return r < 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The two policies, with a callback that takes longer than the interval:
 * FIXED_SCHEDULE skips to the next point of its grid (100, 300, 500 ms ...),
 * FIXED_DELAY waits one interval from the end of the callback (100, 350, 600).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <asynctimer.h>

#define INTERVAL_NS (100 * ASYNCTIMER_MILLISECOND)
#define WORK_NS	    (150 * ASYNCTIMER_MILLISECOND)

struct show {
	uint64_t started_ns;
	unsigned left;
};

static double ms_since(uint64_t started_ns, uint64_t now_ns)
{
	return (double)(now_ns - started_ns) / ASYNCTIMER_MILLISECOND;
}

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	const struct timespec work = { .tv_nsec = WORK_NS };
	struct show *show = data;

	printf("  tick %2" PRIu64 "  due %8.3f ms  began %8.3f ms  skipped %" PRIu64
	       " busy, %" PRIu64 " late\n",
	       tick->number, ms_since(show->started_ns, tick->due_ns),
	       ms_since(show->started_ns, tick->now_ns), tick->skipped_busy, tick->skipped_late);
	nanosleep(&work, NULL);
	if (--show->left == 0)
		asynctimer_reactor_stop(asynctimer_get_reactor(timer));
	return ASYNCTIMER_DONE;
}

static int show_policy(const char *name, int policy)
{
	struct show show = { .left = 5 };
	struct asynctimer_reactor *reactor = NULL;
	struct asynctimer *timer;
	int r = asynctimer_reactor_new(&reactor);

	if (r == 0)
		r = asynctimer_new(reactor, CLOCK_MONOTONIC, INTERVAL_NS, policy, on_tick, &show,
				   &timer);
	if (r == 0)
		r = asynctimer_start(timer);
	if (r >= 0) {
		printf("%s\n", name);
		show.started_ns = asynctimer_next_due_ns(timer) - INTERVAL_NS;
		r = asynctimer_reactor_run(reactor);
	}
	if (r < 0)
		fprintf(stderr, "schedule_policy: %s\n", strerror(-r));
	asynctimer_reactor_free(reactor);
	return r;
}

int main(void)
{
	printf("interval 100 ms, work 150 ms\n");
	if (show_policy("FIXED_SCHEDULE", ASYNCTIMER_FIXED_SCHEDULE) < 0)
		return 1;
	return show_policy("FIXED_DELAY", ASYNCTIMER_FIXED_DELAY) < 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * What test_probes.sh traces: the same cycle of events again and again, on a
 * virtual clock of its own each time, until killed. The first cycle is written
 * out, in the words of the probes but with what the public interface says.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "asynctimer.h"

#define MS ASYNCTIMER_MILLISECOND

struct probed {
	struct asynctimer *timer;
	const char *name;
	uint64_t interval_ns;
	int policy;
	uint64_t work_ns;
	bool defers;
	uint64_t open;		/* number of the deferred tick */
	uint64_t begun_ns;
};

static struct asynctimer_reactor *reactor;
static bool first = true;

static void check(int r)
{
	if (r < 0)
		exit(1);
}

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct probed *probed = data;
	uint64_t skipped = tick->skipped_busy + tick->skipped_late;

	(void)timer;
	if (first && skipped)
		printf("skip [%s] %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", probed->name,
		       tick->number, tick->skipped_busy, tick->skipped_late);
	if (first)
		printf("tick_start [%s] %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
		       probed->name, tick->number, tick->now_ns - tick->due_ns, skipped,
		       tick->behind_ns);
	check(asynctimer_reactor_advance(reactor, probed->work_ns));
	if (probed->defers) {
		probed->open = tick->number;
		probed->begun_ns = tick->now_ns;
		return ASYNCTIMER_PENDING;
	}
	if (first)
		printf("tick_end [%s] %" PRIu64 " %" PRIu64 "\n", probed->name, tick->number,
		       probed->work_ns);
	return ASYNCTIMER_DONE;
}

static void begin(struct probed *probed)
{
	char name[32];

	check(asynctimer_new(reactor, CLOCK_MONOTONIC, probed->interval_ns, probed->policy, on_tick,
			     probed, &probed->timer));
	snprintf(name, sizeof(name), "%s", probed->name);
	/* Its name shall say what the probe's first argument is. */
	if (probed->defers)
		snprintf(name, sizeof(name), "0x%" PRIxPTR, (uintptr_t)probed->timer);
	check(asynctimer_set_name(probed->timer, name));
	check(asynctimer_start(probed->timer));
	if (first)
		printf("start [%s] %" PRIu64 " %" PRIu64 "\n", probed->name, probed->interval_ns,
		       asynctimer_next_due_ns(probed->timer));
}

static void say_stop(const struct probed *probed)
{
	if (first)
		printf("stop [%s]\n", probed->name);
}

static void cycle(void)
{
	struct probed busy = { .name = "busy", .interval_ns = 100 * MS, .work_ns = 250 * MS };
	struct probed none = { .name = "", .interval_ns = 90 * MS, .work_ns = 0 };
	struct probed deferring = { .name = "itself", .interval_ns = 1000 * MS,
				    .policy = ASYNCTIMER_FIXED_DELAY, .work_ns = 7, .defers = true };

	check(asynctimer_reactor_new_virtual(&reactor));
	begin(&busy);
	begin(&none);
	begin(&deferring);
	check(asynctimer_reactor_advance(reactor, 1100 * MS));
	say_stop(&busy);
	check(asynctimer_stop(busy.timer));
	check(asynctimer_stop(busy.timer));
	say_stop(&none);
	asynctimer_free(none.timer);
	if (first)
		printf("tick_end [itself] %" PRIu64 " %" PRIu64 "\n", deferring.open,
		       asynctimer_now_ns(deferring.timer) - deferring.begun_ns);
	check(asynctimer_complete(deferring.timer, deferring.open, 0));
	say_stop(&deferring);
	check(asynctimer_reactor_free(reactor));
}

int main(void)
{
	alarm(120);
	for (;;) {
		const struct timespec pause = { .tv_nsec = 10 * MS };

		cycle();
		if (first)
			printf("end\n");
		fflush(stdout);
		first = false;
		nanosleep(&pause, NULL);
	}
}

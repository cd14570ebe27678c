/* SPDX-License-Identifier: MIT */
/*
 * How to test code that uses timers, without waiting and to the nanosecond: the
 * code is given its reactor, and its test gives it a virtual one. First comes the
 * code: it polls every second, reports on each full minute of the wall clock, and
 * has a lease of two hours, suspend included. Then come its tests: an hour, a
 * clock that NTP sets, and a suspend of eight hours.
 */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <time.h>

#include <asynctimer.h>

#define MINUTE_NS (60 * ASYNCTIMER_SECOND)
#define HOUR_NS	  (60 * MINUTE_NS)
#define NOON_NS	  (UINT64_C(29500000) * MINUTE_NS)	/* on the day of these tests */

struct meter {
	struct asynctimer *poll, *report, *lease;
	uint64_t polls, leases_over, reports, minutes_without;
	uint64_t reported_ns;	/* the minute of the last report */
};

static int on_count(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	++*(uint64_t *)data;
	return ASYNCTIMER_DONE;
}

static int on_report(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct meter *meter = data;

	(void)timer;
	if (tick->due_ns > meter->reported_ns) { /* else the clock was set back */
		meter->reported_ns = tick->due_ns;
		meter->reports++;
		meter->minutes_without += tick->skipped_busy + tick->skipped_late;
	}
	return ASYNCTIMER_DONE;
}

static int meter_start(struct meter *meter, struct asynctimer_reactor *reactor)
{
	*meter = (struct meter){ .polls = 0 };
	return asynctimer_new(reactor, CLOCK_MONOTONIC, ASYNCTIMER_SECOND,
			      ASYNCTIMER_FIXED_SCHEDULE, on_count, &meter->polls, &meter->poll) < 0 ||
	       asynctimer_new(reactor, CLOCK_REALTIME, MINUTE_NS, ASYNCTIMER_FIXED_SCHEDULE,
			      on_report, meter, &meter->report) < 0 ||
	       asynctimer_new(reactor, CLOCK_BOOTTIME, 2 * HOUR_NS, ASYNCTIMER_ONCE,
			      on_count, &meter->leases_over, &meter->lease) < 0 ||
	       asynctimer_start(meter->poll) < 0 || asynctimer_start_at(meter->report, 0) < 0 ||
	       asynctimer_start(meter->lease) < 0 ? -1 : 0;
}

static struct asynctimer_reactor *reactor;
static struct meter meter;

static void pass(uint64_t seconds)
{
	assert(asynctimer_reactor_advance(reactor, seconds * ASYNCTIMER_SECOND) >= 0);
}

static void set(int clock, uint64_t now_ns)
{
	assert(asynctimer_reactor_set_clock(reactor, clock, now_ns) == 0);
	pass(0);	/* runs what that made due */
}

static void an_hour(void)
{
	pass(3600);
	assert(meter.polls == 3600 && meter.leases_over == 0);
	assert(meter.reports == 60 && meter.minutes_without == 0);
}

static void a_clock_that_is_set(void)
{
	set(CLOCK_REALTIME, NOON_NS + 20 * ASYNCTIMER_SECOND);	/* noon's is late, not lost */
	assert(meter.reports == 1 && meter.reported_ns == NOON_NS);
	pass(40);
	assert(meter.reports == 2 && meter.reported_ns == NOON_NS + MINUTE_NS);
	set(CLOCK_REALTIME, NOON_NS + 30 * ASYNCTIMER_SECOND);	/* nothing is reported twice */
	pass(89);
	assert(meter.reports == 2 && meter.polls == 40 + 89);
	pass(1);
	assert(meter.reports == 3 && meter.minutes_without == 0);
}

static void a_suspend(void)
{
	pass(20);
	set(CLOCK_REALTIME, asynctimer_now_ns(meter.report) + 8 * HOUR_NS);
	assert(meter.reports == 2 && meter.minutes_without == 479); /* one, at once: no burst */
	assert(meter.polls == 20 && meter.leases_over == 0);
	set(CLOCK_BOOTTIME, asynctimer_now_ns(meter.lease) + 8 * HOUR_NS);
	assert(meter.polls == 20 && meter.leases_over == 1);
}

int main(void)
{
	void (*const tests[])(void) = { an_hour, a_clock_that_is_set, a_suspend };
	int r;

	for (int i = 0; i < 3; i++) {
		assert(asynctimer_reactor_new_virtual(&reactor) == 0);
		set(CLOCK_REALTIME, NOON_NS - 10 * ASYNCTIMER_SECOND);
		r = meter_start(&meter, reactor);
		assert(r == 0);
		tests[i]();
		assert(asynctimer_reactor_free(reactor) == 0);
	}
	printf("all tests passed\n");
	return 0;
}

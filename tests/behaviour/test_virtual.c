/* SPDX-License-Identifier: MIT */
/* The exact semantics, on a clock that moves by hand. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

#define DAY (24 * HOUR)
#define YEAR (365 * DAY)
#define INTERVAL_MAX (UINT64_C(1) << 62)

/*
 * A timer that keeps what it was told, and whose callback takes work_ns of
 * the virtual clock.
 */
struct kept {
	struct watched watched;
	struct asynctimer *timer;
	uint64_t work_ns;
	unsigned only_in;	/* works in this callback alone, if not 0 */
	int (*then)(struct kept *kept, const struct asynctimer_tick *tick);
	unsigned count;
	struct asynctimer_tick ticks[64];
};

static uint64_t virtual_now(void)
{
	return virtual_now_on(reactor, CLOCK_MONOTONIC);
}

static int advance(uint64_t ns)
{
	return must(asynctimer_reactor_advance(reactor, ns));
}

/* To that time of the clock. */
static int advance_to(uint64_t until_ns)
{
	return advance(until_ns - virtual_now());
}

static int keep(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct kept *kept = watched->data;

	ck_assert_uint_lt(kept->count, 64);
	kept->ticks[kept->count++] = *tick;
	if (kept->work_ns && (!kept->only_in || kept->only_in == kept->count))
		ck_assert_int_eq(asynctimer_reactor_advance(reactor, kept->work_ns), 0);
	return kept->then ? kept->then(kept, tick) : watched->result;
}

static struct asynctimer *keep_new(struct kept *kept, uint64_t interval_ns, int policy,
				   uint64_t slack_ns)
{
	*kept = (struct kept){ .watched.then = keep, .watched.data = kept };
	kept->timer = watch_new_shared(&kept->watched, CLOCK_MONOTONIC, interval_ns, policy,
				       slack_ns)->timer;
	return kept->timer;
}

static struct asynctimer *keep_started(struct kept *kept, uint64_t interval_ns, int policy)
{
	keep_new(kept, interval_ns, policy, 0);
	ck_assert_int_eq(asynctimer_start(kept->timer), 1);
	return kept->timer;
}

/* The callbacks since the last look came at these times, in units. */
#define expect(kept, unit, ...)                                                                    \
	do {                                                                                       \
		const uint64_t times[] = { __VA_ARGS__ };                                          \
		const unsigned count = sizeof(times) / sizeof(times[0]);                           \
                                                                                                   \
		for (unsigned n = 0; n < count && n < (kept)->count; n++)                          \
			ck_assert_uint_eq((kept)->ticks[n].now_ns, times[n] * (unit));             \
		ck_assert_uint_eq((kept)->count, count);                                           \
		(kept)->count = 0;                                                                 \
	} while (0)

#define expect_none(kept) ck_assert_uint_eq((kept)->count, 0)

static void expect_tick(const struct asynctimer_tick *tick, uint64_t due_ns, uint64_t now_ns,
			uint64_t busy, uint64_t late)
{
	ck_assert_uint_eq(tick->due_ns, due_ns);
	ck_assert_uint_eq(tick->now_ns, now_ns);
	ck_assert_uint_eq(tick->skipped_busy, busy);
	ck_assert_uint_eq(tick->skipped_late, late);
}

/* Another timer, whose callback keeps the reactor from one time to another. */
static struct kept blocker;

static void block(uint64_t from_ns, uint64_t until_ns)
{
	keep_new(&blocker, INTERVAL_MAX, DELAY, 0);
	blocker.work_ns = until_ns - from_ns;
	ck_assert_int_eq(asynctimer_start_at(blocker.timer, from_ns), 1);
}

/*
 * The two policies and the two kinds of lateness.
 */

START_TEST(the_first_tick_is_one_interval_after_start)
{
	struct kept a, b;

	use_virtual_reactor();
	keep_started(&a, 100, SCHEDULE);
	keep_started(&b, 100, DELAY);
	ck_assert_int_eq(advance(99), 0);
	ck_assert_int_eq(advance(1), 2);
	expect(&a, 1, 100);
	expect(&b, 1, 100);
	ck_assert_int_eq(advance(350), 6);
	expect(&a, 1, 200, 300, 400);
	expect(&b, 1, 200, 300, 400);
}
END_TEST

START_TEST(own_overruns_are_skipped_busy)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 100 * MS, SCHEDULE);
	kept.work_ns = 150 * MS;
	ck_assert_int_eq(advance(700 * MS), 4);
	for (unsigned i = 0; i < 4; i++)
		expect_tick(&kept.ticks[i], (100 + 200 * i) * MS, (100 + 200 * i) * MS, i > 0, 0);
	expect(&kept, MS, 100, 300, 500, 700);
	ck_assert_uint_eq(virtual_now(), 850 * MS);
	ck_assert_uint_eq(kept.watched.last.number, 7);
}
END_TEST

START_TEST(a_fixed_delay_counts_from_the_completion)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 100 * MS, DELAY);
	kept.work_ns = 150 * MS;
	advance(700 * MS);
	for (unsigned i = 0; i < 3; i++)
		expect_tick(&kept.ticks[i], (100 + 250 * i) * MS, (100 + 250 * i) * MS, 0, 0);
	expect(&kept, MS, 100, 350, 600);
	ck_assert_uint_eq(kept.watched.last.number, 3);
}
END_TEST

START_TEST(a_late_reactor_runs_the_newest_tick_once)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 100 * MS, SCHEDULE);
	block(150 * MS, 530 * MS);
	advance(700 * MS);
	expect_tick(&kept.ticks[0], 100 * MS, 100 * MS, 0, 0);
	expect_tick(&kept.ticks[1], 500 * MS, 530 * MS, 0, 3);
	expect_tick(&kept.ticks[2], 600 * MS, 600 * MS, 0, 0);
	expect(&kept, MS, 100, 530, 600, 700);
	expect(&blocker, MS, 150);
}
END_TEST

START_TEST(a_late_fixed_delay_skips_nothing)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 100 * MS, DELAY);
	block(150 * MS, 530 * MS);
	advance(750 * MS);
	expect_tick(&kept.ticks[1], 200 * MS, 530 * MS, 0, 0);
	expect_tick(&kept.ticks[2], 630 * MS, 630 * MS, 0, 0);
	expect(&kept, MS, 100, 530, 630, 730);
}
END_TEST

START_TEST(busy_and_late_are_told_apart_in_one_tick)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 100 * MS, SCHEDULE);
	kept.work_ns = 250 * MS;	/* 100 to 350: 200 and 300 are busy */
	kept.only_in = 1;
	block(350 * MS, 690 * MS);	/* 400 and 500 are late */
	advance(700 * MS);
	expect_tick(&kept.ticks[1], 600 * MS, 690 * MS, 2, 2);
	expect(&kept, MS, 100, 690, 700);
	ck_assert_uint_eq(kept.watched.last.number, 7);
}
END_TEST

START_TEST(a_point_at_the_completion_is_busy)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 100, SCHEDULE);
	kept.work_ns = 100;
	advance(500);
	expect_tick(&kept.ticks[1], 300, 300, 1, 0);
	expect(&kept, 1, 100, 300, 500);
	kept.work_ns = 99;
	advance_to(1000);
	expect_tick(&kept.ticks[1], 800, 800, 0, 0);
	expect(&kept, 1, 700, 800, 900, 1000);
}
END_TEST

START_TEST(a_reactor_late_to_the_very_point_runs_it)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 100, SCHEDULE);
	block(150, 400);
	advance(500);
	expect_tick(&kept.ticks[1], 400, 400, 0, 2);
	expect(&kept, 1, 100, 400, 500);
	block(550, 700);
	advance(200);
	expect_tick(&kept.ticks[0], 700, 700, 0, 1);
	expect(&kept, 1, 700);
}
END_TEST

START_TEST(of_a_nanosecond_timer_an_hour_is_one_tick)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 1, SCHEDULE);
	kept.work_ns = HOUR;
	kept.only_in = 2;
	ck_assert_int_eq(advance(3), 2);
	expect(&kept, 1, 1, 2);
	ck_assert_uint_eq(virtual_now(), HOUR + 2);
	ck_assert_int_eq(advance(1), 1);
	expect_tick(&kept.ticks[0], HOUR + 3, HOUR + 3, HOUR, 0);
	ck_assert_uint_eq(kept.watched.last.number, HOUR + 3);
	kept.count = 2;			/* no more work */
	block(HOUR + 4, 2 * HOUR);
	advance(1);
	ck_assert_int_eq(advance(0), 1);
	ck_assert_uint_eq(kept.watched.last.number, 2 * HOUR);
	ck_assert_uint_eq(kept.watched.last.due_ns, 2 * HOUR);
	ck_assert_uint_eq(kept.watched.last.skipped_late, HOUR - 5);
}
END_TEST

START_TEST(the_longest_intervals_and_the_end_of_the_clock)
{
	struct kept schedule, delay, slack;

	use_virtual_reactor();
	keep_started(&schedule, INTERVAL_MAX, SCHEDULE);
	keep_started(&delay, INTERVAL_MAX - 1, DELAY);
	keep_new(&slack, INTERVAL_MAX, SCHEDULE, INTERVAL_MAX - 1);
	asynctimer_start(slack.timer);
	ck_assert_int_eq(advance(INTERVAL_MAX - 2), 0);
	ck_assert_int_eq(advance(1), 1);
	expect(&delay, 1, INTERVAL_MAX - 1);
	ck_assert_int_eq(advance(1), 2);
	expect(&schedule, 1, INTERVAL_MAX);
	expect(&slack, 1, INTERVAL_MAX);	/* with the other's wake-up */
	ck_assert_int_eq(advance(INTERVAL_MAX), 3);
	expect(&delay, 1, 2 * INTERVAL_MAX - 2);
	expect(&schedule, 1, 2 * INTERVAL_MAX);
	expect(&slack, 1, 2 * INTERVAL_MAX);
	ck_assert_uint_eq(virtual_now(), UINT64_C(1) << 63);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 1), -EOVERFLOW);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, UINT64_MAX), -EOVERFLOW);
	ck_assert_int_eq(advance(0), 0);
	ck_assert_uint_eq(asynctimer_next_due_ns(schedule.timer), 3 * INTERVAL_MAX);
	asynctimer_stop(delay.timer);
	ck_assert_int_eq(asynctimer_start_after(delay.timer, INTERVAL_MAX), 1);
	ck_assert_uint_eq(asynctimer_next_due_ns(delay.timer), 3 * INTERVAL_MAX);
	ck_assert_int_eq(advance(0), 0);
}
END_TEST

START_TEST(a_huge_interval_loses_no_nanosecond)
{
	struct kept kept;
	uint64_t interval_ns = (UINT64_C(1) << 60) - 12345;

	use_virtual_reactor();
	keep_started(&kept, interval_ns, SCHEDULE);
	ck_assert_int_eq(advance(INTERVAL_MAX), 4);
	ck_assert_int_eq(advance(INTERVAL_MAX), 4);
	expect(&kept, interval_ns, 1, 2, 3, 4, 5, 6, 7, 8);
	ck_assert_uint_eq(virtual_now(), UINT64_C(1) << 63);
}
END_TEST

/*
 * Starts.
 */

START_TEST(start_at_past_now_and_future)
{
	struct kept past, now, future, delay_past, delay_now, delay_future;

	use_virtual_reactor();
	advance(1055);
	keep_new(&past, 20, SCHEDULE, 0);
	ck_assert_int_eq(asynctimer_start_at(past.timer, 10), 1);
	ck_assert_uint_eq(asynctimer_next_due_ns(past.timer), 1070);
	keep_new(&now, 20, SCHEDULE, 0);
	ck_assert_int_eq(asynctimer_start_at(now.timer, 1055), 1);
	ck_assert_uint_eq(asynctimer_next_due_ns(now.timer), 1055);
	keep_new(&future, 20, SCHEDULE, 0);
	ck_assert_int_eq(asynctimer_start_at(future.timer, 1100), 1);
	ck_assert_uint_eq(asynctimer_next_due_ns(future.timer), 1100);
	keep_new(&delay_past, 20, DELAY, 0);
	ck_assert_int_eq(asynctimer_start_at(delay_past.timer, 10), 1);
	ck_assert_uint_eq(asynctimer_next_due_ns(delay_past.timer), 1055);
	keep_new(&delay_now, 20, DELAY, 0);
	ck_assert_int_eq(asynctimer_start_at(delay_now.timer, 1055), 1);
	ck_assert_uint_eq(asynctimer_next_due_ns(delay_now.timer), 1055);
	keep_new(&delay_future, 20, DELAY, 0);
	ck_assert_int_eq(asynctimer_start_at(delay_future.timer, 1100), 1);
	advance_to(1125);
	expect(&past, 1, 1070, 1090, 1110);
	expect(&now, 1, 1055, 1075, 1095, 1115);
	expect(&future, 1, 1100, 1120);
	expect(&delay_past, 1, 1055, 1075, 1095, 1115);
	expect(&delay_now, 1, 1055, 1075, 1095, 1115);
	expect(&delay_future, 1, 1100, 1120);
	ck_assert_uint_eq(past.watched.last.number, 3);
}
END_TEST

START_TEST(start_at_a_grid_point_of_the_past_is_the_next_one)
{
	struct kept kept;

	use_virtual_reactor();
	advance(100);
	keep_new(&kept, 20, SCHEDULE, 0);
	ck_assert_int_eq(asynctimer_start_at(kept.timer, 60), 1);
	advance(20);
	expect(&kept, 1, 120);		/* the first after now, and 100 is now */
}
END_TEST

START_TEST(start_after_zero_is_at_once)
{
	struct kept schedule, delay;

	use_virtual_reactor();
	advance(7);
	keep_new(&schedule, 20, SCHEDULE, 0);
	keep_new(&delay, 20, DELAY, 0);
	ck_assert_int_eq(asynctimer_start_after(schedule.timer, 0), 1);
	ck_assert_int_eq(asynctimer_start_after(delay.timer, 0), 1);
	ck_assert_int_eq(advance(0), 2);
	advance(40);
	expect(&schedule, 1, 7, 27, 47);
	expect(&delay, 1, 7, 27, 47);
}
END_TEST

START_TEST(start_after_a_delay_anchors_there)
{
	struct kept kept;

	use_virtual_reactor();
	advance(7);
	keep_new(&kept, 20, SCHEDULE, 0);
	ck_assert_int_eq(asynctimer_start_after(kept.timer, 50), 1);
	ck_assert_int_eq(asynctimer_start_after(kept.timer, 5), 0);
	ck_assert_int_eq(asynctimer_start_at(kept.timer, 8), 0);
	ck_assert_int_eq(asynctimer_start(kept.timer), 0);
	advance(100);
	expect(&kept, 1, 57, 77, 97);
}
END_TEST

static int restart_at_once(struct kept *kept, const struct asynctimer_tick *tick)
{
	(void)tick;
	if (kept->count > 1)
		return 0;
	ck_assert_int_eq(asynctimer_stop(kept->timer), 1);
	ck_assert_int_eq(asynctimer_start_after(kept->timer, 0), 1);
	kept->watched.restarted = true;
	return 0;
}

START_TEST(start_after_zero_in_the_own_callback_is_one_interval_later)
{
	struct kept schedule, delay;

	use_virtual_reactor();
	keep_started(&schedule, 100, SCHEDULE);
	keep_started(&delay, 100, DELAY);
	schedule.then = delay.then = restart_at_once;
	advance(350);
	expect_tick(&schedule.ticks[1], 200, 200, 1, 0);
	expect_tick(&delay.ticks[1], 200, 200, 0, 0);
	expect(&schedule, 1, 100, 200, 300);
	expect(&delay, 1, 100, 200, 300);
}
END_TEST

static int restart_midway(struct kept *kept, const struct asynctimer_tick *tick)
{
	(void)tick;
	if (kept->count > 1)
		return 0;
	/* 50 are over, 200 more to come. */
	ck_assert_int_eq(asynctimer_stop(kept->timer), 1);
	ck_assert_int_eq(asynctimer_start(kept->timer), 1);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 200), 0);
	kept->watched.restarted = true;
	return 0;
}

START_TEST(a_restart_while_open_anchors_anew_and_skips_until_completion)
{
	struct kept schedule;

	use_virtual_reactor();
	keep_started(&schedule, 100, SCHEDULE);
	schedule.work_ns = 50;
	schedule.only_in = 1;
	schedule.then = restart_midway;
	advance(600);
	/* Anchored at 150: 250 and, at the completion, 350 are busy. */
	expect_tick(&schedule.ticks[1], 450, 450, 2, 0);
	expect(&schedule, 1, 100, 450, 550);
	ck_assert_uint_eq(schedule.watched.last.number, 5);
}
END_TEST

START_TEST(a_delay_restarted_while_open_is_due_one_interval_after_completion)
{
	struct kept delay;

	use_virtual_reactor();
	keep_started(&delay, 100, DELAY);
	delay.work_ns = 50;
	delay.only_in = 1;
	delay.then = restart_midway;
	advance(600);
	expect_tick(&delay.ticks[1], 450, 450, 0, 0);
	expect(&delay, 1, 100, 450, 550);
	ck_assert_uint_eq(delay.watched.last.number, 3);
}
END_TEST

static int restart_far(struct kept *kept, const struct asynctimer_tick *tick)
{
	(void)tick;
	if (kept->count > 1)
		return 0;
	ck_assert_int_eq(asynctimer_stop(kept->timer), 1);
	ck_assert_int_eq(asynctimer_start_at(kept->timer, 1000), 1);
	kept->watched.restarted = true;
	return 0;
}

START_TEST(a_delay_restarted_for_later_is_due_then)
{
	struct kept schedule, delay;

	use_virtual_reactor();
	keep_started(&schedule, 100, SCHEDULE);
	keep_started(&delay, 100, DELAY);
	schedule.then = delay.then = restart_far;
	advance(1150);
	expect(&schedule, 1, 100, 1000, 1100);
	expect(&delay, 1, 100, 1000, 1100);
	ck_assert_uint_eq(schedule.watched.last.number, 3);
}
END_TEST

START_TEST(what_is_undelivered_at_stop_counts_as_nothing)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 100, SCHEDULE);
	advance(150);
	ck_assert_int_eq(asynctimer_stop(kept.timer), 1);
	ck_assert_int_eq(asynctimer_stop(kept.timer), 0);
	ck_assert_uint_eq(asynctimer_next_due_ns(kept.timer), UINT64_MAX);
	ck_assert_int_eq(advance(1000), 0);
	ck_assert_int_eq(asynctimer_start(kept.timer), 1);
	kept.watched.restarted = true;
	advance(100);
	expect_tick(&kept.ticks[1], 1250, 1250, 0, 0);
	ck_assert_uint_eq(kept.ticks[1].number, 2);
}
END_TEST

static struct kept *victim;

static int stop_and_start_victim(struct kept *kept, const struct asynctimer_tick *tick)
{
	(void)kept;
	(void)tick;
	ck_assert_int_eq(asynctimer_stop(victim->timer), 1);
	ck_assert_int_eq(asynctimer_start(victim->timer), 1);
	victim->watched.restarted = true;
	return 0;
}

START_TEST(what_is_due_in_the_same_wake_up_is_dropped_by_a_restart)
{
	struct kept first, second;

	use_virtual_reactor();
	victim = &second;
	keep_started(&first, 100, SCHEDULE);
	first.then = stop_and_start_victim;
	keep_started(&second, 100, SCHEDULE);
	ck_assert_int_eq(advance(100), 1);
	expect_none(&second);
	asynctimer_stop(first.timer);
	advance(100);
	expect(&second, 1, 200);
	ck_assert_uint_eq(second.watched.last.number, 1);
}
END_TEST

/*
 * Deferred completion.
 */

START_TEST(a_tick_deferred_is_completed_from_outside)
{
	struct kept schedule, delay;

	use_virtual_reactor();
	keep_started(&schedule, 100, SCHEDULE);
	keep_started(&delay, 100, DELAY);
	schedule.watched.result = delay.watched.result = ASYNCTIMER_PENDING;
	ck_assert_int_eq(advance(350), 2);
	must(asynctimer_complete(schedule.timer, 1, 0));
	must(asynctimer_complete(delay.timer, 1, 0));
	schedule.watched.result = delay.watched.result = 0;
	advance(250);
	expect_tick(&schedule.ticks[1], 400, 400, 2, 0);
	expect_tick(&delay.ticks[1], 450, 450, 0, 0);
	expect(&schedule, 1, 100, 400, 500, 600);
	expect(&delay, 1, 100, 450, 550);
}
END_TEST

START_TEST(a_completion_at_the_point_makes_it_busy)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 100, SCHEDULE);
	kept.watched.result = ASYNCTIMER_PENDING;
	advance(200);
	must(asynctimer_complete(kept.timer, 1, 0));
	kept.watched.result = 0;
	advance(100);
	expect_tick(&kept.ticks[1], 300, 300, 1, 0);
}
END_TEST

static int complete_victim(struct kept *kept, const struct asynctimer_tick *tick)
{
	(void)kept;
	(void)tick;
	must(asynctimer_complete(victim->timer, 1, 0));
	return 0;
}

START_TEST(a_tick_deferred_is_completed_by_another_timers_callback)
{
	struct kept kept, completer;

	use_virtual_reactor();
	victim = &kept;
	keep_started(&kept, 100, SCHEDULE);
	kept.watched.result = ASYNCTIMER_PENDING;
	keep_new(&completer, HOUR, SCHEDULE, 0);
	completer.then = complete_victim;
	asynctimer_start_at(completer.timer, 130);
	advance(300);
	expect(&completer, 1, 130);
	expect(&kept, 1, 100, 200);
	must(asynctimer_complete(kept.timer, 2, 0));
}
END_TEST

static int complete_early(struct kept *kept, const struct asynctimer_tick *tick)
{
	ck_assert_int_eq(asynctimer_complete(kept->timer, tick->number, 0), 0);
	ck_assert_int_eq(asynctimer_complete(kept->timer, tick->number, 0), -EALREADY);
	/* The tick goes on until the callback returns. */
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 50), 0);
	return ASYNCTIMER_PENDING;
}

START_TEST(a_completion_before_the_callback_returns_counts_from_the_return)
{
	struct kept schedule, delay;

	use_virtual_reactor();
	keep_started(&schedule, 100, SCHEDULE);
	schedule.then = complete_early;
	advance(350);
	expect(&schedule, 1, 100, 200, 300);
	asynctimer_free(schedule.timer);
	keep_started(&delay, 100, DELAY);
	delay.then = complete_early;
	advance_to(800);
	expect(&delay, 1, 450, 600, 750);
}
END_TEST

/* A handler may take its time too. */
static void slow_handler(struct asynctimer *timer, int error, void *data)
{
	(void)timer;
	(void)data;
	ck_assert_int_eq(error, -EIO);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 120), 0);
}

START_TEST(the_time_of_a_handler_is_the_callbacks)
{
	struct asynctimer_stats stats;
	struct kept schedule, delay;

	use_virtual_reactor();
	keep_started(&schedule, 100, SCHEDULE);
	schedule.watched.result = -EIO;
	ck_assert_int_eq(asynctimer_set_error_handler(schedule.timer, slow_handler), 1);
	advance(300);
	expect_tick(&schedule.ticks[1], 300, 300, 1, 0);
	must(asynctimer_get_stats(schedule.timer, &stats));
	ck_assert_uint_eq(stats.failures, 2);
	ck_assert_uint_eq(stats.duration_sum_ns, 240);
	ck_assert_uint_eq(stats.duration_max_ns, 120);
	asynctimer_free(schedule.timer);
	keep_new(&delay, 100, DELAY, 0);
	delay.watched.result = ASYNCTIMER_PENDING;
	ck_assert_int_eq(asynctimer_set_error_handler(delay.timer, slow_handler), 1);
	asynctimer_start(delay.timer);			/* at 420 */
	advance(110);
	must(asynctimer_complete(delay.timer, 1, -EIO));
	ck_assert_uint_eq(virtual_now(), 650);
	ck_assert_uint_eq(asynctimer_next_due_ns(delay.timer), 750);
}
END_TEST

static void release_slowly(void *data)
{
	(void)data;
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 250), 0);
}

static int free_at_once(struct kept *kept, const struct asynctimer_tick *tick)
{
	(void)tick;
	asynctimer_free(kept->timer);
	return 0;
}

START_TEST(the_time_of_a_release_makes_the_next_callback_late)
{
	struct kept slow, next;

	use_virtual_reactor();
	keep_started(&slow, 100, SCHEDULE);
	slow.then = free_at_once;
	asynctimer_set_release(slow.timer, release_slowly);
	keep_started(&next, 100, SCHEDULE);
	ck_assert_int_eq(advance(100), 2);
	expect_tick(&next.ticks[0], 300, 350, 0, 2);
	ck_assert_int_eq(advance(50), 1);
	expect_tick(&next.ticks[1], 400, 400, 0, 0);
}
END_TEST

/*
 * A year, and the six acceptance cases.
 */

static bool long_run(void)
{
	return getenv("ASYNCTIMER_LONG_TESTS") != NULL;
}

#define FRAME_NS 16666667

static uint64_t frames;

static int frame(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)data;
	frames += 1 + tick->skipped_late;
	if (tick->number != frames || tick->due_ns != frames * FRAME_NS || tick->skipped_busy ||
	    (tick->now_ns != tick->due_ns && !tick->skipped_late))
		ck_abort_msg("frame %llu is %llu, due at %llu", (unsigned long long)frames,
			     (unsigned long long)tick->number, (unsigned long long)tick->due_ns);
	return 0;
}

/* Every frame of two hours (with ASYNCTIMER_LONG_TESTS: of all); those between them are missed. */
START_TEST(sixty_hertz_for_a_year)
{
	struct asynctimer_stats stats;
	struct asynctimer *timer;
	uint64_t blocked;

	use_virtual_reactor();
	must(asynctimer_new(reactor, CLOCK_MONOTONIC, FRAME_NS, SCHEDULE, frame, NULL, &timer));
	asynctimer_start(timer);
	if (!long_run())
		block(HOUR, YEAR - HOUR);
	while (virtual_now() < YEAR)
		advance(HOUR);
	ck_assert_uint_eq(frames, YEAR / FRAME_NS);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), (YEAR / FRAME_NS + 1) * FRAME_NS);
	must(asynctimer_get_stats(timer, &stats));
	blocked = long_run() ? 0 : (YEAR - HOUR) / FRAME_NS - HOUR / FRAME_NS - 1;
	ck_assert_uint_eq(stats.skipped_late, blocked);
	ck_assert_uint_eq(stats.callbacks, YEAR / FRAME_NS - blocked);
}
END_TEST

START_TEST(acceptance_one_and_a_half_seconds)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 1500 * MS, SCHEDULE);
	ck_assert_int_eq(advance(7 * SECOND), 4);
	/* And stopped, a pause of 5 s, started again. */
	ck_assert_int_eq(asynctimer_stop(kept.timer), 1);
	ck_assert_int_eq(advance(5 * SECOND), 0);
	ck_assert_int_eq(asynctimer_start(kept.timer), 1);
	kept.watched.restarted = true;
	ck_assert_int_eq(advance(11 * SECOND), 7);
	expect(&kept, 500 * MS, 3, 6, 9, 12, 27, 30, 33, 36, 39, 42, 45);
}
END_TEST

START_TEST(acceptance_three_timers)
{
	struct kept one, two, three;

	use_virtual_reactor();
	keep_started(&one, SECOND, SCHEDULE);
	keep_started(&two, 2 * SECOND, SCHEDULE);
	keep_started(&three, 3 * SECOND, SCHEDULE);
	ck_assert_int_eq(advance(13500 * MS), 13 + 6 + 4);
	expect(&one, SECOND, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13);
	expect(&two, SECOND, 2, 4, 6, 8, 10, 12);
	expect(&three, SECOND, 3, 6, 9, 12);
}
END_TEST

START_TEST(acceptance_fixed_delay)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, SECOND, DELAY);
	kept.work_ns = 500 * MS;
	/* The fifth is due at 7 s to the nanosecond: there, but not before. */
	ck_assert_int_eq(advance(7 * SECOND - 1), 4);
	expect(&kept, 500 * MS, 2, 5, 8, 11);
	ck_assert_int_eq(advance(1), 1);
}
END_TEST

START_TEST(acceptance_stopped_midway)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 2 * SECOND, SCHEDULE);
	ck_assert_int_eq(advance(5 * SECOND), 2);
	asynctimer_stop(kept.timer);
	ck_assert_int_eq(advance(2 * SECOND), 0);
	expect(&kept, SECOND, 2, 4);
}
END_TEST

START_TEST(acceptance_work_longer_than_the_interval)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, SECOND, SCHEDULE);
	kept.work_ns = 1500 * MS;
	ck_assert_int_eq(advance(8 * SECOND), 4);
	expect(&kept, SECOND, 1, 3, 5, 7);
}
END_TEST

/* 1,000 timers; a callback of some takes long, so that ticks of all are skipped, busy and late. */
#define FLEET 1000

static int years(void)
{
	return long_run() ? 10 : 1;
}

static struct year {
	struct asynctimer *timer;
	uint64_t interval_ns;
	uint64_t work_ns;
	uint64_t number;
	uint64_t callbacks;
	uint64_t busy;
	uint64_t late;
	uint64_t due_ns;
	uint64_t now_ns;	/* of the last callback's end */
	int policy;
} fleet[FLEET];

static int year_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct year *year = data;
	uint64_t advanced = 1 + tick->skipped_busy + tick->skipped_late;
	uint64_t due_ns = year->policy == DELAY ? year->now_ns + year->interval_ns
						: year->due_ns + advanced * year->interval_ns;

	if (tick->number != year->number + advanced || tick->due_ns != due_ns ||
	    tick->now_ns < due_ns)
		ck_abort_msg("timer %td: number %llu, due at %llu, expected %llu", year - fleet,
			     (unsigned long long)tick->number, (unsigned long long)tick->due_ns,
			     (unsigned long long)due_ns);
	year->callbacks++;
	year->busy += tick->skipped_busy;
	year->late += tick->skipped_late;
	year->number = tick->number;
	year->due_ns = tick->due_ns;
	year->now_ns = tick->now_ns;
	if (year->work_ns && year->number % 64 < 2) {
		ck_assert_int_eq(asynctimer_reactor_advance(reactor, year->work_ns), 0);
		year->now_ns += year->work_ns;
	}
	(void)timer;
	return 0;
}

/* With ASYNCTIMER_TABLE, how many grid points were accounted for. */
static void report_soak(uint64_t points)
{
	const char *path = getenv("ASYNCTIMER_TABLE");
	FILE *table = path ? fopen(path, "a") : NULL;

	if (!table)
		return;
	fprintf(table, "soak, %d simulated years of %d timers\tticks\t%llu\t0\n", years(), FLEET,
		(unsigned long long)points);
	fclose(table);
}

START_TEST(years_of_a_thousand_timers_conserve_every_tick)
{
	uint64_t unit_ns = long_run() ? 30 * SECOND : 400 * SECOND;
	uint64_t points = 0;
	uint64_t busy = 0;
	uint64_t late = 0;
	int64_t ran = 0;

	use_virtual_reactor();
	for (unsigned i = 0; i < FLEET; i++) {
		struct year *year = &fleet[i];

		/* A few seconds to hours, in nanoseconds that have little in common. */
		year->interval_ns = unit_ns * (1 + i % 37 * (1 + i / 100)) + 1234567 * i + 1;
		year->policy = i % 3 == 0 ? DELAY : SCHEDULE;
		if (i % 50 == 7)
			year->work_ns = year->interval_ns * 5 / 2;
		must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, year->interval_ns,
					   year->policy, i % 4 ? 0 : unit_ns / (1 + i % 5),
					   year_tick, year, &year->timer));
		must(asynctimer_start(year->timer));
	}
	while (virtual_now() < years() * YEAR)
		ran += advance(DAY);
	/* A day without overruns, so that all grids can be seen to be whole. */
	for (unsigned i = 0; i < FLEET; i++)
		fleet[i].work_ns = 0;
	ran += advance(DAY);
	for (unsigned i = 0; i < FLEET; i++) {
		struct year *year = &fleet[i];
		struct asynctimer_stats stats;

		must(asynctimer_get_stats(year->timer, &stats));
		ck_assert_uint_eq(stats.callbacks, year->callbacks);
		ck_assert_uint_eq(stats.skipped_busy, year->busy);
		ck_assert_uint_eq(stats.skipped_late, year->late);
		ck_assert_uint_eq(year->callbacks + year->busy + year->late, year->number);
		ck_assert_uint_gt(year->callbacks, 0);
		ran -= (int64_t)year->callbacks;
		points += year->number;
		busy += year->busy;
		late += year->late;
		if (year->policy == SCHEDULE) {
			ck_assert_uint_eq(year->due_ns, year->number * year->interval_ns);
			ck_assert_uint_lt(virtual_now() - year->due_ns, 2 * year->interval_ns);
		}
	}
	ck_assert_int_eq(ran, 0);
	ck_assert_uint_gt(busy, 0);
	ck_assert_uint_gt(late, 0);
	report_soak(points);
}
END_TEST

/*
 * Slack and order.
 */

/* The perturbation is 0, so spots are the multiples of their periods. */
static void expect_wake_up(int clock, uint64_t due_ns, uint64_t slack_ns, uint64_t wake_ns)
{
	struct watched watched = { .result = 0 };

	use_virtual_reactor();
	watch_new_shared(&watched, clock, HOUR, ONCE, slack_ns);
	ck_assert_int_eq(asynctimer_start_at(watched.timer, due_ns), 1);
	ck_assert_int_eq(advance_to(wake_ns - 1), 0);
	ck_assert_int_eq(advance_to(wake_ns), 1);
	ck_assert_uint_eq(watched.last.due_ns, due_ns);
	ck_assert_uint_eq(watched.last.now_ns, wake_ns);
	asynctimer_free(watched.timer);
}

START_TEST(with_slack_it_wakes_at_the_best_spot_of_its_window)
{
	static const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };

	for (unsigned i = 0; i < 3; i++) {
		/* The coarsest in the window, of that the latest; from due on, but not at the end. */
		expect_wake_up(clocks[i], 61 * SECOND, 2 * 60 * SECOND, 180 * SECOND);
		expect_wake_up(clocks[i], 61 * SECOND, 30 * SECOND, 90 * SECOND);
		expect_wake_up(clocks[i], 61 * SECOND, 3 * SECOND, 63 * SECOND);
		expect_wake_up(clocks[i], 61 * SECOND + 1, 999 * MS, 61 * SECOND + 750 * MS);
		expect_wake_up(clocks[i], 60 * SECOND, 30 * SECOND, 60 * SECOND);
		expect_wake_up(clocks[i], 59 * SECOND, SECOND, 59 * SECOND);
		/* The finer ones from the middle on. */
		expect_wake_up(clocks[i], 10 * MS, 80 * MS, 50 * MS);
		expect_wake_up(clocks[i], 10 * MS - 1, 80 * MS, 50 * MS);
		expect_wake_up(clocks[i], 10 * MS + 1, 80 * MS, 90 * MS);
		expect_wake_up(clocks[i], 11 * MS, 10 * MS, 20 * MS);
		expect_wake_up(clocks[i], 21 * MS, 5 * MS, 25 * MS);
		expect_wake_up(clocks[i], 26 * MS - 1, 3 * MS, 28 * MS);
		/* None. */
		expect_wake_up(clocks[i], 26 * MS + 1, 999 * US, 27 * MS - US + 1);
	}
}
END_TEST

START_TEST(the_earliest_spot_wakes_for_all_that_is_due_then)
{
	struct kept early, late, due;

	/* The first one's window ends last, but it has a spot before those of the others. */
	use_virtual_reactor();
	keep_new(&early, HOUR, SCHEDULE, 60 * MS);
	keep_new(&due, HOUR, SCHEDULE, 100 * MS);
	keep_new(&late, HOUR, SCHEDULE, 8 * MS);
	must(asynctimer_start_at(late.timer, 250500 * US));
	must(asynctimer_start_at(early.timer, 200 * MS));
	must(asynctimer_start_at(due.timer, 249 * MS));
	ck_assert_int_eq(advance_to(250 * MS - 1), 0);
	ck_assert_int_eq(advance_to(250 * MS), 2);
	expect_tick(&early.ticks[0], 200 * MS, 250 * MS, 0, 0);
	expect_tick(&due.ticks[0], 249 * MS, 250 * MS, 0, 0);
	ck_assert_int_eq(advance_to(255 * MS - 1), 0);
	ck_assert_int_eq(advance_to(255 * MS), 1);
	expect_tick(&late.ticks[0], 250500 * US, 255 * MS, 0, 0);
	/* Moved and stopped, they leave no wake-up behind. */
	early.watched.restarted = true;
	ck_assert_int_eq(asynctimer_restart_after(early.timer, 45 * MS), 1);	/* due at 300 */
	ck_assert_int_eq(asynctimer_restart_after(late.timer, 46 * MS), 1);	/* due at 301 */
	ck_assert_int_eq(asynctimer_stop(late.timer), 1);
	ck_assert_int_eq(advance_to(350 * MS - 1), 0);
	ck_assert_int_eq(advance_to(350 * MS), 1);
}
END_TEST

START_TEST(without_a_spot_slack_wakes_at_the_earliest_due_plus_slack)
{
	struct kept a, b, c;

	use_virtual_reactor();
	keep_new(&a, 100, SCHEDULE, 30);
	keep_new(&b, 110, SCHEDULE, 5);
	keep_new(&c, 120, SCHEDULE, 0);
	asynctimer_start(a.timer);
	asynctimer_start(b.timer);
	asynctimer_start(c.timer);
	ck_assert_int_eq(advance(114), 0);
	ck_assert_int_eq(advance(1), 2);	/* b's 110 + 5, and a with it */
	expect_tick(&a.ticks[0], 100, 115, 0, 0);
	expect_tick(&b.ticks[0], 110, 115, 0, 0);
	ck_assert_int_eq(advance(5), 1);
	expect_tick(&c.ticks[0], 120, 120, 0, 0);
	/* 200 + 30, 220 + 5, 240 + 0: the second first, for two of them. */
	ck_assert_int_eq(advance_to(224), 0);
	ck_assert_int_eq(advance_to(225), 2);
	ck_assert_int_eq(advance_to(239), 0);
	ck_assert_int_eq(advance_to(240), 1);
	asynctimer_stop(b.timer);
	asynctimer_stop(c.timer);
	ck_assert_int_eq(advance_to(329), 0);
	ck_assert_int_eq(advance_to(330), 1);
	ck_assert_uint_eq(asynctimer_next_due_ns(a.timer), 400);
}
END_TEST

START_TEST(a_fixed_delay_with_slack_counts_from_its_completion)
{
	struct kept kept;

	use_virtual_reactor();
	keep_new(&kept, 100, DELAY, 30);
	asynctimer_start(kept.timer);
	advance(400);
	expect_tick(&kept.ticks[1], 230, 260, 0, 0);
	expect(&kept, 1, 130, 260, 390);
}
END_TEST

START_TEST(a_tick_deferred_holds_up_nothing_of_another_slack)
{
	struct kept deferred, same, later;

	use_virtual_reactor();
	keep_new(&deferred, 100, SCHEDULE, 5);
	deferred.watched.result = ASYNCTIMER_PENDING;
	keep_new(&same, 100, SCHEDULE, 0);
	keep_new(&later, 130, DELAY, 10);
	asynctimer_start(deferred.timer);
	asynctimer_start(same.timer);
	asynctimer_start(later.timer);
	advance(310);
	expect(&deferred, 1, 100);
	expect(&same, 1, 100, 200, 300);
	expect(&later, 1, 140, 280);
	must(asynctimer_complete(deferred.timer, 1, 0));
	advance(90);
	expect(&deferred, 1, 400);
	must(asynctimer_complete(deferred.timer, 4, 0));
}
END_TEST

/* Names of the timers in the order in which they ran. */
static char ran_as[64];

static struct noted {
	struct kept kept;
	char name;
} noted[26];

static int note_name(struct kept *kept, const struct asynctimer_tick *tick)
{
	struct noted *one = (struct noted *)kept;
	size_t length = strlen(ran_as);

	(void)tick;
	ck_assert_uint_lt(length + 1, sizeof(ran_as));
	ran_as[length] = one->name;
	return 0;
}

static struct asynctimer *noted_new(char name, uint64_t interval_ns, uint64_t slack_ns)
{
	struct noted *one = &noted[name - 'a'];

	keep_new(&one->kept, interval_ns, SCHEDULE, slack_ns);
	one->kept.then = note_name;
	one->name = name;
	return one->kept.timer;
}

static const char *ran_since(void)
{
	static char answer[64];

	memcpy(answer, ran_as, sizeof(answer));
	memset(ran_as, 0, sizeof(ran_as));
	return answer;
}

START_TEST(equal_due_times_run_in_armed_order)
{
	use_virtual_reactor();
	for (const char *name = "abcdef"; *name; name++)
		noted_new(*name, 100, 0);
	/* Neither the order of the news nor of the addresses. */
	for (const char *name = "dbfeac"; *name; name++)
		asynctimer_start(noted[*name - 'a'].kept.timer);
	advance(100);
	ck_assert_str_eq(ran_since(), "dbfeac");
	asynctimer_stop(noted['f' - 'a'].kept.timer);
	advance(50);
	asynctimer_start_at(noted['f' - 'a'].kept.timer, 200);
	advance(50);
	ck_assert_str_eq(ran_since(), "dbeacf");
	advance(100);
	ck_assert_str_eq(ran_since(), "dbeacf");
}
END_TEST

START_TEST(equal_due_times_run_in_armed_order_whatever_their_slack)
{
	use_virtual_reactor();
	for (const char *name = "abcdef"; *name; name++)
		noted_new(*name, 100, (uint64_t)(*name - 'a') % 3 * 10);
	for (const char *name = "cfbead"; *name; name++)
		asynctimer_start(noted[*name - 'a'].kept.timer);
	ck_assert_int_eq(advance(100), 6);	/* slack 0 wakes for all */
	ck_assert_str_eq(ran_since(), "cfbead");
	/* Earlier due goes first, armed earlier or not. */
	asynctimer_stop(noted['a' - 'a'].kept.timer);
	asynctimer_stop(noted['d' - 'a'].kept.timer);
	asynctimer_start_at(noted['a' - 'a'].kept.timer, 205);
	asynctimer_start_at(noted['d' - 'a'].kept.timer, 195);
	noted['a' - 'a'].kept.watched.restarted = true;
	noted['d' - 'a'].kept.watched.restarted = true;
	advance(110);
	ck_assert_str_eq(ran_since(), "dcfbea");
}
END_TEST

/*
 * advance.
 */

START_TEST(every_clock_starts_at_zero_and_moves_by_advance_alone)
{
	const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };
	struct watched own[3] = { { .callbacks = 0 } };
	struct watched shared[3] = { { .callbacks = 0 } };

	use_virtual_reactor();
	for (int i = 0; i < 3; i++) {
		watch_new(&own[i], clocks[i], 100, SCHEDULE);
		watch_new_shared(&shared[i], clocks[i], 100, SCHEDULE, 0);
		ck_assert_uint_eq(asynctimer_now_ns(own[i].timer), 0);
		asynctimer_start(own[i].timer);
		asynctimer_start(shared[i].timer);
	}
	ck_assert_int_eq(advance(250), 12);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(own[i].callbacks, 2);
		ck_assert_uint_eq(shared[i].callbacks, 2);
		ck_assert_uint_eq(own[i].last.now_ns, 200);
		ck_assert_uint_eq(shared[i].last.now_ns, 200);
		ck_assert_uint_eq(asynctimer_now_ns(own[i].timer), 250);
	}
}
END_TEST

START_TEST(a_callback_sees_now_equal_to_due)
{
	struct watched watched[20] = { { .callbacks = 0 } };

	use_virtual_reactor();
	for (unsigned i = 0; i < 20; i++) {
		watch_new(&watched[i], CLOCK_MONOTONIC, 10 + 7 * i, i % 2 ? SCHEDULE : DELAY);
		asynctimer_start(watched[i].timer);
	}
	for (unsigned round = 0; round < 2000; round++) {
		advance(1);
		for (unsigned i = 0; i < 20; i++)
			if (watched[i].last.now_ns != watched[i].last.due_ns)
				ck_abort_msg("a callback was late");
	}
	ck_assert_uint_eq(watched[0].callbacks, 200);
	ck_assert_uint_eq(watched[19].callbacks, 2000 / 143);
}
END_TEST

START_TEST(no_descriptor_is_used)
{
	struct watched watched[100] = { { .callbacks = 0 } };
	int before;

	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	before = count_fds();
	must(asynctimer_reactor_new_virtual(&reactor));
	for (unsigned i = 0; i < 100; i++) {
		if (i % 2)
			watch_new(&watched[i], CLOCK_REALTIME, 10, SCHEDULE);
		else
			watch_new_shared(&watched[i], CLOCK_BOOTTIME, 10, DELAY, 5);
		asynctimer_start(watched[i].timer);
	}
	advance(100);
	ck_assert_int_eq(count_fds(), before);
}
END_TEST

START_TEST(what_a_virtual_and_a_real_reactor_do_not_do)
{
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 1), -EOPNOTSUPP);
	ck_assert_int_eq(asynctimer_reactor_advance(NULL, 1), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_new_virtual(NULL), -EINVAL);
	use_virtual_reactor();
	ck_assert_int_eq(asynctimer_reactor_run(reactor), -EOPNOTSUPP);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), -EOPNOTSUPP);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), -EOPNOTSUPP);
	ck_assert_int_eq(asynctimer_reactor_fd(reactor), -EOPNOTSUPP);
}
END_TEST

START_TEST(the_same_arguments_are_refused_as_anywhere)
{
	struct asynctimer *timer = NULL;

	use_virtual_reactor();
#define refused(clock, interval, policy, slack, callback)                                          \
	ck_assert_int_eq(asynctimer_new_shared(reactor, clock, interval, policy, slack, callback,  \
					       NULL, &timer), -EINVAL)
	refused(CLOCK_MONOTONIC, 0, SCHEDULE, 0, on_tick);
	refused(CLOCK_MONOTONIC, INTERVAL_MAX + 1, SCHEDULE, 0, on_tick);
	refused(CLOCK_MONOTONIC, 100, SCHEDULE, 100, on_tick);
	refused(CLOCK_MONOTONIC, 100, SCHEDULE, UINT64_MAX, on_tick);
	refused(CLOCK_MONOTONIC, 100, 3, 0, on_tick);
	refused(CLOCK_MONOTONIC, 100, SCHEDULE, 0, NULL);
	refused(CLOCK_REALTIME, 100, DELAY, 0, on_tick);
	refused(CLOCK_TAI, 100, SCHEDULE, 0, on_tick);
	ck_assert_ptr_null(timer);
}
END_TEST

START_TEST(advance_ends_where_asked_and_counts_callbacks)
{
	struct kept kept;

	use_virtual_reactor();
	ck_assert_int_eq(advance(1000), 0);
	ck_assert_uint_eq(virtual_now(), 1000);
	keep_started(&kept, 10, SCHEDULE);
	ck_assert_int_eq(advance(35), 3);
	ck_assert_uint_eq(virtual_now(), 1035);
	ck_assert_int_eq(advance(5), 1);
}
END_TEST

START_TEST(what_a_callback_makes_due_beyond_the_target_waits_whatever_else_runs)
{
	struct kept a, b, c;

	use_virtual_reactor();
	keep_new(&a, HOUR, SCHEDULE, 0);
	keep_new(&b, HOUR, SCHEDULE, 0);
	keep_new(&c, HOUR, SCHEDULE, 0);
	a.work_ns = 100;
	asynctimer_start_at(a.timer, 50);
	asynctimer_start_at(b.timer, 80);
	asynctimer_start_at(c.timer, 120);
	ck_assert_int_eq(advance(100), 2);
	ck_assert_uint_eq(virtual_now(), 150);
	ck_assert_uint_eq(b.ticks[0].due_ns, 80);
	ck_assert_uint_eq(b.ticks[0].now_ns, 150);
	ck_assert_uint_eq(c.count, 0);
	ck_assert_int_eq(advance(0), 1);
	ck_assert_uint_eq(c.ticks[0].now_ns, 150);
}
END_TEST

START_TEST(a_callbacks_own_advance_moves_the_clock_and_runs_nothing)
{
	struct kept slow, other;

	use_virtual_reactor();
	keep_started(&slow, 100, SCHEDULE);
	slow.work_ns = 30;
	keep_started(&other, 110, SCHEDULE);
	ck_assert_int_eq(advance(100), 1);
	/* Beyond where it was asked to: what that made due waits. */
	ck_assert_uint_eq(virtual_now(), 130);
	expect_none(&other);
	ck_assert_int_eq(advance(0), 1);
	expect_tick(&other.ticks[0], 110, 130, 0, 0);
	/* Not beyond: the clock ends where asked. */
	ck_assert_int_eq(advance(100), 2);
	ck_assert_uint_eq(virtual_now(), 230);
	expect_tick(&other.ticks[1], 220, 230, 0, 0);
}
END_TEST

static int advance_too_far(struct kept *kept, const struct asynctimer_tick *tick)
{
	(void)kept;
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, UINT64_MAX), -EOVERFLOW);
	ck_assert_int_eq(
	    asynctimer_reactor_advance(reactor, (UINT64_C(1) << 63) - tick->now_ns + 1),
	    -EOVERFLOW);
	ck_assert_uint_eq(asynctimer_now_ns(kept->timer), tick->now_ns);
	return 0;
}

static int take_20_ns(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 20), 0);
	return ASYNCTIMER_DONE;
}

START_TEST(a_callback_may_take_time_however_near_the_end_it_is_advanced_to)
{
	struct watched watched = { .then = take_20_ns };

	use_virtual_reactor();
	watch_new(&watched, CLOCK_MONOTONIC, HOUR, ONCE);
	must(asynctimer_start_after(watched.timer, 5));
	ck_assert_int_eq(advance_to((UINT64_C(1) << 63) - 10), 1);
}
END_TEST

START_TEST(advance_does_not_pass_two_to_the_sixty_third)
{
	struct kept kept;

	use_virtual_reactor();
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, (UINT64_C(1) << 63) + 1), -EOVERFLOW);
	ck_assert_uint_eq(virtual_now(), 0);
	keep_started(&kept, 100, SCHEDULE);
	kept.then = advance_too_far;
	ck_assert_int_eq(advance(100), 1);
	asynctimer_stop(kept.timer);
	ck_assert_int_eq(advance((UINT64_C(1) << 63) - 100), 0);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 1), -EOVERFLOW);
}
END_TEST

static int another_answer;
static int another_free;

static void *advance_elsewhere(void *data)
{
	(void)data;
	another_answer = asynctimer_reactor_advance(reactor, 1000);
	another_free = asynctimer_reactor_free(reactor);
	return NULL;
}

static int have_another_advance(struct kept *kept, const struct asynctimer_tick *tick)
{
	thread_join(thread_new(advance_elsewhere, NULL));
	ck_assert_uint_eq(asynctimer_now_ns(kept->timer), tick->now_ns);
	return 0;
}

START_TEST(another_thread_cannot_advance_meanwhile)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 100, SCHEDULE);
	kept.then = have_another_advance;
	ck_assert_int_eq(advance(100), 1);
	ck_assert_int_eq(another_answer, -EBUSY);
	ck_assert_int_eq(another_free, -EBUSY);
	ck_assert_uint_eq(virtual_now(), 100);
	asynctimer_free(kept.timer);
	thread_join(thread_new(advance_elsewhere, NULL));
	ck_assert_int_eq(another_answer, 0);
	ck_assert_int_eq(another_free, 0);
	reactor = NULL;
}
END_TEST

static int stop_reactor(struct kept *kept, const struct asynctimer_tick *tick)
{
	(void)kept;
	(void)tick;
	asynctimer_reactor_stop(reactor);
	return 0;
}

START_TEST(reactor_stop_ends_it_with_the_clock_where_it_is)
{
	struct kept first, second;

	use_virtual_reactor();
	keep_started(&first, 100, SCHEDULE);
	first.then = stop_reactor;
	keep_started(&second, 100, SCHEDULE);
	ck_assert_int_eq(advance(1000), 1);
	ck_assert_uint_eq(virtual_now(), 100);
	/* Sticky. */
	ck_assert_int_eq(advance(1000), 0);
	ck_assert_uint_eq(virtual_now(), 100);
	expect_none(&second);
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), 1);
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), 0);
	first.then = NULL;
	ck_assert_int_eq(advance(100), 3);
	expect(&first, 1, 100, 200);
	expect(&second, 1, 100, 200);
}
END_TEST

static int stop_reactor_and_advance(struct kept *kept, const struct asynctimer_tick *tick)
{
	stop_reactor(kept, tick);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 7), 0);
	return 0;
}

START_TEST(stopped_the_clock_moves_by_a_callbacks_own_advance_alone)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 100, SCHEDULE);
	kept.then = stop_reactor_and_advance;
	ck_assert_int_eq(advance(1000), 1);
	ck_assert_uint_eq(virtual_now(), 107);
	ck_assert_int_eq(advance(1000), 0);
	ck_assert_uint_eq(virtual_now(), 107);
}
END_TEST

START_TEST(reactor_free_is_busy_with_a_tick_deferred)
{
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 100, SCHEDULE);
	kept.watched.result = ASYNCTIMER_PENDING;
	advance(100);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	must(asynctimer_complete(kept.timer, 1, 0));
}
END_TEST

START_TEST(the_figures_are_exact)
{
	struct asynctimer_stats stats;
	struct kept kept;

	use_virtual_reactor();
	keep_started(&kept, 100, SCHEDULE);
	kept.work_ns = 250;
	kept.only_in = 1;
	block(350, 690);
	advance(700);
	must(asynctimer_get_stats(kept.timer, &stats));
	ck_assert_uint_eq(stats.callbacks, 3);
	ck_assert_uint_eq(stats.skipped_busy, 2);
	ck_assert_uint_eq(stats.skipped_late, 2);
	ck_assert_uint_eq(stats.lateness_sum_ns, 90);
	ck_assert_uint_eq(stats.lateness_max_ns, 90);
	ck_assert_uint_eq(stats.duration_sum_ns, 250);
	ck_assert_uint_eq(stats.duration_max_ns, 250);
	ck_assert_uint_eq(stats.busy_since_ns, 0);
	kept.watched.result = ASYNCTIMER_PENDING;
	advance(110);
	must(asynctimer_get_stats(kept.timer, &stats));
	ck_assert_uint_eq(stats.busy_since_ns, 800);
	must(asynctimer_complete(kept.timer, 8, 0));
	must(asynctimer_get_stats(kept.timer, &stats));
	ck_assert_uint_eq(stats.busy_since_ns, 0);
	ck_assert_uint_eq(stats.duration_sum_ns, 260);
}
END_TEST

int main(void)
{
	return RUN_TESTS("virtual", the_first_tick_is_one_interval_after_start,
			 own_overruns_are_skipped_busy, a_fixed_delay_counts_from_the_completion,
			 a_late_reactor_runs_the_newest_tick_once,
			 a_late_fixed_delay_skips_nothing,
			 busy_and_late_are_told_apart_in_one_tick,
			 a_point_at_the_completion_is_busy,
			 a_reactor_late_to_the_very_point_runs_it,
			 of_a_nanosecond_timer_an_hour_is_one_tick,
			 the_longest_intervals_and_the_end_of_the_clock,
			 a_huge_interval_loses_no_nanosecond, start_at_past_now_and_future,
			 start_at_a_grid_point_of_the_past_is_the_next_one,
			 start_after_zero_is_at_once, start_after_a_delay_anchors_there,
			 start_after_zero_in_the_own_callback_is_one_interval_later,
			 a_restart_while_open_anchors_anew_and_skips_until_completion,
			 a_delay_restarted_while_open_is_due_one_interval_after_completion,
			 a_delay_restarted_for_later_is_due_then,
			 what_is_undelivered_at_stop_counts_as_nothing,
			 what_is_due_in_the_same_wake_up_is_dropped_by_a_restart,
			 a_tick_deferred_is_completed_from_outside,
			 a_completion_at_the_point_makes_it_busy,
			 a_tick_deferred_is_completed_by_another_timers_callback,
			 a_completion_before_the_callback_returns_counts_from_the_return,
			 the_time_of_a_handler_is_the_callbacks,
			 the_time_of_a_release_makes_the_next_callback_late, sixty_hertz_for_a_year,
			 acceptance_one_and_a_half_seconds, acceptance_three_timers,
			 acceptance_fixed_delay, acceptance_stopped_midway,
			 acceptance_work_longer_than_the_interval,
			 years_of_a_thousand_timers_conserve_every_tick,
			 with_slack_it_wakes_at_the_best_spot_of_its_window,
			 the_earliest_spot_wakes_for_all_that_is_due_then,
			 without_a_spot_slack_wakes_at_the_earliest_due_plus_slack,
			 a_fixed_delay_with_slack_counts_from_its_completion,
			 a_tick_deferred_holds_up_nothing_of_another_slack,
			 equal_due_times_run_in_armed_order,
			 equal_due_times_run_in_armed_order_whatever_their_slack,
			 every_clock_starts_at_zero_and_moves_by_advance_alone,
			 a_callback_sees_now_equal_to_due, no_descriptor_is_used,
			 what_a_virtual_and_a_real_reactor_do_not_do,
			 the_same_arguments_are_refused_as_anywhere,
			 advance_ends_where_asked_and_counts_callbacks,
			 what_a_callback_makes_due_beyond_the_target_waits_whatever_else_runs,
			 a_callbacks_own_advance_moves_the_clock_and_runs_nothing,
			 a_callback_may_take_time_however_near_the_end_it_is_advanced_to,
			 advance_does_not_pass_two_to_the_sixty_third,
			 another_thread_cannot_advance_meanwhile,
			 reactor_stop_ends_it_with_the_clock_where_it_is,
			 stopped_the_clock_moves_by_a_callbacks_own_advance_alone,
			 reactor_free_is_busy_with_a_tick_deferred, the_figures_are_exact);
}

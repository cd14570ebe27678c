/* SPDX-License-Identifier: MIT */
/* The arithmetic of schedules, in which time is an argument. */
#include "schedule.h"
#include "util.h"

/* For loops: Check writes to a file at each of its assertions, also those that hold. */
#define expect(a, op, b)                                                                           \
	do {                                                                                       \
		uint64_t left = (a), right = (b);                                                  \
		if (!(left op right))                                                              \
			ck_abort_msg("%s: %ju, %ju", #a " " #op " " #b, left, right);              \
	} while (0)

#define YEAR (365 * UINT64_C(86400) * ASYNCTIMER_SECOND)

static struct schedule fixed_schedule(uint64_t interval_ns)
{
	return (struct schedule){ .interval_ns = interval_ns, .policy = ASYNCTIMER_FIXED_SCHEDULE };
}

static struct schedule fixed_delay(uint64_t interval_ns)
{
	return (struct schedule){ .interval_ns = interval_ns, .policy = ASYNCTIMER_FIXED_DELAY };
}

/* At now_ns; the grid has come to the same. */
static void complete(struct schedule *schedule, uint64_t now_ns)
{
	asynctimer__schedule_complete(schedule, now_ns, now_ns);
}

/* Claims at now_ns, checks what no tick may violate, and completes nothing. */
static struct asynctimer_tick claim(struct schedule *schedule, uint64_t now_ns)
{
	uint64_t number = schedule->number;
	struct asynctimer_tick tick;

	expect(now_ns, >=, schedule->node.due_ns);
	asynctimer__schedule_claim(schedule, now_ns, now_ns, &tick);
	expect(tick.number, ==, number + 1 + tick.skipped_busy + tick.skipped_late);
	expect(tick.number, ==, schedule->number);
	expect(tick.now_ns, ==, now_ns);
	expect(tick.due_ns, <=, now_ns);
	return tick;
}

/* Claims at begin_ns, expects that tick, completes it at end_ns. */
static void run(struct schedule *schedule, uint64_t begin_ns, uint64_t end_ns, uint64_t due_ns,
		uint64_t busy, uint64_t late)
{
	struct asynctimer_tick tick = claim(schedule, begin_ns);

	ck_assert_uint_eq(tick.due_ns, due_ns);
	ck_assert_uint_eq(tick.skipped_busy, busy);
	ck_assert_uint_eq(tick.skipped_late, late);
	complete(schedule, end_ns);
}

START_TEST(first_tick_is_one_interval_after_start)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 1000);
	ck_assert_uint_eq(schedule.node.due_ns, 1100);
	run(&schedule, 1103, 1104, 1100, 0, 0);
	ck_assert_uint_eq(schedule.number, 1);
	ck_assert_uint_eq(schedule.node.due_ns, 1200);

	schedule = fixed_delay(100);
	asynctimer__schedule_start(&schedule, 1000);
	ck_assert_uint_eq(schedule.node.due_ns, 1100);
}
END_TEST

START_TEST(claim_exactly_at_due_is_in_time)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 0);
	run(&schedule, 100, 100, 100, 0, 0);
	run(&schedule, 299, 299, 200, 0, 0);
	run(&schedule, 300, 301, 300, 0, 0);
	ck_assert_uint_eq(schedule.node.due_ns, 400);
}
END_TEST

START_TEST(claim_exactly_at_the_point_after_fires_for_that_one)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 0);
	run(&schedule, 200, 201, 200, 0, 1);
	ck_assert_uint_eq(schedule.number, 2);
	ck_assert_uint_eq(schedule.node.due_ns, 300);
}
END_TEST

START_TEST(own_overrun_waits_for_the_grid)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 0);
	run(&schedule, 100, 250, 100, 0, 0);
	run(&schedule, 300, 450, 300, 1, 0);
	run(&schedule, 500, 650, 500, 1, 0);
	run(&schedule, 700, 710, 700, 1, 0);
	run(&schedule, 800, 810, 800, 0, 0);
	ck_assert_uint_eq(schedule.number, 8);
}
END_TEST

START_TEST(foreign_lateness_fires_once_at_once_and_is_back_on_the_grid)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 0);
	run(&schedule, 100, 101, 100, 0, 0);
	run(&schedule, 530, 531, 500, 0, 3);
	run(&schedule, 600, 601, 600, 0, 0);
	run(&schedule, 700, 701, 700, 0, 0);
	ck_assert_uint_eq(schedule.number, 7);
}
END_TEST

START_TEST(busy_and_late_are_told_apart_at_the_completion)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 0);
	/* Busy over 200 and 300, then the reactor is late over 400 to 600. */
	run(&schedule, 100, 350, 100, 0, 0);
	run(&schedule, 777, 778, 700, 2, 3);
	ck_assert_uint_eq(schedule.number, 7);
	/* Late itself, and done before the next point: nothing skipped. */
	run(&schedule, 899, 899, 800, 0, 0);
	ck_assert_uint_eq(schedule.node.due_ns, 900);
}
END_TEST

START_TEST(completion_exactly_on_a_point_skips_that_point)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 0);
	run(&schedule, 100, 199, 100, 0, 0);
	ck_assert_uint_eq(schedule.node.due_ns, 200);
	run(&schedule, 200, 300, 200, 0, 0);
	ck_assert_uint_eq(schedule.node.due_ns, 400);
	run(&schedule, 400, 600, 400, 1, 0);
	run(&schedule, 700, 700, 700, 2, 0);
}
END_TEST

START_TEST(what_was_not_delivered_at_a_restart_counts_as_nothing)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 0);
	run(&schedule, 100, 350, 100, 0, 0);
	asynctimer__schedule_start(&schedule, 1000);
	run(&schedule, 1100, 1101, 1100, 0, 0);
	ck_assert_uint_eq(schedule.number, 2);
}
END_TEST

START_TEST(one_nanosecond_and_an_hours_jump)
{
	uint64_t hour_ns = 3600 * ASYNCTIMER_SECOND;
	struct schedule schedule = fixed_schedule(1);

	asynctimer__schedule_start(&schedule, 5);
	run(&schedule, 6, 6, 6, 0, 0);
	run(&schedule, 6 + hour_ns, 6 + hour_ns, 6 + hour_ns, 0, hour_ns - 1);
	asynctimer__schedule_claim(&schedule, 7 + hour_ns, 7 + hour_ns, &(struct asynctimer_tick){ 0 });
	complete(&schedule, 7 + 2 * hour_ns);
	run(&schedule, 8 + 2 * hour_ns, 8 + 2 * hour_ns, 8 + 2 * hour_ns, hour_ns, 0);
	ck_assert_uint_eq(schedule.number, 3 + 2 * hour_ns);
	ck_assert_uint_eq(schedule.node.due_ns, 9 + 2 * hour_ns);
}
END_TEST

START_TEST(largest_interval_and_latest_anchor_do_not_wrap)
{
	const uint64_t largest_ns = ASYNCTIMER__INTERVAL_MAX;
	const uint64_t latest_ns = INT64_MAX;
	struct schedule schedule = fixed_schedule(largest_ns);

	asynctimer__schedule_start_at(&schedule, latest_ns, 1);
	ck_assert_uint_eq(schedule.node.due_ns, latest_ns);
	run(&schedule, latest_ns, latest_ns, latest_ns, 0, 0);
	ck_assert_uint_eq(schedule.node.due_ns, latest_ns + largest_ns);
	run(&schedule, schedule.node.due_ns, schedule.node.due_ns, latest_ns + largest_ns, 0, 0);

	schedule = fixed_schedule(largest_ns);
	asynctimer__schedule_start(&schedule, latest_ns);
	ck_assert_uint_eq(schedule.node.due_ns, latest_ns + largest_ns);

	schedule = fixed_schedule(largest_ns);
	asynctimer__schedule_start_at(&schedule, 0, latest_ns);
	ck_assert_uint_eq(schedule.node.due_ns, UINT64_C(1) << 63);

	schedule = fixed_schedule(largest_ns - 1);
	asynctimer__schedule_start_at(&schedule, 7, largest_ns + 5);
	ck_assert_uint_eq(schedule.node.due_ns, largest_ns + 6);
	asynctimer__schedule_start_at(&schedule, 7, largest_ns + 6);
	ck_assert_uint_eq(schedule.node.due_ns, 2 * largest_ns + 5);

	/* 2^63 nanoseconds late on a grid of 1 ns. */
	schedule = fixed_schedule(1);
	asynctimer__schedule_start(&schedule, 0);
	run(&schedule, latest_ns, latest_ns, latest_ns, 0, latest_ns - 1);

	schedule = fixed_delay(largest_ns);
	asynctimer__schedule_start_at(&schedule, latest_ns, 1);
	run(&schedule, latest_ns, latest_ns, latest_ns, 0, 0);
	ck_assert_uint_eq(schedule.node.due_ns, latest_ns + largest_ns);
}
END_TEST

START_TEST(sixty_hertz_for_a_year_has_no_drift)
{
	const uint64_t interval_ns = 16666667;
	const uint64_t anchor_ns = 1234567890123456789;
	struct schedule schedule = fixed_schedule(interval_ns);
	uint64_t now_ns = anchor_ns;
	uint64_t points = YEAR / interval_ns;

	srandom(60);
	asynctimer__schedule_start(&schedule, now_ns);
	while (schedule.number < points) {
		/* Each tick of the first and the last hour; now and then a jump between. */
		bool each = schedule.number < 216000 || schedule.number > points - 216000;
		uint64_t before = schedule.number;
		struct asynctimer_tick tick;

		now_ns = schedule.node.due_ns + (uint64_t)random() % interval_ns;
		if (!each && random() % 8 == 0)
			now_ns += (uint64_t)random() % 5000000 % (points - before) * interval_ns;
		tick = claim(&schedule, now_ns);
		expect(tick.due_ns, ==, anchor_ns + tick.number * interval_ns);
		expect(now_ns - tick.due_ns, <, interval_ns);
		if (each)
			now_ns = tick.due_ns;
		else
			now_ns += (uint64_t)random() % (2 * interval_ns);
		complete(&schedule, now_ns);
	}
	expect(schedule.number, >=, points);
}
END_TEST

START_TEST(start_at_takes_now_and_the_future_as_first_tick)
{
	for (int policy = ASYNCTIMER_FIXED_SCHEDULE; policy <= ASYNCTIMER_FIXED_DELAY; policy++) {
		struct schedule schedule = { .interval_ns = 100, .policy = policy };

		asynctimer__schedule_start_at(&schedule, 1000, 1000);
		ck_assert_uint_eq(schedule.node.due_ns, 1000);
		asynctimer__schedule_start_at(&schedule, 1001, 1000);
		ck_assert_uint_eq(schedule.node.due_ns, 1001);
		asynctimer__schedule_start_at(&schedule, 987654, 1000);
		ck_assert_uint_eq(schedule.node.due_ns, 987654);
		asynctimer__schedule_start_at(&schedule, 0, 0);
		ck_assert_uint_eq(schedule.node.due_ns, 0);
		ck_assert_uint_eq(claim(&schedule, 0).number, 1);
	}
}
END_TEST

START_TEST(start_at_the_past_takes_the_next_point_after_now)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start_at(&schedule, 999, 1000);
	ck_assert_uint_eq(schedule.node.due_ns, 1099);
	asynctimer__schedule_start_at(&schedule, 0, 1000);
	ck_assert_uint_eq(schedule.node.due_ns, 1100);
	asynctimer__schedule_start_at(&schedule, 0, 1099);
	ck_assert_uint_eq(schedule.node.due_ns, 1100);
	/* Points before the start are no skipped ticks. */
	run(&schedule, 1100, 1101, 1100, 0, 0);
	ck_assert_uint_eq(schedule.number, 1);
}
END_TEST

START_TEST(fixed_delay_started_at_the_past_is_due_now)
{
	struct schedule schedule = fixed_delay(100);

	asynctimer__schedule_start_at(&schedule, 3, 1000);
	ck_assert_uint_eq(schedule.node.due_ns, 1000);
	run(&schedule, 1002, 1005, 1000, 0, 0);
	ck_assert_uint_eq(schedule.node.due_ns, 1105);
}
END_TEST

START_TEST(fixed_delay_counts_from_the_completion_and_skips_nothing)
{
	struct schedule schedule = fixed_delay(100);

	asynctimer__schedule_start(&schedule, 0);
	claim(&schedule, 100);
	ck_assert_uint_eq(schedule.node.due_ns, ASYNCTIMER__NEVER);
	complete(&schedule, 1000);
	run(&schedule, 1100, 1100, 1100, 0, 0);
	run(&schedule, 9999, 10000, 1200, 0, 0);
	ck_assert_uint_eq(schedule.node.due_ns, 10100);
	ck_assert_uint_eq(schedule.number, 3);
}
END_TEST

START_TEST(restart_while_open_skips_points_up_to_the_completion)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 0);
	claim(&schedule, 100);
	asynctimer__schedule_start(&schedule, 130);
	complete(&schedule, 229);
	ck_assert_uint_eq(schedule.node.due_ns, 230);
	run(&schedule, 230, 231, 230, 0, 0);
	ck_assert_uint_eq(schedule.number, 2);

	claim(&schedule, 330);
	asynctimer__schedule_start_at(&schedule, 345, 340);
	complete(&schedule, 545);
	run(&schedule, 645, 646, 645, 3, 0);
	ck_assert_uint_eq(schedule.number, 7);

	/* An anchor to come holds. */
	claim(&schedule, 745);
	asynctimer__schedule_start_at(&schedule, 5000, 746);
	complete(&schedule, 747);
	run(&schedule, 5000, 5001, 5000, 0, 0);

	/* Busy points of before the restart count as nothing. */
	claim(&schedule, 5100);
	complete(&schedule, 5350);
	asynctimer__schedule_start(&schedule, 5360);
	run(&schedule, 5460, 5460, 5460, 0, 0);
}
END_TEST

START_TEST(fixed_delay_restarted_while_open_is_due_at_the_later_of_both)
{
	struct schedule schedule = fixed_delay(100);

	asynctimer__schedule_start(&schedule, 0);
	claim(&schedule, 100);
	asynctimer__schedule_start(&schedule, 110);
	complete(&schedule, 150);
	ck_assert_uint_eq(schedule.node.due_ns, 250);
	claim(&schedule, 250);
	asynctimer__schedule_start_at(&schedule, 800, 260);
	complete(&schedule, 699);
	ck_assert_uint_eq(schedule.node.due_ns, 800);
	claim(&schedule, 800);
	asynctimer__schedule_start_at(&schedule, 900, 810);
	complete(&schedule, 801);
	ck_assert_uint_eq(schedule.node.due_ns, 901);
	claim(&schedule, 901);
	asynctimer__schedule_start_at(&schedule, 5, 910);
	complete(&schedule, 920);
	ck_assert_uint_eq(schedule.node.due_ns, 1020);
	ck_assert_uint_eq(schedule.number, 4);
}
END_TEST

START_TEST(set_interval_before_the_first_tick_keeps_the_anchor)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 1000);
	asynctimer__schedule_set_interval(&schedule, 70, 1069);
	ck_assert_uint_eq(schedule.node.due_ns, 1070);
	asynctimer__schedule_set_interval(&schedule, 60, 1069);
	ck_assert_uint_eq(schedule.node.due_ns, 1120);
	asynctimer__schedule_set_interval(&schedule, 50, 1100);
	ck_assert_uint_eq(schedule.node.due_ns, 1150);
	run(&schedule, 1150, 1151, 1150, 0, 0);
	ck_assert_uint_eq(schedule.number, 1);

	asynctimer__schedule_start_at(&schedule, 2000, 1200);
	asynctimer__schedule_set_interval(&schedule, 30, 1300);
	ck_assert_uint_eq(schedule.node.due_ns, 2000);
	run(&schedule, 2000, 2000, 2000, 0, 0);
	ck_assert_uint_eq(schedule.node.due_ns, 2030);

	asynctimer__schedule_start_at(&schedule, 10, 3000);
	asynctimer__schedule_set_interval(&schedule, 100, 3001);
	ck_assert_uint_eq(schedule.node.due_ns, 3010);

	/* Late for the anchor itself: that counts as nothing. */
	asynctimer__schedule_start_at(&schedule, 4000, 3500);
	asynctimer__schedule_set_interval(&schedule, 30, 4000);
	run(&schedule, 4030, 4030, 4030, 0, 0);
	ck_assert_uint_eq(schedule.number, 3);
}
END_TEST

START_TEST(set_interval_anchors_the_grid_at_the_last_due_point)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 0);
	run(&schedule, 100, 101, 100, 0, 0);
	asynctimer__schedule_set_interval(&schedule, 250, 150);
	ck_assert_uint_eq(schedule.node.due_ns, 350);
	asynctimer__schedule_set_interval(&schedule, 20, 160);
	ck_assert_uint_eq(schedule.node.due_ns, 180);
	run(&schedule, 180, 181, 180, 0, 0);
	ck_assert_uint_eq(schedule.node.due_ns, 200);
	ck_assert_uint_eq(schedule.number, 2);
}
END_TEST

START_TEST(set_interval_while_open_or_late_skips_without_counting)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 0);
	/* Open. */
	claim(&schedule, 100);
	asynctimer__schedule_set_interval(&schedule, 50, 249);
	ck_assert_uint_eq(schedule.node.due_ns, 250);
	complete(&schedule, 260);
	run(&schedule, 300, 301, 300, 1, 0);
	ck_assert_uint_eq(schedule.number, 3);
	/* Late: 350 to 450 were not delivered. */
	asynctimer__schedule_set_interval(&schedule, 100, 499);
	ck_assert_uint_eq(schedule.node.due_ns, 500);
	run(&schedule, 500, 750, 500, 0, 0);
	ck_assert_uint_eq(schedule.number, 4);
	/* Busy over 600 and 700, not reported yet. */
	asynctimer__schedule_set_interval(&schedule, 10, 760);
	run(&schedule, 770, 770, 770, 0, 0);
	ck_assert_uint_eq(schedule.number, 5);
}
END_TEST

START_TEST(set_interval_of_fixed_delay_counts_from_the_last_completion_or_start)
{
	struct schedule schedule = fixed_delay(100);

	asynctimer__schedule_start(&schedule, 1000);
	asynctimer__schedule_set_interval(&schedule, 50, 1010);
	ck_assert_uint_eq(schedule.node.due_ns, 1050);
	asynctimer__schedule_set_interval(&schedule, 10, 1030);
	ck_assert_uint_eq(schedule.node.due_ns, 1010);
	run(&schedule, 1030, 1035, 1010, 0, 0);
	ck_assert_uint_eq(schedule.node.due_ns, 1045);
	asynctimer__schedule_set_interval(&schedule, 200, 1040);
	ck_assert_uint_eq(schedule.node.due_ns, 1235);

	/* Open: there is no next tick until the completion. */
	claim(&schedule, 1235);
	asynctimer__schedule_set_interval(&schedule, 30, 1240);
	ck_assert_uint_eq(schedule.node.due_ns, ASYNCTIMER__NEVER);
	complete(&schedule, 1300);
	ck_assert_uint_eq(schedule.node.due_ns, 1330);

	/* A first tick that was asked for stays. */
	asynctimer__schedule_start_at(&schedule, 5000, 2000);
	asynctimer__schedule_set_interval(&schedule, 40, 2001);
	ck_assert_uint_eq(schedule.node.due_ns, 5000);
	run(&schedule, 5000, 5000, 5000, 0, 0);
	ck_assert_uint_eq(schedule.node.due_ns, 5040);
	asynctimer__schedule_set_interval(&schedule, 60, 5001);
	ck_assert_uint_eq(schedule.node.due_ns, 5060);

	/* Restarted while open: still no earlier than completion + interval. */
	claim(&schedule, 5060);
	asynctimer__schedule_start(&schedule, 5100);
	asynctimer__schedule_set_interval(&schedule, 10, 5101);
	complete(&schedule, 5200);
	ck_assert_uint_eq(schedule.node.due_ns, 5210);
}
END_TEST

START_TEST(clock_set_back_before_the_first_tick_leaves_the_anchor)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 1000);
	asynctimer__schedule_clock_set(&schedule, 10);
	ck_assert_uint_eq(schedule.node.due_ns, 1100);
	asynctimer__schedule_start_at(&schedule, 3000, 1000);
	asynctimer__schedule_clock_set(&schedule, 10);
	ck_assert_uint_eq(schedule.node.due_ns, 3000);
	run(&schedule, 3000, 3000, 3000, 0, 0);
}
END_TEST

START_TEST(clock_set_back_before_the_first_tick_is_felt_after_set_interval)
{
	struct schedule schedule = fixed_schedule(1000);

	asynctimer__schedule_start(&schedule, 0);
	asynctimer__schedule_set_interval(&schedule, 10, 900);
	ck_assert_uint_eq(schedule.node.due_ns, 910);
	/* Not silent until it is 910 again. */
	asynctimer__schedule_clock_set(&schedule, 5);
	ck_assert_uint_eq(schedule.node.due_ns, 10);
}
END_TEST

START_TEST(fixed_delay_does_not_feel_a_clock_set)
{
	struct schedule schedule = fixed_delay(100);

	asynctimer__schedule_start(&schedule, 1000);
	run(&schedule, 1100, 1150, 1100, 0, 0);
	ck_assert_uint_eq(schedule.node.due_ns, 1250);
	asynctimer__schedule_clock_set(&schedule, 10);
	ck_assert_uint_eq(schedule.node.due_ns, 1250);
	asynctimer__schedule_start_at(&schedule, 1100, 1200);
	asynctimer__schedule_clock_set(&schedule, 10);
	ck_assert_uint_eq(schedule.node.due_ns, 1200);
}
END_TEST

START_TEST(clock_set_back_before_the_first_tick_stays_on_the_grid_after_its_anchor)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start_at(&schedule, 50, 1000);
	ck_assert_uint_eq(schedule.node.due_ns, 1050);
	asynctimer__schedule_clock_set(&schedule, 310);
	ck_assert_uint_eq(schedule.node.due_ns, 350);
	asynctimer__schedule_clock_set(&schedule, 10);
	ck_assert_uint_eq(schedule.node.due_ns, 50);
	run(&schedule, 50, 50, 50, 0, 0);
}
END_TEST

START_TEST(clock_set_back_afterwards_extends_the_grid)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 1000);
	run(&schedule, 1100, 1101, 1100, 0, 0);
	/* Not behind the last point: nothing to do. */
	asynctimer__schedule_clock_set(&schedule, 1100);
	ck_assert_uint_eq(schedule.node.due_ns, 1200);
	asynctimer__schedule_clock_set(&schedule, 1099);
	ck_assert_uint_eq(schedule.node.due_ns, 1100);
	asynctimer__schedule_clock_set(&schedule, 600);
	ck_assert_uint_eq(schedule.node.due_ns, 700);
	asynctimer__schedule_clock_set(&schedule, 0);
	ck_assert_uint_eq(schedule.node.due_ns, 100);
	run(&schedule, 100, 101, 100, 0, 0);
	ck_assert_uint_eq(schedule.number, 2);

	/* Set forward: one late tick, the rest skipped. */
	asynctimer__schedule_clock_set(&schedule, 555);
	ck_assert_uint_eq(schedule.node.due_ns, 200);
	run(&schedule, 555, 556, 500, 0, 3);
}
END_TEST

START_TEST(clock_set_back_while_open_is_seen_at_the_completion)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 1000);
	run(&schedule, 1100, 399, 1100, 0, 0);
	ck_assert_uint_eq(schedule.node.due_ns, 400);
	/* But an anchor asked for meanwhile holds. */
	claim(&schedule, 400);
	asynctimer__schedule_start_at(&schedule, 2000, 410);
	complete(&schedule, 50);
	ck_assert_uint_eq(schedule.node.due_ns, 2000);
}
END_TEST

START_TEST(restart_while_open_holds_when_the_clock_is_set_back)
{
	struct schedule schedule = fixed_schedule(200);

	/* On the grid of 0; before the completion the clock is set back by 1000. */
	asynctimer__schedule_start(&schedule, 2000);
	claim(&schedule, 2200);
	asynctimer__schedule_start_at(&schedule, 0, 2210);
	ck_assert_uint_eq(schedule.node.due_ns, 2400);
	complete(&schedule, 1210);
	ck_assert_uint_eq(schedule.node.due_ns, 1400);
	run(&schedule, 1400, 1401, 1400, 0, 0);
	ck_assert_uint_eq(schedule.number, 2);

	/* A start's anchor is now: it has no point before. */
	claim(&schedule, 1600);
	asynctimer__schedule_start(&schedule, 1610);
	complete(&schedule, 610);
	ck_assert_uint_eq(schedule.node.due_ns, 1810);
}
END_TEST

START_TEST(set_interval_with_the_clock_set_back_before_the_start_keeps_the_first_tick)
{
	struct schedule schedule = fixed_schedule(100);

	asynctimer__schedule_start(&schedule, 1000);
	asynctimer__schedule_set_interval(&schedule, 70, 400);
	ck_assert_uint_eq(schedule.node.due_ns, 1070);
	run(&schedule, 1070, 1071, 1070, 0, 0);
	ck_assert_uint_eq(schedule.number, 1);

	/* An anchor that was asked for is a tick. */
	asynctimer__schedule_start_at(&schedule, 1000, 1900);
	asynctimer__schedule_set_interval(&schedule, 100, 400);
	ck_assert_uint_eq(schedule.node.due_ns, 1000);
}
END_TEST

START_TEST(set_interval_of_once_with_the_clock_set_back_goes_back_to_the_anchor)
{
	struct schedule schedule = { .interval_ns = 10, .policy = ASYNCTIMER_ONCE };

	/* A start that was late is due at once, until the clock shows less. */
	asynctimer__schedule_start_at(&schedule, 50, 100);
	ck_assert_uint_eq(schedule.node.due_ns, 100);
	asynctimer__schedule_set_interval(&schedule, 20, 60);
	ck_assert_uint_eq(schedule.node.due_ns, 60);
	asynctimer__schedule_set_interval(&schedule, 30, 40);
	ck_assert_uint_eq(schedule.node.due_ns, 50);
}
END_TEST

START_TEST(set_interval_is_exact_up_to_the_last_reading_of_the_clock)
{
	const uint64_t last_ns = UINT64_C(1) << 63;
	struct schedule schedule = fixed_schedule(100);

	/* Anchored at 0, both before the first tick and at the last due point. */
	asynctimer__schedule_start(&schedule, 0);
	asynctimer__schedule_set_interval(&schedule, 1000, last_ns);
	ck_assert_uint_eq(schedule.node.due_ns, last_ns / 1000 * 1000 + 1000);
	asynctimer__schedule_start_at(&schedule, 0, 0);
	run(&schedule, 0, 0, 0, 0, 0);
	asynctimer__schedule_set_interval(&schedule, 70, last_ns);
	ck_assert_uint_eq(schedule.node.due_ns, last_ns / 70 * 70 + 70);

	/* Set back, the clock has the last point, at 1 - 100, before its beginning. */
	schedule = fixed_schedule(100);
	asynctimer__schedule_start_at(&schedule, 1, 0);
	run(&schedule, 1, 0, 1, 0, 0);
	ck_assert_uint_eq(schedule.node.due_ns, 1);
	asynctimer__schedule_set_interval(&schedule, 1000, last_ns);
	ck_assert_uint_eq(schedule.node.due_ns, (last_ns + 99) / 1000 * 1000 + 1000 - 99);
}
END_TEST

/*
 * What the schedule must do, said without a division: all grid points are
 * listed one by one. Points below from_ns are over.
 */
struct model {
	uint64_t interval_ns;
	uint64_t point_ns;	/* any point of the grid; before the first tick the anchor */
	uint64_t from_ns;
	uint64_t base_ns;	/* FIXED_DELAY */
	uint64_t next_ns;
	uint64_t number;
	uint64_t busy;
	bool anchored;		/* the grid begins at point_ns */
	bool asked;
	bool open;
};

static uint64_t model_next(const struct model *model)
{
	uint64_t ns = model->point_ns;

	while (ns < model->from_ns)
		ns += model->interval_ns;
	while (!model->anchored && ns >= model->interval_ns &&
	       ns - model->interval_ns >= model->from_ns)
		ns -= model->interval_ns;
	return ns;
}

static uint64_t model_last(const struct model *model)
{
	return model->anchored ? model->point_ns : model_next(model) - model->interval_ns;
}

static void model_clock_set(struct model *model, uint64_t now_ns)
{
	uint64_t from_ns = now_ns + 1;

	/* A start's own moment is no tick. */
	if (model->anchored && now_ns < model->point_ns)
		from_ns = model->point_ns + !model->asked;
	if (model->anchored ? model_next(model) > now_ns : model_last(model) > now_ns)
		model->from_ns = from_ns;
}

static void model_start(struct model *model, uint64_t point_ns, uint64_t from_ns)
{
	model->point_ns = point_ns;
	model->from_ns = from_ns;
	model->busy = 0;
	model->anchored = true;
}

static struct asynctimer_tick model_claim(struct model *model, uint64_t now_ns)
{
	struct asynctimer_tick tick = { .now_ns = now_ns, .skipped_busy = model->busy };

	tick.due_ns = model_next(model);
	while (tick.due_ns + model->interval_ns <= now_ns) {
		tick.due_ns += model->interval_ns;
		tick.skipped_late++;
	}
	model->number += 1 + tick.skipped_busy + tick.skipped_late;
	tick.number = model->number;
	model->point_ns = tick.due_ns;
	model->from_ns = tick.due_ns + 1;
	model->busy = 0;
	model->anchored = false;
	return tick;
}

static void model_complete(struct model *model, uint64_t now_ns)
{
	uint64_t ns = model_next(model);

	if (ns > now_ns) {
		model_clock_set(model, now_ns);
		return;
	}
	for (; ns <= now_ns; ns += model->interval_ns)
		model->busy++;
	model->from_ns = now_ns + 1;
	model->anchored = false;
}

static void model_set_interval(struct model *model, uint64_t interval_ns, uint64_t now_ns)
{
	model->point_ns = model_last(model);
	model->interval_ns = interval_ns;
	model->from_ns = now_ns + 1;
	/* A start's own moment is no tick, also where the clock shows an earlier one. */
	if (model->anchored && !model->asked && now_ns < model->point_ns)
		model->from_ns = model->point_ns + 1;
	model->busy = 0;
}

static void expect_same(const struct asynctimer_tick *tick, const struct asynctimer_tick *expected)
{
	expect(tick->number, ==, expected->number);
	expect(tick->due_ns, ==, expected->due_ns);
	expect(tick->now_ns, ==, expected->now_ns);
	expect(tick->skipped_busy, ==, expected->skipped_busy);
	expect(tick->skipped_late, ==, expected->skipped_late);
}

static uint64_t up_to(uint64_t limit)
{
	return (uint64_t)random() % (limit + 1);
}

static void random_life(struct schedule *schedule, bool set_back)
{
	struct model model = { .interval_ns = schedule->interval_ns };
	uint64_t now_ns = 10000 + up_to(1000);

	asynctimer__schedule_start(schedule, now_ns);
	model_start(&model, now_ns, now_ns + 1);
	for (int i = 0; i < 400; i++) {
		uint64_t interval_ns = 1 + up_to(60);
		uint64_t ns;

		now_ns += up_to(3) ? up_to(model.interval_ns) : up_to(500);
		if (set_back && up_to(9) == 0) {
			now_ns -= up_to(now_ns < 1000 ? now_ns : 1000);
			/* Its notice comes before anything else but while open. */
			if (!model.open) {
				asynctimer__schedule_clock_set(schedule, now_ns);
				model_clock_set(&model, now_ns);
			}
		}
		switch (up_to(11)) {
		case 0:
			asynctimer__schedule_start(schedule, now_ns);
			model_start(&model, now_ns, now_ns + 1);
			model.asked = false;
			break;
		case 1:
			ns = now_ns + up_to(300);
			asynctimer__schedule_start_at(schedule, ns, now_ns);
			model_start(&model, ns, ns);
			model.asked = true;
			break;
		case 2:
			ns = up_to(now_ns);
			asynctimer__schedule_start_at(schedule, ns, now_ns);
			model_start(&model, ns, ns == now_ns ? ns : now_ns + 1);
			model.asked = true;
			break;
		case 3:
			asynctimer__schedule_set_interval(schedule, interval_ns, now_ns);
			model_set_interval(&model, interval_ns, now_ns);
			break;
		default:
			if (model.open) {
				complete(schedule, now_ns);
				model_complete(&model, now_ns);
				model.open = false;
			} else if (now_ns >= model_next(&model)) {
				struct asynctimer_tick tick = claim(schedule, now_ns);
				struct asynctimer_tick expected = model_claim(&model, now_ns);

				expect_same(&tick, &expected);
				model.open = true;
			}
		}
		expect(schedule->node.due_ns, ==, model_next(&model));
	}
}

START_TEST(random_fixed_schedules_do_as_the_listed_points)
{
	srandom(1);
	for (int i = 0; i < 500; i++) {
		struct schedule schedule = fixed_schedule(1 + up_to(60));

		random_life(&schedule, false);
	}
}
END_TEST

START_TEST(random_fixed_schedules_on_a_clock_set_back_do_as_the_listed_points)
{
	srandom(2);
	for (int i = 0; i < 500; i++) {
		struct schedule schedule = fixed_schedule(1 + up_to(60));

		random_life(&schedule, true);
	}
}
END_TEST

/* The rules of FIXED_DELAY, each as one line of the contract. */
static void random_delayed_life(struct schedule *schedule)
{
	struct model model = { .interval_ns = schedule->interval_ns };
	uint64_t now_ns = up_to(1000);

	asynctimer__schedule_start(schedule, now_ns);
	model.base_ns = now_ns;
	model.next_ns = now_ns + model.interval_ns;
	for (int i = 0; i < 400; i++) {
		uint64_t ns;

		now_ns += up_to(model.interval_ns);
		switch (up_to(9)) {
		case 0:
			asynctimer__schedule_start(schedule, now_ns);
			model.asked = false;
			model.base_ns = now_ns;
			model.next_ns = now_ns + model.interval_ns;
			break;
		case 1:
			ns = up_to(2 * now_ns);
			asynctimer__schedule_start_at(schedule, ns, now_ns);
			model.asked = true;
			model.next_ns = ns < now_ns ? now_ns : ns;
			break;
		case 2:
			model.interval_ns = 1 + up_to(60);
			asynctimer__schedule_set_interval(schedule, model.interval_ns, now_ns);
			if (!model.asked && model.next_ns != ASYNCTIMER__NEVER)
				model.next_ns = model.base_ns + model.interval_ns;
			break;
		default:
			if (model.open) {
				complete(schedule, now_ns);
				ns = now_ns + model.interval_ns;
				if (model.next_ns == ASYNCTIMER__NEVER || model.next_ns < ns) {
					model.next_ns = ns;
					model.asked = false;
				}
				model.base_ns = now_ns;
				model.open = false;
			} else if (now_ns >= model.next_ns) {
				struct asynctimer_tick tick = claim(schedule, now_ns);

				expect(tick.due_ns, ==, model.next_ns);
				expect(tick.number, ==, ++model.number);
				model.next_ns = ASYNCTIMER__NEVER;
				model.asked = false;
				model.open = true;
			}
		}
		expect(schedule->node.due_ns, ==, model.next_ns);
	}
}

START_TEST(random_fixed_delays_do_as_the_contract_says)
{
	srandom(3);
	for (int i = 0; i < 500; i++) {
		struct schedule schedule = fixed_delay(1 + up_to(60));

		random_delayed_life(&schedule);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS("schedule", first_tick_is_one_interval_after_start,
			 claim_exactly_at_due_is_in_time,
			 claim_exactly_at_the_point_after_fires_for_that_one,
			 own_overrun_waits_for_the_grid,
			 foreign_lateness_fires_once_at_once_and_is_back_on_the_grid,
			 busy_and_late_are_told_apart_at_the_completion,
			 completion_exactly_on_a_point_skips_that_point,
			 what_was_not_delivered_at_a_restart_counts_as_nothing,
			 one_nanosecond_and_an_hours_jump,
			 largest_interval_and_latest_anchor_do_not_wrap,
			 sixty_hertz_for_a_year_has_no_drift,
			 start_at_takes_now_and_the_future_as_first_tick,
			 start_at_the_past_takes_the_next_point_after_now,
			 fixed_delay_started_at_the_past_is_due_now,
			 fixed_delay_counts_from_the_completion_and_skips_nothing,
			 restart_while_open_skips_points_up_to_the_completion,
			 fixed_delay_restarted_while_open_is_due_at_the_later_of_both,
			 set_interval_before_the_first_tick_keeps_the_anchor,
			 set_interval_anchors_the_grid_at_the_last_due_point,
			 set_interval_while_open_or_late_skips_without_counting,
			 set_interval_of_fixed_delay_counts_from_the_last_completion_or_start,
			 fixed_delay_does_not_feel_a_clock_set,
			 clock_set_back_before_the_first_tick_leaves_the_anchor,
			 clock_set_back_before_the_first_tick_is_felt_after_set_interval,
			 clock_set_back_before_the_first_tick_stays_on_the_grid_after_its_anchor,
			 clock_set_back_afterwards_extends_the_grid,
			 clock_set_back_while_open_is_seen_at_the_completion,
			 restart_while_open_holds_when_the_clock_is_set_back,
			 set_interval_with_the_clock_set_back_before_the_start_keeps_the_first_tick,
			 set_interval_of_once_with_the_clock_set_back_goes_back_to_the_anchor,
			 set_interval_is_exact_up_to_the_last_reading_of_the_clock,
			 random_fixed_schedules_do_as_the_listed_points,
			 random_fixed_schedules_on_a_clock_set_back_do_as_the_listed_points,
			 random_fixed_delays_do_as_the_contract_says);
}

/* SPDX-License-Identifier: MIT */
/* The arithmetic of schedules, in which time is an argument. */
#include "schedule.h"
#include "util.h"

static struct schedule fixed_schedule(uint64_t interval_ns)
{
	return (struct schedule){ .interval_ns = interval_ns, .policy = ASYNCTIMER_FIXED_SCHEDULE };
}

START_TEST(first_tick_is_one_interval_after_start)
{
	struct schedule schedule = fixed_schedule(100);
	struct asynctimer_tick tick;

	asynctimer__schedule_start(&schedule, 1000);
	ck_assert_uint_eq(schedule.node.due_ns, 1100);
	asynctimer__schedule_claim(&schedule, 1103, &tick);
	ck_assert_uint_eq(tick.number, 1);
	ck_assert_uint_eq(tick.due_ns, 1100);
	ck_assert_uint_eq(tick.now_ns, 1103);
	ck_assert_uint_eq(schedule.node.due_ns, 1200);
}
END_TEST

int main(void)
{
	return RUN_TESTS("schedule", first_tick_is_one_interval_after_start);
}

/* SPDX-License-Identifier: MIT */
/*
 * What the two timerfds of a clock are armed for, to the nanosecond. The clock stands
 * still, an hour ahead of the kernel's, so neither of them fires by itself: the
 * tests say when.
 */
#include <errno.h>
#include <unistd.h>

#include "held_clock.h"
#include "internal.h"
#include "util.h"

#define NEVER ASYNCTIMER__NEVER
#define LEAD (100 * US)
#define FLOOR (20 * US)		/* nothing is armed nearer than that */

static struct watched a, b, c;

static bool was_set;		/* says the next read of a timerfd */

ssize_t __real_read(int fd, void *ret, size_t size);
ssize_t __wrap_read(int fd, void *ret, size_t size);
ssize_t __wrap_read(int fd, void *ret, size_t size)
{
	if (!was_set || fd == reactor->event_fd)
		return __real_read(fd, ret, size);
	was_set = false;
	errno = ECANCELED;
	return -1;
}

/* Returns the time. */
static uint64_t hold(void)
{
	held_ns = now_mono() + HOUR;
	return held_ns;
}

static void start_after(struct watched *watched, uint64_t interval_ns, uint64_t delay_ns)
{
	watch_new_shared(watched, CLOCK_MONOTONIC, interval_ns, SCHEDULE, 0);
	must(asynctimer_start_after(watched->timer, delay_ns));
}

static struct shared *shared(void)
{
	return &reactor->shared[asynctimer__clock_index(CLOCK_MONOTONIC)];
}

#define assert_armed(first_ns, second_ns)                                                          \
	do {                                                                                       \
		ck_assert_uint_eq(shared()->pair.armed_ns[0], (first_ns));                         \
		ck_assert_uint_eq(shared()->pair.armed_ns[1], (second_ns));                        \
	} while (0)

/* Its time comes, epoll reports it, and what is due runs. */
static void fire(unsigned which)
{
	held_ns = shared()->pair.armed_ns[which];
	asynctimer__pair_event(shared(), which);
	must(asynctimer_reactor_dispatch(reactor, 0));
}

START_TEST(one_is_armed_for_the_first_and_when_it_has_fired_the_other_for_the_second)
{
	uint64_t now_ns = hold();

	start_after(&a, 10 * SECOND, SECOND);
	assert_armed(now_ns + SECOND, NEVER);
	start_after(&b, 10 * SECOND, 2 * SECOND);
	assert_armed(now_ns + SECOND, NEVER);
	fire(0);
	assert_armed(now_ns + 2 * SECOND, now_ns + 11 * SECOND);
	fire(0);
	assert_armed(now_ns + 12 * SECOND, now_ns + 11 * SECOND);
	fire(1);
	assert_armed(now_ns + 12 * SECOND, now_ns + 21 * SECOND);
	let_go();
}
END_TEST

START_TEST(the_other_stays_armed_for_what_comes_later_than_the_second)
{
	uint64_t now_ns = hold();

	start_after(&a, 10 * SECOND, SECOND);
	start_after(&b, SECOND, 2 * SECOND);
	fire(0);
	assert_armed(now_ns + 2 * SECOND, now_ns + 3 * SECOND);
	asynctimer_stop(b.timer);
	/* What is armed for nothing any more counts until it has fired. */
	fire(0);
	assert_armed(now_ns + 21 * SECOND, now_ns + 3 * SECOND);
	fire(1);
	assert_armed(now_ns + 21 * SECOND, now_ns + 11 * SECOND);
	b.restarted = true;
	must(asynctimer_start_after(b.timer, SECOND));
	assert_armed(now_ns + 4 * SECOND, now_ns + 11 * SECOND);
	fire(0);
	assert_armed(now_ns + 5 * SECOND, now_ns + 11 * SECOND);
	ck_assert_uint_eq(b.callbacks, 1);
	let_go();
}
END_TEST

/* With slack the end of a window comes second, too; nothing is armed ahead for that. */
START_TEST(of_several_slacks_the_second_is_armed_for_unless_a_window_ends_before)
{
	static const uint64_t window_ends_after_ns[] = { HOUR, 21 * SECOND, 21 * SECOND - 1 };

	for (unsigned i = 0; i < 3; i++) {
		uint64_t now_ns = hold();

		a = b = (struct watched){ .callbacks = 0 };
		start_after(&a, 10 * SECOND, SECOND);
		watch_new_shared(&b, CLOCK_MONOTONIC, HOUR, SCHEDULE, 1);
		must(asynctimer_start_after(b.timer, window_ends_after_ns[i] - 1));
		fire(0);
		assert_armed(now_ns + 11 * SECOND, i < 2 ? now_ns + 21 * SECOND : NEVER);
		let_go();
		must(asynctimer_reactor_free(reactor));
		must(asynctimer_reactor_new(&reactor));
	}
}
END_TEST

START_TEST(what_is_due_a_nanosecond_later_is_not_run_yet)
{
	uint64_t now_ns = hold();

	start_after(&a, 10 * SECOND, SECOND);
	start_after(&b, 10 * SECOND, SECOND + 1);
	fire(0);
	ck_assert_uint_eq(held_ns, now_ns + SECOND);
	ck_assert_uint_eq(a.callbacks, 1);
	ck_assert_uint_eq(b.callbacks, 0);
	held_ns++;
	asynctimer__pair_event(shared(), 0);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 1);
	ck_assert_uint_eq(b.callbacks, 1);
	let_go();
}
END_TEST

START_TEST(what_is_to_be_earlier_takes_the_one_whose_time_has_come)
{
	uint64_t now_ns = hold();

	start_after(&a, 10 * SECOND, SECOND);
	start_after(&b, 10 * SECOND, 500 * MS);
	assert_armed(now_ns + SECOND, now_ns + 500 * MS);
	held_ns = now_ns + 600 * MS;
	asynctimer_stop(b.timer);
	start_after(&c, 10 * SECOND, 100 * MS);
	assert_armed(now_ns + SECOND, now_ns + 700 * MS);
	let_go();
}
END_TEST

START_TEST(what_is_to_be_earlier_takes_the_later_one)
{
	uint64_t now_ns = hold();

	start_after(&a, 10 * SECOND, SECOND);
	start_after(&b, 10 * SECOND, 500 * MS);
	start_after(&c, 10 * SECOND, 100 * MS);
	assert_armed(now_ns + 100 * MS, now_ns + 500 * MS);
	let_go();
}
END_TEST

START_TEST(what_is_due_needs_no_telling_while_an_edge_is_coming)
{
	hold();
	start_after(&a, 10 * SECOND, SECOND);
	start_after(&b, 10 * SECOND, 500 * MS);
	for (unsigned which = 2; which-- > 0;) {
		held_ns = shared()->pair.armed_ns[which];
		ck_assert(!asynctimer__pair_arm(shared()));
		asynctimer__pair_event(shared(), which);
		ck_assert(asynctimer__pair_arm(shared()));
	}
	let_go();
}
END_TEST

START_TEST(what_a_start_outside_makes_due_is_told_at_once)
{
	hold();
	start_after(&a, 10 * SECOND, 0);
	ck_assert(reactor->woken);
	assert_armed(NEVER, NEVER);
	let_go();
}
END_TEST

START_TEST(with_spinning_it_is_armed_ahead_by_the_lead)
{
	uint64_t now_ns = hold();

	must(asynctimer_reactor_set_spin(reactor, MS));
	reactor->spin.estimate_ns = LEAD;
	start_after(&a, 10 * SECOND, SECOND);
	assert_armed(now_ns + SECOND - LEAD, NEVER);
	start_after(&b, 10 * SECOND, LEAD + FLOOR + 1);
	assert_armed(now_ns + SECOND - LEAD, now_ns + FLOOR + 1);
	/* So near it is not armed for: a thread need not wait. */
	must(asynctimer_restart_after(b.timer, LEAD + FLOOR));
	ck_assert(asynctimer__pair_arm(shared()));
	let_go();
}
END_TEST

START_TEST(a_thread_spins_no_longer_than_the_limit)
{
	uint64_t now_ns = hold();

	must(asynctimer_reactor_set_spin(reactor, LEAD));
	reactor->spin.estimate_ns = LEAD;
	start_after(&a, 10 * SECOND, LEAD + FLOOR);
	ck_assert(!asynctimer__pair_arm(shared()));
	assert_armed(now_ns + FLOOR, NEVER);
	let_go();
}
END_TEST

START_TEST(what_a_thread_spins_for_is_armed_for_a_little_later_on_its_clock_alone)
{
	struct shared *other = &reactor->shared[asynctimer__clock_index(CLOCK_BOOTTIME)];
	uint64_t now_ns = hold();

	must(asynctimer_reactor_set_spin(reactor, MS));
	reactor->spins_for = shared();
	reactor->spins_until_ns = now_ns + SECOND;
	start_after(&a, 10 * SECOND, SECOND);
	ck_assert(!asynctimer__pair_arm(shared()));
	assert_armed(now_ns + SECOND + FLOOR, NEVER);
	watch_new_shared(&b, CLOCK_BOOTTIME, 10 * SECOND, SCHEDULE, 0);
	must(asynctimer_start_after(b.timer, SECOND));
	ck_assert(!asynctimer__pair_arm(other));
	ck_assert_uint_eq(other->pair.armed_ns[0], now_ns + SECOND);
	/* What comes before it is not what it spins for. */
	start_after(&c, 10 * SECOND, SECOND - 1);
	ck_assert(!asynctimer__pair_arm(shared()));
	assert_armed(now_ns + SECOND + FLOOR, now_ns + SECOND - 1);
	reactor->spins_for = NULL;
	let_go();
}
END_TEST

START_TEST(with_spinning_and_nothing_due_ever_nothing_is_armed)
{
	hold();
	watch_new_shared(&a, CLOCK_MONOTONIC, SECOND, SCHEDULE, 0);
	must(asynctimer_reactor_set_spin(reactor, MS));
	ck_assert(!asynctimer__pair_arm(shared()));
	assert_armed(NEVER, NEVER);
	let_go();
}
END_TEST

START_TEST(either_can_be_early_until_it_has_fired_or_is_taken_back)
{
	uint64_t now_ns = hold(), late_ns;

	watch_new_shared(&a, CLOCK_MONOTONIC, 10 * SECOND, SCHEDULE, 0);
	asynctimer__pair_arm_early(shared());
	assert_armed(now_ns + FLOOR, NEVER);
	asynctimer__pair_arm_early(shared());
	assert_armed(now_ns + FLOOR, NEVER);
	ck_assert(asynctimer__pair_is_early(shared()));
	asynctimer__pair_event(shared(), 0);
	ck_assert(!asynctimer__pair_is_early(shared()));
	/* It was no wake-up that could be late. */
	ck_assert(!asynctimer__pair_was_late(shared(), &late_ns));
	must(asynctimer_start_after(a.timer, SECOND));
	assert_armed(now_ns + SECOND, now_ns + 11 * SECOND);
	asynctimer__pair_arm_early(shared());
	assert_armed(now_ns + SECOND, now_ns + FLOOR);
	ck_assert(asynctimer__pair_is_early(shared()));
	ck_assert(!asynctimer__pair_arm(shared()));
	assert_armed(now_ns + SECOND, now_ns + 11 * SECOND);
	ck_assert(!asynctimer__pair_is_early(shared()));
	let_go();
}
END_TEST

START_TEST(an_event_of_a_clock_that_was_set_back_brings_its_timers_back)
{
	struct shared *real = &reactor->shared[asynctimer__clock_index(CLOCK_REALTIME)];
	uint64_t now_ns = hold();

	watch_new_shared(&a, CLOCK_REALTIME, 10 * SECOND, SCHEDULE, 0);
	must(asynctimer_start_after(a.timer, SECOND));
	held_ns = real->pair.armed_ns[0];
	asynctimer__pair_event(real, 0);
	must(asynctimer_reactor_dispatch(reactor, 0));
	ck_assert_uint_eq(a.callbacks, 1);
	held_ns = now_ns - 100 * SECOND;
	asynctimer__pair_event(real, 0);
	ck_assert_uint_eq(asynctimer_next_due_ns(a.timer), now_ns + 11 * SECOND);
	was_set = true;
	asynctimer__pair_event(real, 0);
	ck_assert_uint_eq(asynctimer_next_due_ns(a.timer), now_ns - 99 * SECOND);
	let_go();
}
END_TEST

int main(void)
{
	return RUN_TESTS("pair",
			 one_is_armed_for_the_first_and_when_it_has_fired_the_other_for_the_second,
			 the_other_stays_armed_for_what_comes_later_than_the_second,
			 of_several_slacks_the_second_is_armed_for_unless_a_window_ends_before,
			 what_is_due_a_nanosecond_later_is_not_run_yet,
			 what_is_to_be_earlier_takes_the_one_whose_time_has_come,
			 what_is_to_be_earlier_takes_the_later_one,
			 what_is_due_needs_no_telling_while_an_edge_is_coming,
			 what_a_start_outside_makes_due_is_told_at_once,
			 with_spinning_it_is_armed_ahead_by_the_lead,
			 a_thread_spins_no_longer_than_the_limit,
			 what_a_thread_spins_for_is_armed_for_a_little_later_on_its_clock_alone,
			 with_spinning_and_nothing_due_ever_nothing_is_armed,
			 either_can_be_early_until_it_has_fired_or_is_taken_back,
			 an_event_of_a_clock_that_was_set_back_brings_its_timers_back);
}

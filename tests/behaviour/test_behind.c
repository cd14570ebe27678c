/* SPDX-License-Identifier: MIT */
/*
 * Lateness explained. behind_ns is the part of a tick's lateness that passed while
 * its thread ran other callbacks, and the same amount goes to the delayed_sum_ns of
 * one of their timers. Exact on the virtual clock; on a real one what holds there.
 */
#include <errno.h>
#include <string.h>

#include "util.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define ROOM 64

/* When the test began: the times below are from there. */
static uint64_t begin_ns;

static void begin(void)
{
	begin_ns = now_mono();
}

/* Moves the virtual clock to that time. The callbacks run. */
static int advance_to(uint64_t at_ns)
{
	return must(asynctimer_reactor_advance(reactor, begin_ns + at_ns - now_mono()));
}

/* A timer that is due once, at that time, and whose callback takes work_ns. */
static struct watched *due_at(struct watched *watched, uint64_t at_ns, uint64_t work_ns)
{
	*watched = (struct watched){ .work_ns = work_ns };
	watch_new(watched, CLOCK_MONOTONIC, 24 * HOUR, DELAY);
	must(asynctimer_start_at(watched->timer, begin_ns + at_ns));
	return watched;
}

static uint64_t lateness_of(const struct watched *watched)
{
	return watched->last.now_ns - watched->last.due_ns;
}

static struct asynctimer_stats stats_of(const struct watched *watched)
{
	struct asynctimer_stats stats;

	must(asynctimer_get_stats(watched->timer, &stats));
	return stats;
}

/* Of its one tick. */
static void expect_behind(const struct watched *watched, uint64_t behind_ns)
{
	ck_assert_uint_eq(watched->callbacks, 1);
	ck_assert_uint_eq(watched->last.behind_ns, behind_ns);
	ck_assert_uint_eq(stats_of(watched).behind_sum_ns, behind_ns);
}

static void expect_delayed(const struct watched *watched, uint64_t delayed_ns)
{
	ck_assert_uint_eq(stats_of(watched).delayed_sum_ns, delayed_ns);
}

static void free_all(struct watched *watched, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		asynctimer_free(watched[i].timer);
}

/*
 * Who delayed whom.
 */

START_TEST(a_callback_of_30_ms_among_ten_timers_of_100_ms_is_charged_with_what_it_caused)
{
	enum { ROUNDS = 7 };
	struct watched watched[10] = { { .work_ns = 30 * MS } };
	uint64_t delayed_ns = 0;

	begin();
	for (unsigned i = 0; i < 10; i++) {
		watch_new(&watched[i], CLOCK_MONOTONIC, 100 * MS, SCHEDULE);
		must(asynctimer_start_at(watched[i].timer, begin_ns + 100 * MS + i * (4 * MS + 1)));
	}
	for (unsigned round = 1; round <= ROUNDS; round++) {
		ck_assert_int_eq(advance_to(round * 100 * MS + 50 * MS), 10);
		for (unsigned i = 0; i < 10; i++) {
			/* 4 ms and 1 ns after the first, 8 and 2: seven of them until it ended. */
			uint64_t after_ns = i * (4 * MS + 1);
			uint64_t behind_ns = i && after_ns < 30 * MS ? 30 * MS - after_ns : 0;

			ck_assert_uint_eq(lateness_of(&watched[i]), behind_ns);
			ck_assert_uint_eq(watched[i].last.behind_ns, behind_ns);
			ck_assert_uint_eq(stats_of(&watched[i]).behind_sum_ns, round * behind_ns);
			delayed_ns += behind_ns;
		}
		expect_delayed(&watched[0], delayed_ns);
	}
	ck_assert_uint_eq(delayed_ns, ROUNDS * (7 * 30 * MS - 28 * (4 * MS + 1)));
	for (unsigned i = 1; i < 10; i++)
		expect_delayed(&watched[i], 0);
}
END_TEST

START_TEST(due_together_each_is_behind_all_that_ran_before_it)
{
	struct watched watched[6];
	uint64_t behind_ns = 0;

	begin();
	/* Each takes longer than the one before, so it delays the next one most. */
	for (unsigned i = 0; i < 6; i++)
		due_at(&watched[i], MS, (1 + i) * MS + i);
	advance_to(MS);
	for (unsigned i = 0; i < 6; i++) {
		expect_behind(&watched[i], behind_ns);
		ck_assert_uint_eq(lateness_of(&watched[i]), behind_ns);
		if (i)
			expect_delayed(&watched[i - 1], behind_ns);
		behind_ns += (1 + i) * MS + i;
	}
	expect_delayed(&watched[5], 0);
}
END_TEST

START_TEST(the_longest_that_ended_after_the_due_time_is_charged)
{
	struct watched before, long_one, after, late[3];

	begin();
	due_at(&before, 100 * MS, 4 * MS);
	due_at(&long_one, 100 * MS, 20 * MS);
	due_at(&after, 100 * MS, 10 * MS);
	due_at(&late[0], 101 * MS, 0);
	due_at(&late[1], 110 * MS, 0);
	due_at(&late[2], 124 * MS - 1, 0);
	advance_to(200 * MS);
	expect_behind(&late[0], 33 * MS);
	expect_behind(&late[1], 24 * MS);
	expect_behind(&late[2], 10 * MS + 1);
	/* The one after it waited for two, of which the longer one is this, too. */
	expect_behind(&after, 24 * MS);
	expect_delayed(&long_one, (33 + 24 + 10 + 24) * MS + 1);
	expect_delayed(&before, 4 * MS);
	expect_delayed(&after, 0);
}
END_TEST

START_TEST(the_last_one_is_charged_where_the_longest_ended_before_the_due_time)
{
	static const uint64_t due_ns[] = { 120 * MS, 121 * MS, 134 * MS };

	for (unsigned i = 0; i < COUNT(due_ns); i++) {
		struct watched watched[4];

		begin();
		due_at(&watched[0], 100 * MS, 20 * MS);
		due_at(&watched[1], 100 * MS, 10 * MS);
		due_at(&watched[2], 100 * MS, 5 * MS);
		due_at(&watched[3], due_ns[i], 0);
		advance_to(200 * MS);
		expect_behind(&watched[3], 135 * MS - due_ns[i]);
		expect_delayed(&watched[2], 135 * MS - due_ns[i]);
		expect_delayed(&watched[1], 0);
		expect_delayed(&watched[0], (20 + 30) * MS);
		free_all(watched, 4);
	}
}
END_TEST

START_TEST(what_came_due_when_the_other_had_ended_is_not_behind)
{
	struct watched culprit, late[3];

	begin();
	due_at(&culprit, 100 * MS, 30 * MS);
	due_at(&late[0], 130 * MS - 1, 0);
	due_at(&late[1], 130 * MS, 0);
	due_at(&late[2], 130 * MS + 1, 0);
	advance_to(200 * MS);
	expect_behind(&late[0], 1);
	expect_behind(&late[1], 0);
	expect_behind(&late[2], 0);
	expect_delayed(&culprit, 1);
}
END_TEST

static int start_again_and_work(struct watched *watched, const struct asynctimer_tick *tick)
{
	if (watched->callbacks == 1)
		ck_assert_int_eq(asynctimer_start_at(watched->timer, tick->due_ns), 1);
	must(asynctimer_reactor_advance(reactor, 30 * MS));
	return ASYNCTIMER_DONE;
}

START_TEST(the_own_callback_is_not_another)
{
	struct watched alone = { .then = start_again_and_work };

	begin();
	watch_new(&alone, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_ONCE);
	must(asynctimer_start_at(alone.timer, begin_ns + 100 * MS));
	ck_assert_int_eq(advance_to(200 * MS), 2);
	ck_assert_uint_eq(lateness_of(&alone), 30 * MS);
	ck_assert_uint_eq(alone.last.behind_ns, 0);
	ck_assert_uint_eq(stats_of(&alone).behind_sum_ns, 0);
	expect_delayed(&alone, 0);
}
END_TEST

START_TEST(with_the_own_callback_between_the_other_is_charged)
{
	struct watched other, again = { .then = start_again_and_work };

	begin();
	due_at(&other, 100 * MS, 5 * MS);
	watch_new(&again, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_ONCE);
	must(asynctimer_start_at(again.timer, begin_ns + 100 * MS));
	ck_assert_int_eq(advance_to(200 * MS), 3);
	/* Twice behind the same 5 ms; the 30 ms of its own are nobody's. */
	ck_assert_uint_eq(lateness_of(&again), 35 * MS);
	ck_assert_uint_eq(again.last.behind_ns, 5 * MS);
	ck_assert_uint_eq(stats_of(&again).behind_sum_ns, 10 * MS);
	expect_delayed(&other, 10 * MS);
	expect_delayed(&again, 0);
}
END_TEST

/*
 * What is part of a callback, and what is not.
 */

static void take_20_ms(struct asynctimer *timer, int error, void *data)
{
	(void)timer;
	(void)error;
	(void)data;
	must(asynctimer_reactor_advance(reactor, 20 * MS));
}

START_TEST(the_handler_is_part_of_the_callback)
{
	struct watched culprit, late;

	begin();
	due_at(&culprit, 100 * MS, 10 * MS)->result = -EIO;
	must(asynctimer_set_error_handler(culprit.timer, take_20_ms));
	due_at(&late, 105 * MS, 0);
	advance_to(200 * MS);
	expect_behind(&late, 25 * MS);
	expect_delayed(&culprit, 25 * MS);
}
END_TEST

START_TEST(of_a_deferred_tick_the_callback_counts)
{
	struct watched culprit, late[2];

	begin();
	due_at(&culprit, 100 * MS, 30 * MS)->result = ASYNCTIMER_PENDING;
	due_at(&late[0], 110 * MS, 0);
	due_at(&late[1], 140 * MS, 0);
	advance_to(200 * MS);
	expect_behind(&late[0], 20 * MS);
	expect_behind(&late[1], 0);
	expect_delayed(&culprit, 20 * MS);
	must(asynctimer_complete(culprit.timer, 1, 0));
	expect_delayed(&culprit, 20 * MS);
}
END_TEST

static void release_takes_7_ms(void *data)
{
	(void)data;
	must(asynctimer_reactor_advance(reactor, 7 * MS));
}

static int free_itself(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	asynctimer_free(watched->timer);
	return ASYNCTIMER_DONE;
}

START_TEST(a_release_is_not_part_of_the_callback)
{
	struct watched culprit, late;

	begin();
	due_at(&culprit, 100 * MS, 30 * MS)->then = free_itself;
	asynctimer_set_release(culprit.timer, release_takes_7_ms);
	due_at(&late, 110 * MS, 0);
	advance_to(200 * MS);
	ck_assert_uint_eq(lateness_of(&late), 27 * MS);
	expect_behind(&late, 20 * MS);
	expect_delayed(&late, 0);
}
END_TEST

/* Due at 110 ms, where another callback runs from 105 ms until it has taken work_ns. */
static void late_by_slack(uint64_t slack_ns, uint64_t work_ns, uint64_t behind_ns)
{
	struct watched culprit, late = { .result = 0 };

	begin();
	due_at(&culprit, 105 * MS, work_ns);
	watch_new_shared(&late, CLOCK_MONOTONIC, HOUR, DELAY, slack_ns);
	must(asynctimer_start_at(late.timer, begin_ns + 110 * MS));
	advance_to(500 * MS);
	ck_assert_uint_gt(lateness_of(&late), 0);
	expect_behind(&late, behind_ns);
	expect_delayed(&culprit, behind_ns);
	asynctimer_free(culprit.timer);
	asynctimer_free(late.timer);
}

START_TEST(slack_is_not_behind)
{
	/* Nobody is in its way; then what is has ended when it wakes up; then it has not. */
	late_by_slack(20 * MS, 0, 0);
	late_by_slack(100 * MS, 30 * MS, 0);
	late_by_slack(10 * MS, 30 * MS, 25 * MS);
}
END_TEST

/*
 * Timers that are gone.
 */

START_TEST(a_timer_that_freed_itself_is_charged_with_nothing_and_nobody_else_is)
{
	struct watched before, culprit, after, late;

	begin();
	due_at(&before, 100 * MS, MS);
	due_at(&culprit, 100 * MS, 30 * MS)->then = free_itself;
	due_at(&after, 100 * MS, 2 * MS);
	due_at(&late, 110 * MS, 0);
	advance_to(200 * MS);
	/* What it delayed is behind all the same. */
	expect_behind(&after, 31 * MS);
	expect_behind(&late, 23 * MS);
	expect_delayed(&before, MS);
	expect_delayed(&after, 0);
	expect_delayed(&late, 0);
}
END_TEST

static int free_the_other_and_make_one(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct watched *other = watched->data;

	(void)tick;
	asynctimer_free(other->timer);
	/* Where it lay, if the library uses its memory anew. */
	*other = (struct watched){ .result = 0 };
	watch_new(other, CLOCK_MONOTONIC, HOUR, DELAY);
	return ASYNCTIMER_DONE;
}

START_TEST(a_timer_made_in_the_place_of_a_freed_one_is_not_charged)
{
	struct watched culprit, freer, late;

	begin();
	due_at(&culprit, 100 * MS, 30 * MS);
	due_at(&freer, 101 * MS, 0)->then = free_the_other_and_make_one;
	freer.data = &culprit;
	due_at(&late, 110 * MS, 0);
	advance_to(200 * MS);
	expect_behind(&freer, 29 * MS);
	expect_behind(&late, 20 * MS);
	expect_delayed(&culprit, 0);
	expect_delayed(&freer, 0);
}
END_TEST

static void release_makes_one(void *data)
{
	struct watched *watched = data;

	*watched = (struct watched){ .result = 0 };
	watch_new(watched, CLOCK_MONOTONIC, HOUR, DELAY);
}

START_TEST(nor_is_one_that_the_release_made)
{
	struct watched culprit, late;

	begin();
	due_at(&culprit, 100 * MS, 30 * MS)->then = free_itself;
	asynctimer_set_release(culprit.timer, release_makes_one);
	due_at(&late, 110 * MS, 0);
	advance_to(200 * MS);
	expect_behind(&late, 20 * MS);
	expect_delayed(&culprit, 0);
	expect_delayed(&late, 0);
}
END_TEST

START_TEST(a_timer_freed_while_deferred_is_not_charged)
{
	struct watched culprit, late[2];
	struct asynctimer_info infos[4];

	begin();
	due_at(&culprit, 100 * MS, 30 * MS)->result = ASYNCTIMER_PENDING;
	due_at(&late[0], 110 * MS, 0);
	due_at(&late[1], 120 * MS, 0);
	ck_assert_int_eq(advance_to(100 * MS), 1);
	asynctimer_free(culprit.timer);
	advance_to(200 * MS);
	expect_behind(&late[0], 20 * MS);
	expect_behind(&late[1], 10 * MS);
	ck_assert_int_eq(asynctimer_reactor_list(reactor, 4, sizeof(*infos), infos), 3);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(infos[i].stats.delayed_sum_ns, 0);
	must(asynctimer_complete(culprit.timer, 1, 0));
}
END_TEST

/*
 * From one call to the next.
 */

START_TEST(what_is_left_to_the_next_call_is_behind_just_so)
{
	struct watched culprit, late[2];

	begin();
	due_at(&culprit, 100 * MS, 30 * MS);
	due_at(&late[0], 110 * MS, 3 * MS);
	due_at(&late[1], 120 * MS, 0);
	ck_assert_int_eq(advance_to(100 * MS), 1);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 0), 2);
	expect_behind(&late[0], 20 * MS);
	expect_behind(&late[1], 13 * MS);
	expect_delayed(&culprit, 33 * MS);
	expect_delayed(&late[0], 0);
}
END_TEST

START_TEST(after_a_call_that_found_nothing_due_nothing_is_behind_what_was_before)
{
	struct watched culprit, late = { .result = 0 };

	begin();
	due_at(&culprit, 100 * MS, 30 * MS);
	ck_assert_int_eq(advance_to(100 * MS), 1);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 0), 0);
	/* Its due time is past already. */
	watch_new(&late, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_ONCE);
	must(asynctimer_start_at(late.timer, begin_ns + 110 * MS));
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 0), 1);
	ck_assert_uint_eq(lateness_of(&late), 20 * MS);
	expect_behind(&late, 0);
	expect_delayed(&culprit, 0);
}
END_TEST

static int start_again_and_defer(struct watched *watched, const struct asynctimer_tick *tick)
{
	must(asynctimer_start_at(watched->timer, tick->due_ns));
	must(asynctimer_reactor_advance(reactor, 30 * MS));
	return ASYNCTIMER_PENDING;
}

START_TEST(what_ran_two_calls_ago_is_forgotten)
{
	struct watched other, again = { .then = start_again_and_defer };
	const uint64_t behind_ns[] = { 0, 35 * MS, 0, 0 };

	begin();
	watch_new(&again, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_ONCE);
	must(asynctimer_start_at(again.timer, begin_ns + 100 * MS));
	due_at(&other, 100 * MS, 5 * MS);
	ck_assert_int_eq(advance_to(100 * MS), 2);
	for (unsigned i = 0; i < COUNT(behind_ns); i++) {
		ck_assert_uint_eq(again.callbacks, 1 + i);
		ck_assert_uint_eq(again.last.behind_ns, behind_ns[i]);
		must(asynctimer_complete(again.timer, again.last.number, 0));
		ck_assert_int_eq(asynctimer_reactor_advance(reactor, 0), 1);
	}
	must(asynctimer_complete(again.timer, again.last.number, 0));
	expect_delayed(&other, 35 * MS);
}
END_TEST

/*
 * Clocks.
 */

static const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };

/* The others are hours away from CLOCK_MONOTONIC. */
static struct watched *once_due_in(struct watched *watched, int clock, uint64_t in_ns, uint64_t work_ns)
{
	*watched = (struct watched){ .work_ns = work_ns };
	watch_new(watched, clock, HOUR, ASYNCTIMER_ONCE);
	must(asynctimer_start_after(watched->timer, in_ns));
	return watched;
}

START_TEST(timers_on_all_clocks_are_behind_each_other)
{
	must(asynctimer_reactor_set_clock(reactor, CLOCK_BOOTTIME, 7 * HOUR));
	must(asynctimer_reactor_set_clock(reactor, CLOCK_REALTIME, 500 * HOUR));
	for (unsigned i = 0; i < 3; i++) {
		struct watched watched[4];

		once_due_in(&watched[0], clocks[i], 100 * MS, 30 * MS);
		for (unsigned k = 0; k < 3; k++)
			once_due_in(&watched[1 + k], clocks[k], (105 + 10 * k) * MS + k, 0);
		ck_assert_int_eq(asynctimer_reactor_advance(reactor, 200 * MS), 4);
		expect_behind(&watched[0], 0);
		expect_behind(&watched[1], 25 * MS);
		expect_behind(&watched[2], 15 * MS - 1);
		expect_behind(&watched[3], 5 * MS - 2);
		expect_delayed(&watched[0], 45 * MS - 3);
		for (unsigned k = 1; k < 4; k++)
			expect_delayed(&watched[k], 0);
		free_all(watched, 4);
	}
}
END_TEST

static int set_the_clock(struct watched *watched, const struct asynctimer_tick *tick)
{
	const uint64_t *to_ns = watched->data;

	(void)tick;
	must(asynctimer_reactor_set_clock(reactor, CLOCK_REALTIME, *to_ns));
	return ASYNCTIMER_DONE;
}

START_TEST(whatever_the_clock_is_set_to_meanwhile_it_is_at_most_the_lateness)
{
	uint64_t to_ns[] = { 0, 499 * HOUR, 500 * HOUR + 110 * MS, 501 * HOUR };

	for (unsigned i = 0; i < COUNT(to_ns); i++) {
		struct watched culprit, late[2];

		must(asynctimer_reactor_set_clock(reactor, CLOCK_REALTIME, 500 * HOUR));
		once_due_in(&culprit, CLOCK_MONOTONIC, 100 * MS, 30 * MS)->then = set_the_clock;
		culprit.data = &to_ns[i];
		once_due_in(&late[0], CLOCK_REALTIME, 105 * MS, 0);
		once_due_in(&late[1], CLOCK_MONOTONIC, 110 * MS, 0);
		must(asynctimer_reactor_advance(reactor, 200 * MS));
		must(asynctimer_reactor_set_clock(reactor, CLOCK_REALTIME, 502 * HOUR));
		must(asynctimer_reactor_advance(reactor, 0));
		ck_assert_uint_eq(late[0].callbacks, 1);
		ck_assert_uint_le(late[0].last.behind_ns, lateness_of(&late[0]));
		expect_behind(&late[1], 20 * MS);
		ck_assert_uint_eq(stats_of(&culprit).delayed_sum_ns + stats_of(&late[0]).delayed_sum_ns +
				  stats_of(&late[1]).delayed_sum_ns,
				  20 * MS + late[0].last.behind_ns);
		asynctimer_free(culprit.timer);
		free_all(late, 2);
	}
}
END_TEST

/*
 * Threads.
 */

static void *advance_0(void *data)
{
	must(asynctimer_reactor_advance(data, 0));
	return NULL;
}

START_TEST(what_another_thread_ran_nothing_is_behind)
{
	struct watched culprit, late;

	begin();
	due_at(&culprit, 0, 30 * MS);
	due_at(&late, 10 * MS, 0);
	thread_join(thread_new(advance_0, reactor));
	ck_assert_uint_eq(culprit.callbacks, 1);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 0), 1);
	ck_assert_uint_eq(lateness_of(&late), 20 * MS);
	expect_behind(&late, 0);
	expect_delayed(&culprit, 0);
}
END_TEST

struct held {
	struct watched watched;
	int begun, go;
};

static int hold(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct held *held = watched->data;

	(void)tick;
	flag_set(&held->begun);
	await(flag_get(&held->go));
	return ASYNCTIMER_DONE;
}

static int let_go(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct held *held = watched->data;

	(void)tick;
	flag_set(&held->go);
	asynctimer_reactor_stop(reactor);
	return ASYNCTIMER_DONE;
}

START_TEST(beside_a_slow_callback_in_another_thread_nothing_is_behind)
{
	struct held held = { .watched = { .then = hold, .data = &held } };
	struct watched beside = { .then = let_go, .data = &held };
	pthread_t runner[2];

	watch_new(&held.watched, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	watch_new(&beside, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(asynctimer_start_after(held.watched.timer, 0));
	runner[0] = thread_new(run_reactor, reactor);
	await(flag_get(&held.begun));
	must(asynctimer_start_after(beside.timer, 0));
	runner[1] = thread_new(run_reactor, reactor);
	for (unsigned i = 0; i < 2; i++)
		thread_join(runner[i]);
	expect_behind(&beside, 0);
	expect_behind(&held.watched, 0);
	expect_delayed(&beside, 0);
	expect_delayed(&held.watched, 0);
}
END_TEST

/*
 * Callbacks at random, against the contract word by word.
 */

#define PARTIES 6

struct party {
	struct asynctimer *timer;
	uint64_t deferred;	/* the number of its open tick, or 0 */
	uint64_t behind_ns, delayed_ns;
};

static struct party parties[PARTIES];

/* The callbacks since the thread last waited or found nothing due, and its first reading after that. */
static struct {
	struct ran {
		struct party *party;	/* NULL: freed */
		uint64_t end_ns, duration_ns;
		unsigned call;
	} ran[1000];
	unsigned count;
	bool begun;
	uint64_t base_ns;
	uint64_t end_ns;	/* what the clock showed when the last one ended */
	unsigned call;		/* of advance: how many there were */
	uint64_t random;
} model;

static uint64_t any(uint64_t bound)
{
	model.random = model.random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (model.random >> 33) % bound;
}

static const struct ran *last_other(const struct party *party)
{
	for (unsigned i = model.count; i; i--)
		if (model.ran[i - 1].party != party)
			return model.ran[i - 1].call + 1 >= model.call ? &model.ran[i - 1] : NULL;
	return NULL;
}

static const struct ran *longest_other(const struct party *party)
{
	const struct ran *longest = NULL;

	for (unsigned i = 0; i < model.count; i++)
		if (model.ran[i].party != party &&
		    (!longest || model.ran[i].duration_ns > longest->duration_ns))
			longest = &model.ran[i];
	return longest;
}

static void expect_contract(struct party *party, const struct asynctimer_tick *tick)
{
	const struct ran *last, *longest;
	uint64_t from_ns, behind_ns = 0;

	if (!model.begun || tick->now_ns > model.end_ns) {
		model.begun = true;
		model.base_ns = tick->now_ns;
		model.count = 0;
	}
	last = last_other(party);
	longest = longest_other(party);
	from_ns = tick->due_ns > model.base_ns ? tick->due_ns : model.base_ns;
	if (last && last->end_ns > from_ns)
		behind_ns = last->end_ns - from_ns;
	ck_assert_uint_eq(tick->behind_ns, behind_ns);
	party->behind_ns += behind_ns;
	if (behind_ns && longest && longest->end_ns > tick->due_ns)
		last = longest;
	if (behind_ns && last->party)
		last->party->delayed_ns += behind_ns;
}

static void forget(const struct party *party)
{
	for (unsigned i = 0; i < model.count; i++)
		if (model.ran[i].party == party)
			model.ran[i].party = NULL;
}

static void party_free(struct party *party)
{
	asynctimer_free(party->timer);
	if (party->deferred)
		must(asynctimer_complete(party->timer, party->deferred, 0));
	party->timer = NULL;
	party->deferred = 0;
	forget(party);
}

static int run_party(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct party *party = data;
	bool defers = any(6) == 0, frees = any(20) == 0;

	expect_contract(party, tick);
	/* Of once, it is due again at a time that is past; others are started. */
	if (any(4) == 0)
		must(asynctimer_start_at(timer, tick->due_ns - any(2 * MS)));
	must(asynctimer_reactor_advance(reactor, 1 + any(6 * MS)));
	model.end_ns = asynctimer_now_ns(timer);
	if (frees) {
		asynctimer_free(timer);
		party->timer = NULL;
		forget(party);
	}
	ck_assert_uint_lt(model.count, COUNT(model.ran));
	model.ran[model.count++] = (struct ran){ frees ? NULL : party, model.end_ns,
						 model.end_ns - tick->now_ns, model.call };
	if (frees || !defers)
		return any(5) ? ASYNCTIMER_DONE : -EIO;
	party->deferred = tick->number;
	return ASYNCTIMER_PENDING;
}

static void party_new(struct party *party)
{
	*party = (struct party){ .timer = NULL };
	must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, 5 * MS + any(20 * MS),
				   (int)any(ASYNCTIMER_ONCE + 1), any(3) ? 0 : any(5 * MS), run_party,
				   party, &party->timer));
}

static void party_acts(struct party *party)
{
	struct asynctimer_stats stats;

	if (!party->timer) {
		party_new(party);
	} else if (any(10) == 0) {
		party_free(party);
		return;
	} else if (party->deferred && any(2)) {
		must(asynctimer_complete(party->timer, party->deferred, 0));
		party->deferred = 0;
	}
	must(asynctimer_start_after(party->timer, any(4 * MS)));
	must(asynctimer_get_stats(party->timer, &stats));
	ck_assert_uint_eq(stats.behind_sum_ns, party->behind_ns);
	ck_assert_uint_eq(stats.delayed_sum_ns, party->delayed_ns);
}

START_TEST(random_callbacks_are_charged_as_the_contract_says)
{
	uint64_t behind_ns = 0;

	for (unsigned seed = 1; seed <= 50; seed++) {
		memset(&model, 0, sizeof(model));
		model.random = seed;
		for (unsigned i = 0; i < 500; i++) {
			party_acts(&parties[any(PARTIES)]);
			model.call++;
			/* Often less than the callbacks took: then the next call finds more that is due. */
			if (must(asynctimer_reactor_advance(reactor, any(3) ? any(MS) : any(20 * MS))) == 0)
				model.begun = false;
		}
		for (unsigned i = 0; i < PARTIES; i++) {
			behind_ns += parties[i].behind_ns;
			if (parties[i].timer)
				party_free(&parties[i]);
		}
	}
	ck_assert_uint_gt(behind_ns, 0);
}
END_TEST

/*
 * On a real clock.
 */

#define WORK (5 * MS)

/* Due at once, and in the order of these calls: with this one so many are. */
static void due_now(struct watched *watched, uint64_t work_ns, int due)
{
	*watched = (struct watched){ .work_ns = work_ns };
	watch_new(watched, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(asynctimer_start_after(watched->timer, 0));
	if (backing == BACKING_OWN)
		await(expired() == due);
}

START_TEST(what_runs_after_a_slow_callback_is_behind_it)
{
	struct watched slow, late[4];
	uint64_t behind_ns = 0, delayed_ns;

	due_now(&slow, WORK, 1);
	for (int i = 0; i < 4; i++)
		due_now(&late[i], 0, 2 + i);
	ck_assert_int_eq(dispatch(0), 5);
	/* However late it is itself. */
	expect_behind(&slow, 0);
	delayed_ns = stats_of(&slow).delayed_sum_ns;
	ck_assert_uint_ge(delayed_ns, late[0].last.behind_ns);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_ge(late[i].last.behind_ns, WORK);
		ck_assert_uint_le(late[i].last.behind_ns, lateness_of(&late[i]));
		behind_ns += late[i].last.behind_ns;
		delayed_ns += stats_of(&late[i]).delayed_sum_ns;
	}
	ck_assert_uint_eq(behind_ns, delayed_ns);
}
END_TEST

static int start_another_and_work(struct watched *watched, const struct asynctimer_tick *tick)
{
	const struct watched *other = watched->data;

	(void)tick;
	must(asynctimer_start_after(other->timer, 0));
	spin_until(CLOCK_MONOTONIC, now_mono() + WORK);
	return ASYNCTIMER_DONE;
}

START_TEST(after_a_turn_that_ran_nothing_nothing_is_behind_what_was_before)
{
	struct watched slow, exact, late = { .result = 0 };

	/* With so much slack that it runs with another only. */
	watch_new_shared(&late, CLOCK_MONOTONIC, 2 * HOUR, SCHEDULE, HOUR);
	due_now(&slow, 0, 1);
	slow.then = start_another_and_work;
	slow.data = &late;
	ck_assert_int_eq(dispatch(0), 1);
	ck_assert_int_eq(dispatch(0), 0);
	due_now(&exact, 0, 1);
	ck_assert_int_eq(dispatch(0), 2);
	ck_assert_uint_ge(lateness_of(&late), WORK);
	expect_behind(&late, 0);
	expect_delayed(&slow, 0);
}
END_TEST

static struct asynctimer_reactor *inner;

static int dispatch_inner(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	ck_assert_int_eq(asynctimer_reactor_dispatch(inner, 0), 1);
	return ASYNCTIMER_DONE;
}

START_TEST(another_reactors_callbacks_are_not_what_a_tick_is_behind)
{
	struct asynctimer_reactor *outer = reactor;
	struct watched in, out[2];

	must(new_reactor(&inner));
	reactor = inner;
	due_now(&in, 0, 1);
	reactor = outer;
	due_now(&out[0], WORK, 2);
	due_now(&out[1], 0, 3);
	out[1].then = dispatch_inner;
	ck_assert_int_eq(dispatch(0), 2);
	ck_assert_uint_ge(lateness_of(&in), WORK);
	expect_behind(&in, 0);
	ck_assert_uint_ge(out[1].last.behind_ns, WORK);
	ck_assert_int_eq(asynctimer_reactor_free(inner), 0);
}
END_TEST

/*
 * One slow timer among many: half of the time it runs. On a busy machine another
 * may be made to wait in its callback, for longer: but not for ever.
 */
#define FLEET 30
#define SLOW_CALLBACKS 10
#define SLOW_WORK (20 * MS)

static struct watched fleet[FLEET + 1];
#define slow_one fleet[FLEET]

static int is_at_most_late(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	if (tick->behind_ns > tick->now_ns - tick->due_ns)
		ck_abort_msg("behind by more than it is late");
	return ASYNCTIMER_DONE;
}

static void fleet_start(void)
{
	for (unsigned i = 0; i <= FLEET; i++) {
		fleet[i] = (struct watched){ .then = is_at_most_late };
		watch_new(&fleet[i], clocks[i % 3],
			  i == FLEET ? 2 * SLOW_WORK : 25 * MS + i * 100 * US, SCHEDULE);
		must(asynctimer_start_after(fleet[i].timer, i * MS));
	}
	slow_one.work_ns = SLOW_WORK;
	slow_one.stop_after = SLOW_CALLBACKS;
}

static const struct watched *worst_listed(void)
{
	static struct asynctimer_info infos[ROOM];
	int count = must(asynctimer_reactor_list(reactor, ROOM, sizeof(*infos), infos));
	int worst = 0;

	for (int i = 0; i < count; i++)
		if (infos[worst].stats.delayed_sum_ns < infos[i].stats.delayed_sum_ns)
			worst = i;
	return infos[worst].data;
}

/* Every delay that somebody had is somebody's. */
static void expect_balance(void)
{
	uint64_t behind_ns = 0, delayed_ns = 0;

	for (unsigned i = 0; i <= FLEET; i++) {
		struct asynctimer_stats stats = stats_of(&fleet[i]);

		ck_assert_uint_le(stats.behind_sum_ns, stats.lateness_sum_ns);
		behind_ns += stats.behind_sum_ns;
		delayed_ns += stats.delayed_sum_ns;
	}
	ck_assert_uint_gt(behind_ns, 0);
	ck_assert_uint_eq(behind_ns, delayed_ns);
}

START_TEST(the_list_names_the_slow_one_in_run)
{
	fleet_start();
	do {
		must(asynctimer_reactor_restart(reactor));
		run_reactor(reactor);
		slow_one.stop_after += SLOW_CALLBACKS;
	} while (worst_listed() != &slow_one);
	expect_balance();
}
END_TEST

START_TEST(the_list_names_the_slow_one_in_a_host_loop)
{
	fleet_start();
	while (slow_one.callbacks < SLOW_CALLBACKS || worst_listed() != &slow_one) {
		must(asynctimer_reactor_restart(reactor));
		must(asynctimer_reactor_dispatch(reactor, 0));
	}
	expect_balance();
}
END_TEST

START_TEST(several_threads_are_behind_what_each_of_them_ran)
{
	pthread_t runner[2];

	fleet_start();
	for (unsigned i = 0; i < 2; i++)
		runner[i] = thread_new(run_reactor, reactor);
	for (unsigned i = 0; i < 2; i++)
		thread_join(runner[i]);
	expect_balance();
}
END_TEST

int main(void)
{
	return RUN_WITH_BACKINGS("behind",
		VIRTUAL(a_callback_of_30_ms_among_ten_timers_of_100_ms_is_charged_with_what_it_caused),
		VIRTUAL(due_together_each_is_behind_all_that_ran_before_it),
		VIRTUAL(the_longest_that_ended_after_the_due_time_is_charged),
		VIRTUAL(the_last_one_is_charged_where_the_longest_ended_before_the_due_time),
		VIRTUAL(what_came_due_when_the_other_had_ended_is_not_behind),
		VIRTUAL(the_own_callback_is_not_another),
		VIRTUAL(with_the_own_callback_between_the_other_is_charged),
		VIRTUAL(the_handler_is_part_of_the_callback),
		VIRTUAL(of_a_deferred_tick_the_callback_counts),
		VIRTUAL(a_release_is_not_part_of_the_callback),
		VIRTUAL(slack_is_not_behind),
		VIRTUAL(a_timer_that_freed_itself_is_charged_with_nothing_and_nobody_else_is),
		VIRTUAL(a_timer_made_in_the_place_of_a_freed_one_is_not_charged),
		VIRTUAL(nor_is_one_that_the_release_made),
		VIRTUAL(a_timer_freed_while_deferred_is_not_charged),
		VIRTUAL(what_is_left_to_the_next_call_is_behind_just_so),
		VIRTUAL(after_a_call_that_found_nothing_due_nothing_is_behind_what_was_before),
		VIRTUAL(what_ran_two_calls_ago_is_forgotten),
		VIRTUAL(timers_on_all_clocks_are_behind_each_other),
		VIRTUAL(whatever_the_clock_is_set_to_meanwhile_it_is_at_most_the_lateness),
		VIRTUAL(what_another_thread_ran_nothing_is_behind),
		VIRTUAL(random_callbacks_are_charged_as_the_contract_says),
		REAL(beside_a_slow_callback_in_another_thread_nothing_is_behind),
		REAL(what_runs_after_a_slow_callback_is_behind_it),
		SHARED(after_a_turn_that_ran_nothing_nothing_is_behind_what_was_before),
		REAL(another_reactors_callbacks_are_not_what_a_tick_is_behind),
		REAL(the_list_names_the_slow_one_in_run),
		REAL(the_list_names_the_slow_one_in_a_host_loop),
		REAL(several_threads_are_behind_what_each_of_them_ran));
}

/* SPDX-License-Identifier: MIT */
/*
 * What a callback does to timers that are due in the same batch, of epoll or of
 * the queue: every subset of three timers, from each place in the batch, for
 * each policy.
 */
#include <errno.h>

#include "util.h"

#define COUNT 3

typedef void (*action)(struct watched *target);

struct round {
	action act;
	unsigned actor;		/* the place in the batch of the one that acts */
	unsigned targets;	/* whom it acts on, a set of places */
	struct watched members[COUNT];
	uint64_t due_ns[COUNT];
	bool late[COUNT];	/* when the actor acted: the batch had not reached it yet */
	unsigned released;
	uint64_t before_ns, after_ns; /* around the action */
};

static struct round *current;

static bool is_target(unsigned place)
{
	return current->targets >> place & 1;
}

static void on_release(void *data)
{
	struct watched *watched = data;

	ck_assert_ptr_nonnull(watched->timer);
	watched->timer = NULL;
	current->released++;
}

static int act_in_turn(struct watched *watched, const struct asynctimer_tick *tick)
{
	unsigned place = (unsigned)(watched - current->members);

	(void)tick;
	if (place != current->actor || watched->callbacks > 1)
		return ASYNCTIMER_DONE;
	for (unsigned i = 0; i < COUNT; i++)
		current->late[i] = current->members[i].callbacks == 0;
	current->before_ns = now_mono();
	for (unsigned i = 0; i < COUNT; i++)
		if (is_target(i))
			current->act(&current->members[i]);
	current->after_ns = now_mono();
	return ASYNCTIMER_DONE;
}

/*
 * As many as that are due, of which the timer is the last, and so for epoll. On
 * a virtual clock all are, once the first is.
 */
static void await_due(const struct asynctimer *timer, int count)
{
	if (backing == BACKING_OWN)
		await(expired() == count);
	else
		let_pass_until(asynctimer_next_due_ns(timer));
	if (backing == BACKING_SHARED)
		await(is_readable(reactor));
}

/*
 * All due, in one batch; none dispatched yet. They come due in the order of
 * their places, and so they run, but for one of their own timerfds that does so
 * while epoll is looked at: older kernels put that before those.
 */
static void set_up_round(struct round *round, int policy)
{
	current = round;
	for (unsigned i = 0; i < COUNT; i++) {
		struct watched *watched = watch_new(&round->members[i], CLOCK_MONOTONIC, HOUR, policy);

		watched->interval_ns = 0;
		watched->then = act_in_turn;
		asynctimer_set_release(watched->timer, on_release);
		ck_assert_int_eq(asynctimer_start_after(watched->timer, 1), 1);
		round->due_ns[i] = asynctimer_next_due_ns(watched->timer);
		if (backing != BACKING_VIRTUAL || i == COUNT - 1)
			await_due(watched->timer, (int)i + 1);
	}
}

static void tear_down_round(struct round *round)
{
	for (unsigned i = 0; i < COUNT; i++)
		asynctimer_free(round->members[i].timer);
	ck_assert_uint_eq(round->released, COUNT);
	/* Nothing is left; that of a batch something was may have been said, once. */
	ck_assert_int_eq(dispatch(0), 0);
}

/* check looks at one target once the batch has run. */
static void every_round(action act, bool cancels, int policy,
			void (*check)(struct watched *target, unsigned place, bool late))
{
	for (unsigned actor = 0; actor < COUNT; actor++)
		for (unsigned targets = 1; targets < 1u << COUNT; targets++) {
			struct round round = { .act = act, .actor = actor, .targets = targets };
			int ran, expected = 0;

			set_up_round(&round, policy);
			ran = dispatch(0);
			for (unsigned i = 0; i < COUNT; i++)
				expected += !(is_target(i) && round.late[i]);
			if (cancels)
				ck_assert_int_eq(ran, expected);
			else
				ck_assert_int_ge(ran, 1);
			for (unsigned i = 0; i < COUNT; i++) {
				if (is_target(i)) {
					check(&round.members[i], i, round.late[i]);
				} else {
					ck_assert_uint_eq(round.members[i].callbacks, 1);
					ck_assert_int_eq(asynctimer_is_started(round.members[i].timer), 1);
				}
			}
			tear_down_round(&round);
		}
}

static void stop_it(struct watched *target)
{
	ck_assert_int_eq(asynctimer_stop(target->timer), 1);
	ck_assert_int_eq(asynctimer_stop(target->timer), 0);
}

static void stop_it_without_waiting(struct watched *target)
{
	ck_assert_int_eq(asynctimer_stop_nowait(target->timer), 1);
	ck_assert_int_eq(asynctimer_stop_nowait(target->timer), 0);
}

static void is_stopped(struct watched *target, unsigned place, bool late)
{
	struct asynctimer_stats stats;

	(void)place;
	ck_assert_uint_eq(target->callbacks, late ? 0 : 1);
	ck_assert_int_eq(asynctimer_is_started(target->timer), 0);
	must(asynctimer_get_stats(target->timer, &stats));
	ck_assert_uint_eq(stats.callbacks, target->callbacks);
	/* Its undelivered tick counts as nothing, neither now nor later. */
	ck_assert_int_eq(dispatch(0), 0);
	ck_assert_int_eq(asynctimer_start_after(target->timer, 0), 1);
	target->restarted = true;
	ck_assert_int_eq(dispatch(-1), 1);
	ck_assert_uint_eq(target->last.number, late ? 1 : 2);
}

START_TEST(stopped_in_a_batch_it_does_not_run)
{
	FOR_BOTH_POLICIES(policy)
		every_round(stop_it, true, policy, is_stopped);
}
END_TEST

START_TEST(stopped_without_waiting_in_a_batch_it_does_not_run)
{
	FOR_BOTH_POLICIES(policy)
		every_round(stop_it_without_waiting, true, policy, is_stopped);
}
END_TEST

static void free_it(struct watched *target)
{
	asynctimer_free(target->timer);
}

static void is_gone(struct watched *target, unsigned place, bool late)
{
	(void)place;
	ck_assert_uint_eq(target->callbacks, late ? 0 : 1);
	ck_assert_ptr_null(target->timer);
}

START_TEST(freed_in_a_batch_it_does_not_run)
{
	FOR_BOTH_POLICIES(policy)
		every_round(free_it, true, policy, is_gone);
}
END_TEST

static void restart_it(struct watched *target)
{
	ck_assert_int_eq(asynctimer_stop(target->timer), 1);
	ck_assert_int_eq(asynctimer_start(target->timer), 1);
	ck_assert_int_eq(asynctimer_start(target->timer), 0);
}

static void begins_anew(struct watched *target, unsigned place, bool late)
{
	uint64_t next_ns = asynctimer_next_due_ns(target->timer);

	ck_assert_uint_eq(target->callbacks, late ? 0 : 1);
	ck_assert_int_eq(asynctimer_is_started(target->timer), 1);
	ck_assert_uint_ge(next_ns, current->before_ns + HOUR);
	/* Its own FIXED_DELAY counts from the completion, which is later. */
	if (place != current->actor)
		ck_assert_uint_le(next_ns, current->after_ns + HOUR);
	ck_assert_int_eq(dispatch(0), 0);
}

START_TEST(restarted_in_a_batch_it_begins_anew)
{
	FOR_BOTH_POLICIES(policy)
		every_round(restart_it, true, policy, begins_anew);
}
END_TEST

static void move_it(struct watched *target)
{
	ck_assert_int_eq(asynctimer_restart_after(target->timer, HOUR), 1);
}

START_TEST(moved_in_a_batch_it_does_not_run)
{
	FOR_BOTH_POLICIES(policy)
		every_round(move_it, true, policy, begins_anew);
}
END_TEST

static void restart_it_at_once(struct watched *target)
{
	ck_assert_int_eq(asynctimer_stop(target->timer), 1);
	ck_assert_int_eq(asynctimer_start_after(target->timer, 0), 1);
	target->restarted = true;
}

static void runs_once_for_the_new_start(struct watched *target, unsigned place, bool late)
{
	unsigned expected = late || place == current->actor ? 1 : 2;

	/* Whether that batch still took it is the clock's affair. */
	while (target->callbacks < expected)
		dispatch(-1);
	dispatch(0);
	ck_assert_uint_eq(target->callbacks, expected);
	ck_assert_uint_eq(target->last.number, expected);
	if (place == current->actor) {
		ck_assert_uint_ge(asynctimer_next_due_ns(target->timer), current->before_ns + HOUR);
	} else {
		ck_assert_uint_ge(target->last.due_ns, current->before_ns);
		ck_assert_uint_le(target->last.due_ns, current->after_ns);
	}
}

START_TEST(restarted_at_once_in_a_batch_it_runs_once_for_that)
{
	FOR_BOTH_POLICIES(policy)
		every_round(restart_it_at_once, false, policy, runs_once_for_the_new_start);
}
END_TEST

static void move_it_to_now(struct watched *target)
{
	ck_assert_int_eq(asynctimer_restart_after(target->timer, 0), 1);
	target->restarted = true;
}

START_TEST(moved_to_now_in_a_batch_it_runs_once)
{
	FOR_BOTH_POLICIES(policy)
		every_round(move_it_to_now, false, policy, runs_once_for_the_new_start);
}
END_TEST

static void free_it_without_waiting(struct watched *target)
{
	asynctimer_free_nowait(target->timer);
}

START_TEST(freed_without_waiting_in_a_batch_it_does_not_run)
{
	FOR_BOTH_POLICIES(policy)
		every_round(free_it_without_waiting, true, policy, is_gone);
}
END_TEST

static void change_it(struct watched *target)
{
	ck_assert_int_eq(asynctimer_set_interval(target->timer, 2 * HOUR), 1);
	ck_assert_int_eq(asynctimer_set_interval(target->timer, 2 * HOUR), 0);
}

static void has_a_new_grid(struct watched *target, unsigned place, bool late)
{
	ck_assert_uint_eq(target->callbacks, late ? 0 : 1);
	ck_assert_uint_eq(asynctimer_next_due_ns(target->timer), current->due_ns[place] + 2 * HOUR);
	ck_assert_int_eq(dispatch(0), 0);
}

START_TEST(another_interval_in_a_batch_makes_a_new_grid_from_the_last_due_point)
{
	every_round(change_it, true, ASYNCTIMER_FIXED_SCHEDULE, has_a_new_grid);
}
END_TEST

static void has_a_new_delay(struct watched *target, unsigned place, bool late)
{
	uint64_t next_ns;

	(void)place;
	(void)late;
	/* A first tick asked for stays, if perhaps not in this batch. */
	dispatch_callbacks(target, 1);
	ck_assert_uint_eq(target->callbacks, 1);
	next_ns = asynctimer_next_due_ns(target->timer);
	ck_assert_uint_ge(next_ns, target->last.now_ns + 2 * HOUR);
	ck_assert_uint_le(next_ns, now_mono() + 2 * HOUR);
}

START_TEST(another_delay_in_a_batch_counts_from_the_completion)
{
	every_round(change_it, false, ASYNCTIMER_FIXED_DELAY, has_a_new_delay);
}
END_TEST

static int nothing_due_so_far(struct watched *watched, const struct asynctimer_tick *tick)
{
	uint64_t *completed_ns = watched->data;

	if (watched->callbacks == 1)
		return ASYNCTIMER_PENDING;
	ck_assert_uint_gt(tick->due_ns, *completed_ns);
	ck_assert_uint_ge(tick->skipped_busy, 1);
	return ASYNCTIMER_DONE;
}

static int complete_the_other(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct watched *other = watched->data;

	(void)tick;
	*(uint64_t *)other->data = now_mono();
	ck_assert_int_eq(asynctimer_complete(other->timer, other->last.number, 0), 0);
	return ASYNCTIMER_DONE;
}

static void complete_in_a_batch(bool completer_first)
{
	uint64_t completed_ns = 0;
	struct watched other = { .then = nothing_due_so_far, .data = &completed_ns };
	struct watched completer = { .then = complete_the_other, .data = &other };

	watch_new(&other, CLOCK_MONOTONIC, 5 * MS, ASYNCTIMER_FIXED_SCHEDULE);
	watch_new(&completer, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start_after(other.timer, 0));
	ck_assert_int_eq(dispatch(-1), 1);
	/* The batch is made of two: the other's next point and the completer, in epoll's order. */
	completer_first &= backing == BACKING_OWN;
	if (completer_first)
		must(asynctimer_start_after(completer.timer, 0));
	let_pass_until(asynctimer_next_due_ns(other.timer));
	if (backing == BACKING_OWN)
		await(expired() == (completer_first ? 2 : 1));
	if (!completer_first)
		must(asynctimer_start_after(completer.timer, 0));
	await_due(completer.timer, 2);
	dispatch(0);
	ck_assert_uint_eq(completer.callbacks, 1);
	while (other.callbacks < 2)
		dispatch(-1);
	asynctimer_free(other.timer);
	asynctimer_free(completer.timer);
}

START_TEST(completed_in_a_batch_it_skips_what_was_due)
{
	complete_in_a_batch(true);
	complete_in_a_batch(false);
}
END_TEST

static int replace_the_other(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct watched *other = watched->data;
	int fds = count_fds();

	(void)tick;
	asynctimer_free(other->timer);
	ck_assert_int_eq(count_fds(), fds - OWN_FDS);
	watch_new(other, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(other->timer));
	return ASYNCTIMER_DONE;
}

START_TEST(a_new_timer_in_the_place_of_a_freed_one_does_not_get_its_event)
{
	struct watched other = { .interval_ns = 0 };
	struct watched replacer = { .then = replace_the_other, .data = &other };

	watch_new(&replacer, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	watch_new(&other, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start_after(replacer.timer, 0));
	await_due(replacer.timer, 1);
	must(asynctimer_start_after(other.timer, 0));
	await_due(other.timer, 2);
	ck_assert_int_eq(dispatch(0), 1);
	ck_assert_uint_eq(other.callbacks, 0);
	ck_assert_int_eq(asynctimer_is_started(other.timer), 1);
}
END_TEST

int main(void)
{
	return RUN_WITH_BACKINGS("batch",
		EVERY(stopped_in_a_batch_it_does_not_run),
		EVERY(stopped_without_waiting_in_a_batch_it_does_not_run),
		EVERY(freed_in_a_batch_it_does_not_run),
		EVERY(restarted_in_a_batch_it_begins_anew),
		EVERY(moved_in_a_batch_it_does_not_run),
		EVERY(restarted_at_once_in_a_batch_it_runs_once_for_that),
		EVERY(moved_to_now_in_a_batch_it_runs_once),
		EVERY(freed_without_waiting_in_a_batch_it_does_not_run),
		EVERY(another_interval_in_a_batch_makes_a_new_grid_from_the_last_due_point),
		EVERY(another_delay_in_a_batch_counts_from_the_completion),
		EVERY(completed_in_a_batch_it_skips_what_was_due),
		EVERY(a_new_timer_in_the_place_of_a_freed_one_does_not_get_its_event));
}

/* SPDX-License-Identifier: MIT */
/*
 * asynctimer_reactor_set_spin: a thread polls the clock when a tick without slack
 * is due soon. While the tests hold the clock, that would last for ever: so what
 * ends it is seen, and that nobody has to wait for it.
 */
#include <errno.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"
#include "util.h"

static int spins;		/* how often a thread began to */
static int holding;		/* the clocks stand still */
static uint64_t held_ns;	/* what CLOCK_MONOTONIC shows then; CLOCK_REALTIME too */
static void (*at_spin)(void);

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (!flag_get(&holding))
		return __real_clock_gettime(clock, ret);
	*ret = asynctimer__timespec(__atomic_load_n(&held_ns, __ATOMIC_SEQ_CST));
	return 0;
}

static void count_spins(enum asynctimer__test_point point, struct asynctimer *timer)
{
	(void)timer;
	if (point != ASYNCTIMER__SPINS)
		return;
	if (at_spin)
		at_spin();
	flag_add(&spins);
}

static void hold_at(uint64_t ns)
{
	__atomic_store_n(&held_ns, ns, __ATOMIC_SEQ_CST);
	flag_set(&holding);
}

/* From here on all of the limit is used, however punctual the machine is. */
static void spin_all_of(uint64_t limit_ns)
{
	must(asynctimer_reactor_set_spin(reactor, limit_ns));
	reactor->spin.estimate_ns = limit_ns;
	asynctimer__test_hook = count_spins;
}

static unsigned waiting(void)
{
	unsigned count;

	pthread_mutex_lock(&reactor->lock);
	count = reactor->waiting;
	pthread_mutex_unlock(&reactor->lock);
	return count;
}

/* A thread in run that spins for the timer; the clocks are held. */
static pthread_t thread_that_spins_now(struct asynctimer *timer)
{
	pthread_t thread;

	must(asynctimer_start_after(timer, 500 * US));
	thread = thread_new(run_reactor, reactor);
	await(flag_get(&spins) == 1);
	return thread;
}

/* A thread in run that spins for a timer of watched's, which is due soon after what the clock shows for ever. */
static pthread_t thread_that_spins(struct watched *watched, int clock)
{
	spin_all_of(MS);
	watch_new_shared(watched, clock, HOUR, SCHEDULE, 0);
	hold_at(now_on(clock));
	return thread_that_spins_now(watched->timer);
}

START_TEST(its_answers)
{
	ck_assert_int_eq(asynctimer_reactor_set_spin(NULL, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_set_spin(reactor, 0), 0);
	ck_assert_int_eq(asynctimer_reactor_set_spin(reactor, MS), 1);
	ck_assert_int_eq(asynctimer_reactor_set_spin(reactor, MS), 0);
	ck_assert_int_eq(asynctimer_reactor_set_spin(reactor, MS + 1), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_set_spin(reactor, UINT64_MAX), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_set_spin(reactor, MS), 0);
	ck_assert_int_eq(asynctimer_reactor_set_spin(reactor, 1), 1);
	ck_assert_int_eq(asynctimer_reactor_set_spin(reactor, 0), 1);
	use_virtual_reactor();
	ck_assert_int_eq(asynctimer_reactor_set_spin(reactor, 0), -EOPNOTSUPP);
	ck_assert_int_eq(asynctimer_reactor_set_spin(reactor, MS + 1), -EOPNOTSUPP);
}
END_TEST

static const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };

/* on_tick sees to it that nothing is early, and that each grid is kept. */
static void run_many(unsigned threads)
{
	struct watched watched[24];
	pthread_t thread[3];

	for (unsigned i = 0; i < 24; i++) {
		watched[i] = (struct watched){ .callbacks = 0 };
		if (i % 4 == 3)
			watch_new(&watched[i], clocks[i % 3], (2 + i) * MS, (int)(i % 3));
		else
			watch_new_shared(&watched[i], clocks[i % 3], MS + i * 100 * US,
					 i % 3 == 2 ? SCHEDULE : (int)(i % 2),
					 i % 4 == 2 ? 300 * US : 0);
		must(asynctimer_start(watched[i].timer));
	}
	watched[0].stop_after = 200;
	for (unsigned i = 0; i < threads; i++)
		thread[i] = thread_new(run_reactor, reactor);
	for (unsigned i = 0; i < threads; i++)
		thread_join(thread[i]);
	ck_assert_int_gt(flag_get(&spins), 0);
}

START_TEST(nothing_is_early_whatever_else_there_is)
{
	spin_all_of(MS);
	run_many(1);
}
END_TEST

START_TEST(nor_with_several_threads)
{
	spin_all_of(MS);
	run_many(3);
}
END_TEST

START_TEST(a_host_that_only_polls_has_it_too)
{
	struct watched watched = { .callbacks = 0 };
	struct pollfd pollfd = { .fd = asynctimer_reactor_fd(reactor), .events = POLLIN };

	spin_all_of(MS);
	watch_new_shared(&watched, CLOCK_MONOTONIC, 5 * MS, SCHEDULE, 0);
	must(asynctimer_start(watched.timer));
	/* On a slow machine it may wake up too late to spin, time and again. */
	while (watched.callbacks < 20 || !flag_get(&spins)) {
		must(poll(&pollfd, 1, -1));
		must(asynctimer_reactor_dispatch(reactor, 0));
	}
}
END_TEST

/* What has slack, a timerfd of its own or time enough. */
START_TEST(nothing_else_makes_it_spin)
{
	struct watched slack = { .callbacks = 0 };
	struct watched own = { .callbacks = 0 };
	struct watched later = { .callbacks = 0 };

	spin_all_of(100 * US);
	watch_new_shared(&slack, CLOCK_MONOTONIC, MS, SCHEDULE, 1);
	watch_new(&own, CLOCK_MONOTONIC, MS, SCHEDULE);
	watch_new_shared(&later, CLOCK_MONOTONIC, HOUR, SCHEDULE, 0);
	must(asynctimer_start(slack.timer));
	must(asynctimer_start(own.timer));
	must(asynctimer_start(later.timer));
	dispatch_callbacks(&slack, 50);
	dispatch_callbacks(&own, 50);
	ck_assert_int_eq(spins, 0);
}
END_TEST

static struct watched limited;

static void is_within_the_limit(void)
{
	uint64_t due_ns = asynctimer_next_due_ns(limited.timer);
	uint64_t now_ns = now_mono();

	ck_assert(due_ns <= now_ns || due_ns - now_ns <= 40 * US);
}

START_TEST(no_spin_is_longer_than_the_limit)
{
	spin_all_of(40 * US);
	at_spin = is_within_the_limit;
	limited = (struct watched){ .callbacks = 0 };
	watch_new_shared(&limited, CLOCK_MONOTONIC, 200 * US, SCHEDULE, 0);
	must(asynctimer_start(limited.timer));
	while (limited.callbacks < 500 || !flag_get(&spins))
		must(dispatch(-1));
}
END_TEST

START_TEST(a_stop_of_the_reactor_ends_it)
{
	struct watched watched = { .callbacks = 0 };
	pthread_t thread;

	thread = thread_that_spins(&watched, CLOCK_MONOTONIC);
	asynctimer_reactor_stop(reactor);
	thread_join(thread);
	ck_assert_uint_eq(watched.callbacks, 0);
	flag_clear(&holding);
}
END_TEST

/* None of these waits for the thread; the tick for which it spins is gone, or moved. */
START_TEST(stop_restart_and_free_go_on_meanwhile)
{
	struct watched watched = { .callbacks = 0 };
	struct watched freed = { .callbacks = 0 };
	pthread_t thread;

	watch_new_shared(&freed, CLOCK_MONOTONIC, HOUR, SCHEDULE, 0);
	thread = thread_that_spins(&watched, CLOCK_MONOTONIC);
	ck_assert_int_eq(asynctimer_restart_after(watched.timer, HOUR), 1);
	must(asynctimer_start_after(freed.timer, 600 * US));
	asynctimer_free(freed.timer);
	ck_assert_int_eq(asynctimer_stop(watched.timer), 1);
	flag_clear(&holding);
	await(waiting() == 1);
	ck_assert_uint_eq(watched.callbacks + freed.callbacks, 0);
	asynctimer_reactor_stop(reactor);
	thread_join(thread);
}
END_TEST

START_TEST(what_is_due_earlier_runs_first)
{
	struct watched watched = { .callbacks = 0 };
	struct watched earlier = { .stop_after = 1 };
	pthread_t thread;

	watch_new_shared(&earlier, CLOCK_MONOTONIC, HOUR, SCHEDULE, 0);
	thread = thread_that_spins(&watched, CLOCK_MONOTONIC);
	must(asynctimer_start_after(earlier.timer, 0));
	thread_join(thread);
	ck_assert_uint_eq(earlier.callbacks, 1);
	ck_assert_uint_eq(watched.callbacks, 0);
	flag_clear(&holding);
}
END_TEST

/* Of each clock: a tick whose slack ends while a thread spins for another runs by then. */
START_TEST(no_window_is_overrun)
{
	for (unsigned i = 0; i < 2; i++) {
		struct watched watched = { .callbacks = 0 };
		struct watched slack = { .stop_after = 1 };
		pthread_t thread;
		uint64_t now_ns;

		flag_clear(&spins);
		spin_all_of(MS);
		asynctimer_reactor_restart(reactor);
		watch_new_shared(&watched, CLOCK_MONOTONIC, HOUR, SCHEDULE, 0);
		watch_new_shared(&slack, clocks[i], HOUR, SCHEDULE, 10 * US);
		now_ns = now_mono();
		hold_at(now_ns);
		must(asynctimer_start_after(slack.timer, 100 * US));
		thread = thread_that_spins_now(watched.timer);
		/* The window's end; the other tick is still to come. */
		hold_at(now_ns + 110 * US);
		thread_join(thread);
		ck_assert_uint_eq(slack.callbacks, 1);
		ck_assert_uint_eq(watched.callbacks, 0);
		flag_clear(&holding);
		asynctimer_free(slack.timer);
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(switched_off_it_ends)
{
	struct watched watched = { .callbacks = 0 };
	pthread_t thread;

	thread = thread_that_spins(&watched, CLOCK_MONOTONIC);
	ck_assert_int_eq(asynctimer_reactor_set_spin(reactor, 0), 1);
	await(waiting() == 1);
	ck_assert_int_eq(flag_get(&spins), 1);
	flag_clear(&holding);
	await(flag_get(&watched.callbacks) == 1);
	asynctimer_reactor_stop(reactor);
	thread_join(thread);
}
END_TEST

START_TEST(a_clock_that_is_set_back_ends_it)
{
	struct watched watched = { .callbacks = 0 };
	pthread_t thread;

	thread = thread_that_spins(&watched, CLOCK_REALTIME);
	hold_at(held_ns - HOUR);
	await(waiting() == 1);
	ck_assert_int_eq(flag_get(&spins), 1);
	asynctimer_reactor_stop(reactor);
	thread_join(thread);
	flag_clear(&holding);
}
END_TEST

/* Nor is the second one woken for the tick while the first will run it. */
START_TEST(of_two_threads_one_spins_and_the_other_waits)
{
	struct watched watched = { .stop_after = 1 };
	pthread_t first, second;

	first = thread_that_spins(&watched, CLOCK_MONOTONIC);
	second = thread_new(run_reactor, reactor);
	await(waiting() == 1);
	ck_assert_int_eq(flag_get(&spins), 1);
	flag_clear(&holding);
	thread_join(first);
	thread_join(second);
	ck_assert_uint_eq(watched.callbacks, 1);
}
END_TEST

static pid_t child;

static void fork_once(void)
{
	if (child == 0) {
		child = must(fork());
		if (child == 0)
			child = -1;
	}
}

START_TEST(a_child_that_a_signal_handler_forks_meanwhile_leaves)
{
	struct watched watched = { .stop_after = 1 };
	int status, r;

	spin_all_of(MS);
	at_spin = fork_once;
	watch_new_shared(&watched, CLOCK_MONOTONIC, 5 * MS, SCHEDULE, 0);
	do {
		watched.callbacks = 0;
		watched.restarted = true;
		asynctimer_stop(watched.timer);
		asynctimer_reactor_restart(reactor);
		must(asynctimer_start(watched.timer));
		r = asynctimer_reactor_run(reactor);
		if (child < 0)
			_exit(r == -ECHILD && watched.callbacks == 0 ? 0 : 1);
		ck_assert_int_eq(r, 0);
	} while (!child);
	ck_assert_int_eq(must(waitpid(child, &status, 0)), child);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(watched.callbacks, 1);
}
END_TEST

/* Ticks so dense that no thread ever waits say nothing of how late wake-ups are. */
START_TEST(an_estimate_that_leaves_no_wait_shrinks_until_there_is_one)
{
	struct watched watched = { .callbacks = 0 };
	uint64_t before_ns;

	spin_all_of(MS);
	before_ns = reactor->spin.estimate_ns;
	watch_new_shared(&watched, CLOCK_MONOTONIC, 300 * US, SCHEDULE, 0);
	must(asynctimer_start(watched.timer));
	while (reactor->spin.estimate_ns > before_ns * 7 / 8)
		must(dispatch(-1));
}
END_TEST

/* Or the next wake-up would be compared with a time long past. */
START_TEST(on_each_clock_a_wake_up_is_compared_with_what_was_armed_for_once)
{
	spin_all_of(MS);
	for (unsigned i = 0; i < 3; i++) {
		struct watched watched = { .callbacks = 0 };

		watch_new_shared(&watched, clocks[i], HOUR, SCHEDULE, 0);
		must(asynctimer_start_after(watched.timer, 3 * MS));
		dispatch_callbacks(&watched, 1);
		ck_assert_uint_eq(reactor->shared[i].pair.fired_for_ns, ASYNCTIMER__NEVER);
		asynctimer_free(watched.timer);
	}
}
END_TEST

/* Of a wake-up and the spin after it one counts, not both. */
START_TEST(a_tick_lowers_the_estimate_by_one_step_at_most)
{
	struct watched watched = { .callbacks = 0 };

	spin_all_of(MS);
	watch_new_shared(&watched, CLOCK_MONOTONIC, HOUR, SCHEDULE, 0);
	while (!flag_get(&spins)) {
		watched.restarted = true;
		asynctimer_stop(watched.timer);
		reactor->spin.estimate_ns = MS;
		must(asynctimer_start_after(watched.timer, 3 * MS));
		dispatch_callbacks(&watched, watched.callbacks + 1);
		ck_assert_uint_ge(reactor->spin.estimate_ns, MS - MS / 400);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS("spin", its_answers, nothing_is_early_whatever_else_there_is,
			 nor_with_several_threads, a_host_that_only_polls_has_it_too,
			 nothing_else_makes_it_spin, no_spin_is_longer_than_the_limit,
			 a_stop_of_the_reactor_ends_it, stop_restart_and_free_go_on_meanwhile,
			 what_is_due_earlier_runs_first, no_window_is_overrun,
			 switched_off_it_ends,
			 a_clock_that_is_set_back_ends_it,
			 of_two_threads_one_spins_and_the_other_waits,
			 a_child_that_a_signal_handler_forks_meanwhile_leaves,
			 an_estimate_that_leaves_no_wait_shrinks_until_there_is_one,
			 on_each_clock_a_wake_up_is_compared_with_what_was_armed_for_once,
			 a_tick_lowers_the_estimate_by_one_step_at_most);
}

/* SPDX-License-Identifier: MIT */
/* Shared timers on the real kernel: what the virtual clock can't show. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"
#include "perturbation.h"
#include "spots.h"
#include "util.h"
#include "wrap.h"

static const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };

static unsigned acquired(void)
{
	unsigned sum = 0;

	for (enum wrap_call call = WRAP_NONE; call < WRAP_CALLS; call++)
		sum += wrap_acquires(call) ? wrap_calls[call] : 0;
	return sum;
}

/*
 * Shorthands.
 */

static unsigned ticks;		/* of quick timers; several threads: atomic */

static int quick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)data;
	if (tick->now_ns < tick->due_ns)
		ck_abort_msg("a callback was early");
	flag_add(&ticks);
	return 0;
}

#define BLOCK ((size_t)2 << 20)	/* of memory for shared timers, mapped at once */

static struct asynctimer *quick_new(int clock, uint64_t interval_ns, uint64_t slack_ns)
{
	struct asynctimer *timer;

	must(asynctimer_new_shared(reactor, clock, interval_ns, SCHEDULE, slack_ns, quick, NULL,
				   &timer));
	return timer;
}

/* To be started at a time that on a slow machine is past by then: it runs all the same. */
static struct asynctimer *quick_once(uint64_t slack_ns)
{
	struct asynctimer *timer;

	must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, HOUR, ONCE, slack_ns, quick, NULL,
				   &timer));
	return timer;
}

/* The first spot of a quarter of a second that is later than that. */
static uint64_t next_spot_ns(uint64_t ns)
{
	return asynctimer__spots_wake_ns(ns + 1, 250 * MS, asynctimer__perturbation_ns());
}

/* Only a hang ends it early, and then the test fails by Check's timeout. */
#define dispatch_until_that(condition)                                                             \
	do {                                                                                       \
		while (!(condition))                                                               \
			must(asynctimer_reactor_dispatch(reactor, -1));                            \
	} while (0)

/*
 * Ticks.
 */

START_TEST(shared_timers_of_each_clock_keep_their_grid)
{
	struct watched watched[3][2] = { { { .callbacks = 0 } } };

	for (int i = 0; i < 3; i++) {
		watch_new_shared(&watched[i][0], clocks[i], 3 * MS, SCHEDULE, 0);
		watch_new_shared(&watched[i][1], clocks[i], 2 * MS,
				 clocks[i] == CLOCK_REALTIME ? SCHEDULE : DELAY, MS);
		asynctimer_start(watched[i][0].timer);
		asynctimer_start(watched[i][1].timer);
	}
	for (int i = 0; i < 3; i++)
		dispatch_until_that(watched[i][0].callbacks >= 20 && watched[i][1].callbacks >= 20);
}
END_TEST

START_TEST(own_and_shared_timers_of_all_kinds_in_one_reactor)
{
	static struct watched watched[120];
	struct asynctimer_stats stats;

	for (unsigned i = 0; i < 120; i++) {
		int clock = clocks[i % 3];
		int policy = clock == CLOCK_REALTIME || i % 2 ? SCHEDULE : DELAY;
		uint64_t interval_ns = 2 * MS + 37 * US * i;

		if (i % 4 == 0)
			watch_new(&watched[i], clock, interval_ns, policy);
		else
			watch_new_shared(&watched[i], clock, interval_ns, policy, i % 7 * 250 * US);
		if (i % 5)
			asynctimer_start(watched[i].timer);
		else
			asynctimer_start_after(watched[i].timer, i * 100 * US);
	}
	for (unsigned i = 0; i < 120; i++)
		dispatch_until_that(watched[i].callbacks >= 10);
	for (unsigned i = 0; i < 120; i++) {
		must(asynctimer_get_stats(watched[i].timer, &stats));
		ck_assert_uint_eq(stats.callbacks, watched[i].callbacks);
		ck_assert_uint_eq(stats.callbacks + stats.skipped_busy + stats.skipped_late,
				  watched[i].last.number);
	}
}
END_TEST

START_TEST(timers_due_within_a_slack_share_a_wake_up)
{
	enum { COUNT = 50 };
	struct asynctimer *timers[COUNT];
	uint64_t spot_ns = next_spot_ns(now_mono() + 100 * MS);
	int ran;

	for (unsigned i = 0; i < COUNT; i++) {
		timers[i] = quick_once(200 * MS);
		asynctimer_start_at(timers[i], spot_ns + (10 + i) * MS);
	}
	/* Nothing wakes it before the first's latest spot of 50 ms, when all are due. */
	ran = must(asynctimer_reactor_dispatch(reactor, -1));
	ck_assert_int_eq(ran, COUNT);
	ck_assert_uint_ge(now_mono(), spot_ns + 200 * MS);
}
END_TEST

START_TEST(nothing_is_armed_for_what_the_next_wake_up_will_have_run)
{
	struct watched watched[3] = { 0 };
	const struct shared *shared = &reactor->shared[0];
	uint64_t spot_ns = next_spot_ns(now_mono() + 100 * MS);

	for (unsigned i = 0; i < 3; i++)
		watch_new_shared(&watched[i], CLOCK_MONOTONIC, HOUR, ONCE, 5 * MS);
	must(asynctimer_start_after(watched[0].timer, MS));
	/* The former wakes it 5 ms after the spot, the latter would 8 ms after it. */
	must(asynctimer_start_at(watched[1].timer, spot_ns + 1200 * US));
	must(asynctimer_start_at(watched[2].timer, spot_ns + 3200 * US));
	/* One has fired: without slack the pair would be armed ahead now. */
	dispatch_callbacks(&watched[0], 1);
	while (watched[2].callbacks == 0) {
		ck_assert(shared->pair.armed_ns[0] == ASYNCTIMER__NEVER ||
			  shared->pair.armed_ns[1] == ASYNCTIMER__NEVER);
		must(asynctimer_reactor_dispatch(reactor, -1));
	}
	ck_assert_uint_eq(watched[1].callbacks, 1);
}
END_TEST

START_TEST(the_smallest_due_plus_slack_wakes_for_all_that_is_due)
{
	struct asynctimer *patient = quick_once(HOUR - 1);
	struct asynctimer *exact = quick_once(0);
	uint64_t due_ns = now_mono() + 20 * MS;

	asynctimer_start_at(patient, due_ns - MS);
	asynctimer_start_at(exact, due_ns);
	ck_assert_int_eq(must(asynctimer_reactor_dispatch(reactor, -1)), 2);
	ck_assert_uint_ge(now_mono(), due_ns);
}
END_TEST

/* Both of the pair have fired, and all that is known to come is one tick. */
START_TEST(what_was_armed_for_a_stopped_timer_wakes_nobody_for_ever)
{
	struct watched stopped, watched;
	const struct pair *pair;
	uint64_t delay_ns = MS;

	/* Until both are armed before they are due. */
	do {
		must(asynctimer_reactor_free(reactor));
		must(asynctimer_reactor_new(&reactor));
		pair = &reactor->shared[0].pair;
		stopped = watched = (struct watched){ 0 };
		watch_new_shared(&stopped, CLOCK_MONOTONIC, HOUR, SCHEDULE, 0);
		watch_new_shared(&watched, CLOCK_MONOTONIC, HOUR, DELAY, 0);
		delay_ns *= 2;
		must(asynctimer_start_after(stopped.timer, 2 * delay_ns));
		must(asynctimer_start_after(watched.timer, delay_ns));
	} while (must(asynctimer_reactor_dispatch(reactor, 0)) > 0 ||
		 pair->armed_ns[0] == ASYNCTIMER__NEVER || pair->armed_ns[1] == ASYNCTIMER__NEVER);
	await(expired() == 2);
	ck_assert_int_eq(asynctimer_stop(stopped.timer), 1);
	dispatch_callbacks(&watched, 1);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
	ck_assert(!is_readable(reactor));
	ck_assert_uint_eq(stopped.callbacks, 0);
}
END_TEST

START_TEST(what_is_due_already_runs_without_a_wait)
{
	struct asynctimer *timer = quick_new(CLOCK_MONOTONIC, HOUR, 0);

	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(asynctimer_start_after(timer, 0), 1);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 1);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
		ck_assert_int_eq(asynctimer_stop(timer), 1);
	}
}
END_TEST

static struct asynctimer *pair[2];
static int what;
static unsigned ran[2];

static int at_the_other(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct asynctimer *other = pair[timer == pair[0]];

	(void)tick;
	(void)data;
	ran[timer == pair[1]]++;
	if (ran[0] + ran[1] > 1)
		return 0;
	if (what == 3) {
		asynctimer_free(other);
		return 0;
	}
	ck_assert_int_eq(what == 1 ? asynctimer_stop_nowait(other) : asynctimer_stop(other), 1);
	if (what == 2)
		ck_assert_int_eq(asynctimer_start(other), 1);
	return 0;
}

START_TEST(of_two_due_in_one_wake_up_the_first_keeps_the_second_from_running)
{
	for (what = 0; what < 4; what++) {
		for (int first = 0; first < 2; first++) {
			ran[0] = ran[1] = 0;
			for (int i = 0; i < 2; i++)
				must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, HOUR, SCHEDULE,
							   first ? 0 : (uint64_t)i, at_the_other,
							   NULL, &pair[i]));
			asynctimer_start_after(pair[first], 0);
			asynctimer_start_after(pair[!first], 0);
			ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
			ck_assert_uint_eq(ran[first], 1);
			ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, MS), 0);
			asynctimer_free(pair[first]);
			if (what < 3) {
				ck_assert_int_eq(asynctimer_is_started(pair[!first]), what == 2);
				asynctimer_free(pair[!first]);
			}
		}
	}
}
END_TEST

/* Names of timers, in the order in which these ran. */
static char ran_as[8];

static int note_name(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	strcat(ran_as, data);
	return 0;
}

START_TEST(equal_due_times_run_in_armed_order_however_many_armings_lie_between)
{
	static char a[] = "a";
	static char b[] = "b";
	static const uint64_t gaps[] = { 0, INT32_MAX, UINT64_C(1) << 31, UINT32_MAX,
					 (UINT64_C(1) << 32) + 7, (UINT64_C(1) << 47) - 2 };

	use_virtual_reactor();
	for (unsigned i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++) {
		/* One lane, then one for each. */
		for (uint64_t slack_ns = 0; slack_ns < 2; slack_ns++) {
			struct asynctimer *first, *second;

			must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, HOUR, SCHEDULE, 0,
						   note_name, a, &first));
			must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, HOUR, SCHEDULE,
						   slack_ns, note_name, b, &second));
			must(asynctimer_start_after(first, 1));
			reactor->arm_seq += gaps[i];
			must(asynctimer_start_after(second, 1));
			ran_as[0] = 0;
			ck_assert_int_eq(must(asynctimer_reactor_advance(reactor, 1)), 2);
			ck_assert_str_eq(ran_as, "ab");
			asynctimer_free(first);
			asynctimer_free(second);
		}
	}
}
END_TEST

/*
 * Descriptors and memory.
 */

START_TEST(a_clock_takes_a_pair_of_descriptors_however_many_its_timers)
{
	int before = count_fds();

	for (int i = 0; i < 3; i++) {
		quick_new(clocks[i], HOUR, 0);
		ck_assert_int_eq(count_fds(), before + 2 * (i + 1));
	}
	for (unsigned i = 0; i < 10000; i++)
		asynctimer_start(quick_new(clocks[i % 3], HOUR, i % 10));
	must(asynctimer_reactor_dispatch(reactor, 0));
	ck_assert_int_eq(count_fds(), before + 6);
}
END_TEST

START_TEST(start_stop_set_interval_and_ticks_acquire_nothing)
{
	enum { COUNT = 500 };
	static struct asynctimer *timers[COUNT];
	unsigned before;

	wrap_inside = true;
	for (unsigned i = 0; i < COUNT; i++)
		timers[i] = quick_new(clocks[i % 3], MS + i * US, i % 5 * 100 * US);
	wrap_inside = false;
	before = acquired();
	ck_assert_uint_gt(before, 0);
	wrap_inside = true;
	for (unsigned round = 0; round < 30; round++) {
		for (unsigned i = 0; i < COUNT; i++) {
			asynctimer_stop(timers[i]);
			asynctimer_start_after(timers[i], (COUNT - i) * (round % 2) * US);
			asynctimer_set_interval(timers[i], MS + (i + round % 3) * US);
		}
		for (unsigned target = ticks + COUNT; ticks < target;)
			must(asynctimer_reactor_dispatch(reactor, -1));
	}
	wrap_inside = false;
	ck_assert_uint_eq(acquired(), before);
}
END_TEST

/* A new of the how many-th lane and timer: what fails may differ. */
static void each_call_fails(enum wrap_call call, int error, uint64_t slack_ns, int clock,
			    unsigned at_least)
{
	struct asynctimer *const untouched = (struct asynctimer *)&ticks;
	size_t mapped_before = wrap_mapped;
	unsigned failures = 0;

	for (unsigned at = 1;; at++) {
		struct asynctimer *timer = untouched;
		int before = count_fds();
		int r;

		wrap_fail((struct wrap_fault){ call, at, 1, error, false });
		wrap_inside = true;
		r = asynctimer_new_shared(reactor, clock, HOUR, SCHEDULE, slack_ns, quick, NULL,
					  &timer);
		wrap_inside = false;
		wrap_end();
		if (r == 0) {
			ck_assert_uint_ge(failures, at_least);
			asynctimer_free(timer);
			return;
		}
		failures++;
		ck_assert_int_eq(r, -error);
		ck_assert_ptr_eq(timer, untouched);
		/* The block that was made for it stays, for the next. */
		ck_assert_uint_le(wrap_mapped, mapped_before + BLOCK);
		ck_assert_int_eq(count_fds(), before);
		must(asynctimer_reactor_dispatch(reactor, 0));
	}
}

START_TEST(each_call_of_new_shared_may_fail)
{
	struct watched watched = { 0 };

	each_call_fails(WRAP_TIMERFD_CREATE, EMFILE, 0, CLOCK_MONOTONIC, 2);
	each_call_fails(WRAP_TIMERFD_CREATE, ENFILE, 0, CLOCK_BOOTTIME, 2);
	each_call_fails(WRAP_EPOLL_ADD, ENOSPC, 0, CLOCK_REALTIME, 2);
	for (uint64_t slack_ns = 0; slack_ns < 3; slack_ns++) {
		each_call_fails(WRAP_CALLOC, ENOMEM, slack_ns, CLOCK_MONOTONIC, 1);
		each_call_fails(WRAP_TSEARCH, ENOMEM, slack_ns, CLOCK_MONOTONIC, 1);
		each_call_fails(WRAP_MEMALIGN, ENOMEM, slack_ns, CLOCK_MONOTONIC, 3);
		quick_new(CLOCK_MONOTONIC, HOUR, slack_ns);
	}
	watch_new_shared(&watched, CLOCK_MONOTONIC, MS, SCHEDULE, 0);
	asynctimer_start(watched.timer);
	dispatch_until_that(watched.callbacks >= 5);
}
END_TEST

/* It is asked for in steps. */
START_TEST(each_step_of_the_memory_may_fail)
{
	for (unsigned i = 0; i < 1000; i++) {
		each_call_fails(WRAP_MPROTECT, ENOMEM, 0, CLOCK_MONOTONIC, 0);
		quick_new(CLOCK_MONOTONIC, HOUR, 0);
	}
}
END_TEST

START_TEST(the_first_new_shared_of_a_clock_that_fails_leaves_nothing_open)
{
	static const enum wrap_call calls[] = { WRAP_CALLOC, WRAP_TSEARCH, WRAP_MEMALIGN, WRAP_MMAP,
						WRAP_MPROTECT, WRAP_TIMERFD_CREATE, WRAP_EPOLL_ADD };
	struct asynctimer_reactor *first = reactor;

	for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		for (unsigned j = 0; j < 3; j++) {
			must(asynctimer_reactor_new(&reactor));
			each_call_fails(calls[i], ENOMEM, 0, clocks[j], 1);
			must(asynctimer_reactor_free(reactor));
		}
	reactor = first;
}
END_TEST

START_TEST(a_failed_new_harms_no_timer_that_runs)
{
	enum { COUNT = 300 };
	static struct watched watched[COUNT];

	for (unsigned i = 0; i < COUNT; i++) {
		watch_new_shared(&watched[i], CLOCK_MONOTONIC, MS + i * US, SCHEDULE, i % 3 * US);
		asynctimer_start(watched[i].timer);
	}
	for (unsigned i = 0; i < 40; i++) {
		each_call_fails(WRAP_MEMALIGN, ENOMEM, i, CLOCK_MONOTONIC, 0);
		each_call_fails(WRAP_CALLOC, ENOMEM, 100 + i, CLOCK_MONOTONIC, 1);
		each_call_fails(WRAP_TSEARCH, ENOMEM, 200 + i, CLOCK_MONOTONIC, 1);
		quick_new(CLOCK_MONOTONIC, HOUR, i);
	}
	for (unsigned i = 0; i < COUNT; i++)
		watched[i].callbacks = 0;
	for (unsigned i = 0; i < COUNT; i++)
		dispatch_until_that(watched[i].callbacks >= 3);
}
END_TEST

START_TEST(out_of_descriptors_new_shared_fails_and_works_later)
{
	struct rlimit limit, low;
	struct asynctimer *timer = NULL;
	int before = count_fds();

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	/* Room for none and for one of the pair: count_fds sees its own, and "." and "..". */
	for (unsigned room = 0; room < 2; room++) {
		int highest = dup(0);

		ck_assert_int_ge(highest, 0);
		close(highest);
		low = (struct rlimit){ (rlim_t)highest + room, limit.rlim_max };
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
		ck_assert_int_eq(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, MS, SCHEDULE, 0,
						       quick, NULL, &timer),
				 -EMFILE);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		ck_assert_ptr_null(timer);
		ck_assert_int_eq(count_fds(), before);
	}
	asynctimer_start(quick_new(CLOCK_MONOTONIC, MS, 0));
	dispatch_until_that(ticks >= 3);
}
END_TEST

#ifdef __has_feature
#define IS_CLANGS_ASAN __has_feature(address_sanitizer)
#else
#define IS_CLANGS_ASAN 0
#endif
#if defined(__SANITIZE_ADDRESS__) || IS_CLANGS_ASAN
#define KEEPS_FREED true
#else
#define KEEPS_FREED false
#endif

static long resident(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long size, pages;

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fscanf(file, "%ld %ld", &size, &pages), 2);
	fclose(file);
	return pages;
}

START_TEST(new_and_free_in_turn_keep_no_memory)
{
	size_t before;
	long pages = 0;

	wrap_inside = true;
	/* The one block that an empty reactor keeps. */
	before = wrap_mapped + BLOCK;
	for (unsigned i = 0; i < 30000; i++) {
		struct asynctimer *timer = quick_new(CLOCK_MONOTONIC, HOUR, i % 100);

		asynctimer_start(timer);
		asynctimer_free(timer);
		if (i == 10000)
			pages = resident();
	}
	ck_assert_uint_eq(wrap_mapped, before);
	ck_assert(KEEPS_FREED || resident() < pages + 256);
}
END_TEST

START_TEST(a_fleet_freed_is_given_back)
{
	enum { COUNT = 40000 };
	static struct asynctimer *timers[COUNT];
	size_t before = wrap_mapped;

	wrap_inside = true;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < COUNT; i++) {
			timers[i] = quick_new(CLOCK_MONOTONIC, HOUR, 0);
			asynctimer_start(timers[i]);
		}
		ck_assert_uint_gt(wrap_mapped, before + COUNT * 128);
		for (unsigned i = 0; i < COUNT; i++)
			asynctimer_free(timers[(i * 7919) % COUNT]);
		ck_assert_uint_eq(wrap_mapped, before);
	}
}
END_TEST

static void expect_slack(const struct asynctimer *timer, uint64_t least_ns, uint64_t most_ns)
{
	struct asynctimer_info info;

	must(asynctimer_get_info(timer, sizeof(info), &info));
	ck_assert_uint_ge(info.slack_ns, least_ns);
	ck_assert_uint_le(info.slack_ns, most_ns);
}

START_TEST(of_many_slacks_some_are_exact_and_the_others_rounded_down)
{
	const struct shared *shared = &reactor->shared[0];
	uint64_t slack_ns = HOUR / 2;
	unsigned groups;

	for (unsigned i = 0; i < 64; i++)
		expect_slack(quick_new(CLOCK_MONOTONIC, HOUR, i * 999983), i * 999983, i * 999983);
	for (unsigned i = 0; i < 5000; i++) {
		slack_ns = slack_ns * 15 / 16 + 7;
		expect_slack(quick_new(CLOCK_MONOTONIC, HOUR, slack_ns), slack_ns - slack_ns / 8,
			     slack_ns);
	}
	ck_assert_uint_le(shared->groups, 64 + 64 * 8);
	/* Those that are rounded to the same share it. */
	slack_ns = HOUR / 2 + 1;
	groups = shared->groups;
	for (unsigned i = 0; i < 3; i++)
		expect_slack(quick_new(CLOCK_MONOTONIC, HOUR, slack_ns + i), slack_ns - slack_ns / 8,
			     slack_ns + i);
	ck_assert_uint_le(shared->groups, groups + 1);
	/* One of the first is found as it is. */
	expect_slack(quick_new(CLOCK_MONOTONIC, HOUR, 62 * 999983), 62 * 999983, 62 * 999983);
}
END_TEST

/* Each slack takes room in two queues, each of which has to give it back by itself. */
static unsigned frees, locked_frees;

static void count_free(void)
{
	frees++;
	if (pthread_mutex_trylock(&reactor->lock) == 0)
		pthread_mutex_unlock(&reactor->lock);
	else
		locked_frees++;
}

/* free(3) may take the kernel long. All have other intervals, so that there are many lists. */
START_TEST(memory_is_freed_with_no_lock_held)
{
	enum { SLACKS = 70, EACH = 100 };
	static struct asynctimer *timers[SLACKS * EACH];

	frees = 0;
	locked_frees = 0;
	wrap_frees = count_free;
	wrap_inside = true;
	for (unsigned i = 0; i < SLACKS * EACH; i++)
		must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, HOUR + i, SCHEDULE,
					   i % SLACKS * MS, quick, NULL, &timers[i]));
	for (unsigned i = 0; i < SLACKS * EACH; i++)
		asynctimer_free(timers[i]);
	wrap_inside = false;
	wrap_frees = NULL;
	/* Each slack's arrays grew and shrank several times, and went with it. */
	ck_assert_uint_ge(frees, SLACKS * 4);
	ck_assert_uint_eq(locked_frees, 0);
}
END_TEST

START_TEST(the_room_for_slacks_that_are_gone_is_given_back)
{
	enum { COUNT = 400 };
	const struct shared *shared = &reactor->shared[0];
	struct asynctimer *timers[COUNT];

	/* Of four significant bits, so none is rounded. */
	for (unsigned i = 0; i < COUNT; i++)
		timers[i] = quick_new(CLOCK_MONOTONIC, UINT64_C(1) << 62,
				      i < 64 ? i : (UINT64_C(8) + i % 8) << (i / 8 - 4));
	ck_assert_uint_ge(shared->by_due.lists_room, COUNT);
	ck_assert_uint_ge(shared->by_wake.lists_room, COUNT);
	for (unsigned left = COUNT; left--;) {
		asynctimer_free(timers[left]);
		ck_assert_uint_le(shared->by_due.lists_room, 4 * left + 16);
		ck_assert_uint_le(shared->by_wake.lists_room, 4 * left + 16);
	}
}
END_TEST

/*
 * Several threads.
 */

START_TEST(a_start_that_is_now_the_earliest_wakes_a_thread_that_waits)
{
	pthread_t thread;

	/* One lane, then two; each is far earlier than all before. */
	for (uint64_t slack_ns = 0; slack_ns < 2; slack_ns++)
		asynctimer_start(quick_new(CLOCK_MONOTONIC, HOUR, slack_ns));
	thread = thread_new(run_reactor, reactor);
	for (unsigned i = 0; i < 300; i++) {
		struct asynctimer *timer = quick_new(clocks[i % 3], HOUR, i % 4);
		unsigned before = flag_get(&ticks);

		asynctimer_start_after(timer, i % 2 * 200 * US);
		await(flag_get(&ticks) != before);
		asynctimer_free(timer);
	}
	asynctimer_reactor_stop(reactor);
	thread_join(thread);
}
END_TEST

static int slow_waits;
static int other_ran;

static int slow(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	(void)data;
	flag_set(&slow_waits);
	await(flag_get(&other_ran));
	return 0;
}

static int release_slow(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	(void)data;
	if (flag_get(&slow_waits))
		flag_set(&other_ran);
	return 0;
}

/* The slow callback ends only once the other one ran: in one thread that would never be. */
START_TEST(a_slow_callback_delays_no_other_while_a_thread_idles)
{
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		threads[i] = thread_new(run_reactor, reactor);
	for (unsigned round = 0; round < 60; round++) {
		/* Due together, a little later, or at once with the slow one already running. */
		static const uint64_t later_ns[] = { 0, 10 * US, 100 * US, 3 * MS };
		struct asynctimer *one, *other;
		uint64_t due_ns;
		int clock = clocks[round % 2];

		slow_waits = other_ran = 0;
		/* Where the machine is slow its due time is past at the start: it then runs at once. */
		must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, HOUR, ONCE, 0, slow,
					   NULL, &one));
		must(asynctimer_new_shared(reactor, clock, HOUR, SCHEDULE, round % 3 * 5,
					   release_slow, NULL, &other));
		asynctimer_set_interval(other, 4 * MS);
		due_ns = now_mono() + 2 * MS;
		asynctimer_start_at(one, due_ns);
		asynctimer_start_at(other,
				    (clock == CLOCK_MONOTONIC ? due_ns : now_on(clock) + 2 * MS) +
					later_ns[round % 4]);
		await(flag_get(&other_ran));
		asynctimer_free(other);
		asynctimer_free(one);
	}
	asynctimer_reactor_stop(reactor);
	for (int i = 0; i < 2; i++)
		thread_join(threads[i]);
}
END_TEST

#define FLEET 200

static struct overlap {
	struct asynctimer *timer;
	int inside;
	uint64_t number;
} overlaps[FLEET];

static int alone(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct overlap *overlap = data;

	(void)timer;
	if (__atomic_exchange_n(&overlap->inside, 1, __ATOMIC_SEQ_CST))
		ck_abort_msg("two callbacks of one timer overlap");
	if (tick->number != overlap->number + 1 + tick->skipped_busy + tick->skipped_late ||
	    tick->now_ns < tick->due_ns)
		ck_abort_msg("tick %llu after %llu", (unsigned long long)tick->number,
			     (unsigned long long)overlap->number);
	overlap->number = tick->number;
	spin_until(CLOCK_MONOTONIC, now_mono() + tick->number % 4 * 20 * US);
	flag_clear(&overlap->inside);
	flag_add(&ticks);
	return 0;
}

START_TEST(several_threads_run_each_timer_alone)
{
	pthread_t threads[4];

	for (unsigned i = 0; i < FLEET; i++) {
		must(asynctimer_new_shared(reactor, clocks[i % 3], MS + 10 * US * i, SCHEDULE,
					   i % 4 * 100 * US, alone, &overlaps[i],
					   &overlaps[i].timer));
		asynctimer_start(overlaps[i].timer);
	}
	for (int i = 0; i < 4; i++)
		threads[i] = thread_new(run_reactor, reactor);
	while (flag_get(&ticks) < 20000) {
		unsigned which = (unsigned)random() % FLEET;

		ck_assert_int_ge(asynctimer_stop(overlaps[which].timer), 0);
		if (flag_get(&overlaps[which].inside))
			ck_abort_msg("it runs after its stop");
		ck_assert_int_eq(asynctimer_start(overlaps[which].timer), 1);
		sched_yield();
	}
	asynctimer_reactor_stop(reactor);
	for (int i = 0; i < 4; i++)
		thread_join(threads[i]);
}
END_TEST

/*
 * Overload: callbacks so slow that something is always due.
 */

static void overload(void)
{
	static struct watched watched[20];

	for (unsigned i = 0; i < 20; i++) {
		watch_new_shared(&watched[i], CLOCK_MONOTONIC, 100 * US, SCHEDULE, 0);
		watched[i].work_ns = 150 * US;
		asynctimer_start(watched[i].timer);
	}
}

START_TEST(in_overload_own_timers_get_their_turn)
{
	struct watched own = { .stop_after = 20 };

	overload();
	watch_new(&own, CLOCK_MONOTONIC, MS, SCHEDULE);
	asynctimer_start(own.timer);
	must(asynctimer_reactor_run(reactor));
	ck_assert_uint_eq(own.callbacks, 20);
}
END_TEST

START_TEST(in_overload_other_clocks_get_their_turn)
{
	struct watched other = { .stop_after = 20 };

	overload();
	watch_new_shared(&other, CLOCK_BOOTTIME, MS, SCHEDULE, 0);
	asynctimer_start(other.timer);
	must(asynctimer_reactor_run(reactor));
	ck_assert_uint_eq(other.callbacks, 20);
}
END_TEST

START_TEST(in_overload_dispatch_returns)
{
	overload();
	for (unsigned i = 0; i < 50; i++) {
		int callbacks = must(asynctimer_reactor_dispatch(reactor, -1));

		/* None twice, but for what the pair reported after the wake. */
		ck_assert_int_ge(callbacks, 1);
		ck_assert_int_le(callbacks, 3 * 20);
	}
}
END_TEST

static void *stop_it(void *data)
{
	await(flag_get(&ticks) >= 10);
	asynctimer_reactor_stop(data);
	return NULL;
}

START_TEST(in_overload_reactor_stop_stops)
{
	pthread_t thread;

	overload();
	asynctimer_start(quick_new(CLOCK_MONOTONIC, 100 * US, 0));
	thread = thread_new(stop_it, reactor);
	must(asynctimer_reactor_run(reactor));
	thread_join(thread);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), 1);
	ck_assert_int_ge(asynctimer_reactor_dispatch(reactor, 0), 1);
}
END_TEST

START_TEST(in_overload_all_timers_get_their_turn)
{
	static struct watched watched[50];

	for (unsigned i = 0; i < 50; i++) {
		watch_new_shared(&watched[i], CLOCK_MONOTONIC, 20 * US + i * US, SCHEDULE, 0);
		watched[i].work_ns = 30 * US;
		asynctimer_start(watched[i].timer);
	}
	for (unsigned i = 0; i < 50; i++)
		dispatch_until_that(watched[i].callbacks >= 10);
}
END_TEST

/*
 * In another loop.
 */

/* An outer loop that gets one edge for what is there, and dispatches once for it. */
static int outer_new(void)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int outer = must(epoll_create1(EPOLL_CLOEXEC));

	ck_assert_int_eq(epoll_ctl(outer, EPOLL_CTL_ADD, asynctimer_reactor_fd(reactor), &event),
			 0);
	return outer;
}

static void edge(int outer)
{
	struct epoll_event event;

	/* A lost edge is a hang. */
	ck_assert_int_eq(must(epoll_wait(outer, &event, 1, 60000)), 1);
	must(asynctimer_reactor_dispatch(reactor, 0));
}

START_TEST(an_edge_triggered_host_loses_nothing_of_a_fleet)
{
	static struct watched watched[300];
	int outer = outer_new();

	for (unsigned i = 0; i < 300; i++) {
		watch_new_shared(&watched[i], clocks[i % 3], 5 * MS + i % 100 * 10 * US, SCHEDULE,
				 i % 5 * 300 * US);
		asynctimer_start(watched[i].timer);
	}
	for (unsigned i = 0; i < 300; i++)
		while (watched[i].callbacks < 20)
			edge(outer);
	close(outer);
}
END_TEST

START_TEST(an_edge_triggered_host_loses_nothing_in_overload)
{
	struct watched own = { 0 };
	int outer = outer_new();

	overload();
	watch_new(&own, CLOCK_MONOTONIC, MS, SCHEDULE);
	asynctimer_start(own.timer);
	while (own.callbacks < 30)
		edge(outer);
	close(outer);
}
END_TEST

START_TEST(an_edge_triggered_host_sees_what_starts_between_its_dispatches)
{
	int outer = outer_new();

	for (unsigned i = 0; i < 200; i++) {
		struct asynctimer *timer = quick_new(clocks[i % 3], HOUR, i % 7);
		unsigned before = ticks;

		asynctimer_start_after(timer, i % 3 * 50 * US);
		while (ticks == before)
			edge(outer);
		asynctimer_free(timer);
	}
	close(outer);
}
END_TEST

START_TEST(what_came_due_while_the_reactor_was_stopped_runs_after_restart)
{
	struct watched watched = { 0 };

	watch_new_shared(&watched, CLOCK_MONOTONIC, 5 * MS, SCHEDULE, 0);
	asynctimer_start(watched.timer);
	dispatch_until_that(watched.callbacks >= 1);
	for (unsigned i = 2; i < 12; i++) {
		asynctimer_reactor_stop(reactor);
		spin_until(CLOCK_MONOTONIC, watched.last.due_ns + 11 * MS);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 0);
		must(asynctimer_reactor_run(reactor));
		ck_assert_int_eq(asynctimer_reactor_restart(reactor), 1);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
		/* Busy, where the machine held up the callback itself. */
		ck_assert_uint_ge(watched.last.skipped_busy + watched.last.skipped_late, 1);
		ck_assert_uint_eq(watched.callbacks, i);
	}
}
END_TEST

/*
 * Fork.
 */

static void child_frees(bool timers_first, struct asynctimer *const *timers, unsigned count)
{
	int status;
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		/* No Check in here: an exit status says which line failed. */
		if (asynctimer_start(timers[0]) != -ECHILD ||
		    asynctimer_stop(timers[0]) != -ECHILD ||
		    asynctimer_set_interval(timers[0], MS) != -ECHILD)
			_exit(2);
		if (asynctimer_reactor_dispatch(reactor, 0) != -ECHILD)
			_exit(3);
		for (unsigned i = 0; timers_first && i < count; i++)
			asynctimer_free(timers[i]);
		if (asynctimer_reactor_free(reactor) != -ECHILD)
			_exit(4);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}

/* Whatever a thread that the child has not got was doing to the queue. */
START_TEST(a_childs_frees_work_while_other_threads_tick)
{
	struct asynctimer *timers[20];
	pthread_t threads[2];

	for (unsigned i = 0; i < 20; i++) {
		timers[i] = quick_new(CLOCK_MONOTONIC, 30 * US + i * 7, i % 3);
		asynctimer_start(timers[i]);
	}
	for (int i = 0; i < 2; i++)
		threads[i] = thread_new(run_reactor, reactor);
	for (unsigned round = 0; round < 200; round++)
		child_frees(round % 2, timers, 20);
	asynctimer_reactor_stop(reactor);
	for (int i = 0; i < 2; i++)
		thread_join(threads[i]);
}
END_TEST

START_TEST(a_childs_frees_are_not_felt_by_the_parent)
{
	struct watched watched[30] = { { .callbacks = 0 } };
	struct asynctimer *timers[30];

	for (unsigned i = 0; i < 30; i++) {
		watch_new_shared(&watched[i], clocks[i % 3], 2 * MS, SCHEDULE, i % 4 * 100 * US);
		timers[i] = watched[i].timer;
		asynctimer_start(timers[i]);
	}
	for (unsigned round = 0; round < 4; round++) {
		child_frees(round % 2, timers, 30);
		for (unsigned i = 0; i < 30; i++)
			watched[i].callbacks = 0;
		for (unsigned i = 0; i < 30; i++)
			dispatch_until_that(watched[i].callbacks >= 5);
	}
}
END_TEST

static uint64_t released_ns;

static void release_slowly(void *data)
{
	(void)data;
	spin_until(CLOCK_MONOTONIC, now_mono() + MS);
	released_ns = now_mono();
}

static int free_itself(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)tick;
	(void)data;
	asynctimer_free(timer);
	return ASYNCTIMER_DONE;
}

START_TEST(what_comes_after_a_slow_release_knows_how_late_it_is)
{
	struct watched second = { 0 };
	struct asynctimer *first;
	uint64_t due_ns = now_mono();

	must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, HOUR, ONCE, 0, free_itself, NULL, &first));
	asynctimer_set_release(first, release_slowly);
	watch_new_shared(&second, CLOCK_MONOTONIC, HOUR, ONCE, 0);
	must(asynctimer_start_at(first, due_ns));
	must(asynctimer_start_at(second.timer, due_ns));
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 2);
	ck_assert_uint_ge(second.last.now_ns, released_ns);
}
END_TEST

int main(void)
{
	return RUN_TESTS("shared", shared_timers_of_each_clock_keep_their_grid,
			 own_and_shared_timers_of_all_kinds_in_one_reactor,
			 timers_due_within_a_slack_share_a_wake_up,
			 nothing_is_armed_for_what_the_next_wake_up_will_have_run,
			 the_smallest_due_plus_slack_wakes_for_all_that_is_due,
			 what_was_armed_for_a_stopped_timer_wakes_nobody_for_ever,
			 what_is_due_already_runs_without_a_wait,
			 of_two_due_in_one_wake_up_the_first_keeps_the_second_from_running,
			 equal_due_times_run_in_armed_order_however_many_armings_lie_between,
			 a_clock_takes_a_pair_of_descriptors_however_many_its_timers,
			 start_stop_set_interval_and_ticks_acquire_nothing,
			 each_call_of_new_shared_may_fail,
			 the_first_new_shared_of_a_clock_that_fails_leaves_nothing_open,
			 each_step_of_the_memory_may_fail, a_failed_new_harms_no_timer_that_runs,
			 out_of_descriptors_new_shared_fails_and_works_later,
			 new_and_free_in_turn_keep_no_memory, a_fleet_freed_is_given_back,
			 memory_is_freed_with_no_lock_held,
			 the_room_for_slacks_that_are_gone_is_given_back,
			 of_many_slacks_some_are_exact_and_the_others_rounded_down,
			 a_start_that_is_now_the_earliest_wakes_a_thread_that_waits,
			 a_slow_callback_delays_no_other_while_a_thread_idles,
			 several_threads_run_each_timer_alone,
			 in_overload_own_timers_get_their_turn,
			 in_overload_other_clocks_get_their_turn, in_overload_dispatch_returns,
			 in_overload_reactor_stop_stops, in_overload_all_timers_get_their_turn,
			 an_edge_triggered_host_loses_nothing_of_a_fleet,
			 an_edge_triggered_host_loses_nothing_in_overload,
			 an_edge_triggered_host_sees_what_starts_between_its_dispatches,
			 what_came_due_while_the_reactor_was_stopped_runs_after_restart,
			 a_childs_frees_work_while_other_threads_tick,
			 a_childs_frees_are_not_felt_by_the_parent,
			 what_comes_after_a_slow_release_knows_how_late_it_is);
}

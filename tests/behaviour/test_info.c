/* SPDX-License-Identifier: MIT */
/* asynctimer_get_info and asynctimer_reactor_list: all there is to know about one timer, and about each. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

#define SIZE sizeof(struct asynctimer_info)
#define UNTOUCHED 0xa5
#define STARTED 1
#define ROOM 256

static const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };

static bool is_legal(int clock, int policy)
{
	return policy != DELAY || clock != CLOCK_REALTIME;
}

/* Every byte of it is that. */
static bool is_all(const void *memory, size_t size, unsigned char byte)
{
	const unsigned char *bytes = memory;

	while (size && bytes[size - 1] == byte)
		size--;
	return size == 0;
}

/* What get_info says, compared with what the other questions answer. */
static struct asynctimer_info info_of(const struct watched *watched)
{
	const struct asynctimer *timer = watched->timer;
	struct asynctimer_stats stats;
	struct asynctimer_info info;

	memset(&info, UNTOUCHED, SIZE);
	ck_assert_int_eq(asynctimer_get_info(timer, SIZE, &info), 0);
	must(asynctimer_get_stats(timer, &stats));
	ck_assert_mem_eq(&info.stats, &stats, sizeof(stats));
	ck_assert(is_all(stats.reserved, sizeof(stats.reserved), 0));
	ck_assert_uint_eq(stats.callbacks + stats.skipped_busy + stats.skipped_late, info.number);
	ck_assert_int_eq(stats.busy_since_ns != 0, info.open != 0);
	ck_assert_ptr_eq(info.timer, timer);
	ck_assert_ptr_eq(info.data, watched);
	ck_assert_int_eq(info.clock, watched->clock);
	ck_assert_int_eq(info.started, asynctimer_is_started(timer));
	ck_assert_uint_eq(info.next_due_ns, asynctimer_next_due_ns(timer));
	ck_assert_uint_eq(info.number, watched->last.number);
	ck_assert_int_eq(info.reserved, 0);
	return info;
}

static void expect_state(const struct watched *watched, int started, int open)
{
	struct asynctimer_info info = info_of(watched);

	ck_assert_int_eq(info.started, started);
	ck_assert_int_eq(info.open, open);
}

/* The element of that timer, which may have been freed; NULL if it is not listed. */
static const struct asynctimer_info *listed(const struct asynctimer *timer)
{
	static struct asynctimer_info infos[ROOM];
	int count = must(asynctimer_reactor_list(reactor, ROOM, SIZE, infos));

	ck_assert_int_le(count, ROOM);
	for (int i = 0; i < count; i++)
		if (infos[i].timer == timer)
			return &infos[i];
	return NULL;
}

static int count_listed(void)
{
	return must(asynctimer_reactor_list(reactor, 0, SIZE, NULL));
}

static struct asynctimer_reactor_stats counts(void)
{
	struct asynctimer_reactor_stats counts;

	must(asynctimer_reactor_get_stats(reactor, sizeof(counts), &counts));
	return counts;
}

START_TEST(a_new_timer_is_as_it_was_made)
{
	for (unsigned i = 0; i < 3; i++)
		for (int policy = SCHEDULE; policy <= ASYNCTIMER_ONCE; policy++) {
			struct watched watched = { .result = 0 };
			struct asynctimer_info info;

			if (!is_legal(clocks[i], policy))
				continue;
			watch_new(&watched, clocks[i], 17 * MS, policy);
			info = info_of(&watched);
			ck_assert_str_eq(info.name, "");
			ck_assert_int_eq(info.policy, policy);
			ck_assert_int_eq(info.shared, backing != BACKING_OWN);
			ck_assert_int_eq(info.started, 0);
			ck_assert_int_eq(info.open, 0);
			ck_assert_uint_eq(info.number, 0);
			ck_assert_uint_eq(info.interval_ns, 17 * MS);
			ck_assert_uint_eq(info.slack_ns, 0);
			ck_assert_uint_eq(info.next_due_ns, UINT64_MAX);
			ck_assert(is_all(&info.stats, sizeof(info.stats), 0));
			asynctimer_free(watched.timer);
		}
}
END_TEST

START_TEST(a_shared_timer_is_listed_with_its_slack)
{
	struct watched exact = { .result = 0 }, slack = { .result = 0 };
	struct asynctimer_info info;

	watch_new_shared(&exact, CLOCK_BOOTTIME, HOUR, SCHEDULE, 0);
	watch_new_shared(&slack, CLOCK_BOOTTIME, HOUR, SCHEDULE, 3 * MS + 1);
	info = info_of(&exact);
	ck_assert_int_eq(info.shared, 1);
	ck_assert_uint_eq(info.slack_ns, 0);
	info = info_of(&slack);
	ck_assert_int_eq(info.shared, 1);
	ck_assert_uint_eq(info.slack_ns, 3 * MS + 1);
}
END_TEST

START_TEST(it_has_the_name_that_was_set_last)
{
	static const char longest[] = "1234567890123456789012345678901";
	struct watched watched = { .result = 0 }, other = { .result = 0 };

	watch_new(&watched, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	watch_new(&other, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	ck_assert_uint_eq(sizeof(longest), 32);
	must(asynctimer_set_name(watched.timer, longest));
	must(asynctimer_set_name(other.timer, "other"));
	ck_assert_str_eq(info_of(&watched).name, longest);
	ck_assert_str_eq(info_of(&other).name, "other");
	must(asynctimer_set_name(watched.timer, "short"));
	ck_assert_str_eq(info_of(&watched).name, "short");
	ck_assert_str_eq(listed(watched.timer)->name, "short");
	must(asynctimer_set_name(watched.timer, NULL));
	ck_assert_str_eq(info_of(&watched).name, "");
	ck_assert_str_eq(listed(watched.timer)->name, "");
	ck_assert_str_eq(listed(other.timer)->name, "other");
}
END_TEST

START_TEST(it_says_whether_it_is_started_when_it_is_due_and_how_often)
{
	struct watched watched = { .result = 0 };
	struct asynctimer_info info;
	uint64_t before_ns, after_ns;

	watch_new(&watched, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	before_ns = now_mono();
	must(asynctimer_start(watched.timer));
	after_ns = now_mono();
	info = info_of(&watched);
	ck_assert_int_eq(info.started, 1);
	ck_assert_uint_ge(info.next_due_ns, before_ns + HOUR);
	ck_assert_uint_le(info.next_due_ns, after_ns + HOUR);
	must(asynctimer_set_interval(watched.timer, 2 * HOUR));
	ck_assert_uint_eq(info_of(&watched).interval_ns, 2 * HOUR);
	must(asynctimer_restart_after(watched.timer, 3 * HOUR));
	ck_assert_uint_ge(info_of(&watched).next_due_ns, before_ns + 3 * HOUR);
	must(asynctimer_stop(watched.timer));
	info = info_of(&watched);
	ck_assert_int_eq(info.started, 0);
	ck_assert_uint_eq(info.next_due_ns, UINT64_MAX);
	ck_assert_uint_eq(info.interval_ns, 2 * HOUR);
}
END_TEST

/*
 * The states of a tick.
 */

static int be_open(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct asynctimer_info info = info_of(watched);

	ck_assert_int_eq(info.started, 1);
	ck_assert_int_eq(info.open, 1);
	ck_assert_uint_eq(info.number, tick->number);
	ck_assert_uint_eq(info.stats.busy_since_ns, tick->now_ns);
	ck_assert_mem_eq(listed(watched->timer), &info, SIZE);
	return watched->result;
}

static void run_once(struct watched *watched)
{
	unsigned before = watched->callbacks;

	while (watched->callbacks == before)
		dispatch(-1);
}

START_TEST(open_is_1_in_the_callback_2_while_deferred_and_0_afterwards)
{
	FOR_BOTH_POLICIES(policy) {
		struct watched watched = { .then = be_open };

		watch_new(&watched, CLOCK_MONOTONIC, MS, policy);
		must(asynctimer_start(watched.timer));
		for (unsigned i = 0; i < 5; i++) {
			run_once(&watched);
			expect_state(&watched, STARTED, 0);
			ck_assert_uint_eq(counts().open, 0);
		}
		watched.result = ASYNCTIMER_PENDING;
		run_once(&watched);
		expect_state(&watched, STARTED, 2);
		ck_assert_uint_eq(counts().open, 1);
		if (policy == DELAY)
			ck_assert_uint_eq(info_of(&watched).next_due_ns, UINT64_MAX);
		must(asynctimer_stop(watched.timer));
		expect_state(&watched, 0, 2);
		must(asynctimer_complete(watched.timer, info_of(&watched).number, 0));
		expect_state(&watched, 0, 0);
		asynctimer_free(watched.timer);
	}
}
END_TEST

static int complete_early(struct watched *watched, const struct asynctimer_tick *tick)
{
	must(asynctimer_complete(watched->timer, tick->number, -EIO));
	expect_state(watched, STARTED, 1);
	return ASYNCTIMER_PENDING;
}

static unsigned handled;

static void be_open_in_handler(struct asynctimer *timer, int error, void *data)
{
	struct watched *watched = data;
	struct asynctimer_info info = info_of(watched);

	(void)timer;
	ck_assert_int_eq(error, -EIO);
	ck_assert_int_eq(info.open, 1);
	ck_assert_uint_eq(info.stats.failures, ++handled);
	ck_assert_uint_eq(counts().open, 1);
	ck_assert_uint_eq(counts().failures, handled);
}

START_TEST(open_is_1_in_the_handler_and_after_an_early_complete)
{
	struct watched watched = { .result = -EIO };

	watch_new(&watched, CLOCK_MONOTONIC, MS, SCHEDULE);
	must(asynctimer_set_error_handler(watched.timer, be_open_in_handler));
	must(asynctimer_start(watched.timer));
	run_once(&watched);
	expect_state(&watched, STARTED, 0);
	watched.then = complete_early;
	run_once(&watched);
	expect_state(&watched, STARTED, 0);
	watched.then = NULL;
	watched.result = ASYNCTIMER_PENDING;
	run_once(&watched);
	must(asynctimer_complete(watched.timer, watched.last.number, -EIO));
	expect_state(&watched, STARTED, 0);
	ck_assert_uint_eq(handled, 3);
}
END_TEST

START_TEST(once_is_stopped_in_its_callback)
{
	struct watched watched = { .result = ASYNCTIMER_PENDING };

	watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_ONCE);
	must(asynctimer_start(watched.timer));
	expect_state(&watched, STARTED, 0);
	run_once(&watched);
	expect_state(&watched, 0, 2);
	ck_assert_int_eq(info_of(&watched).policy, ASYNCTIMER_ONCE);
	must(asynctimer_complete(watched.timer, 1, 0));
	expect_state(&watched, 0, 0);
}
END_TEST

/*
 * Sizes. A caller that is older than the library has a shorter struct, one that is newer a longer.
 */

START_TEST(a_size_below_the_first_releases_is_refused)
{
	static const uint32_t sizes[] = { 0, 1, SIZE - sizeof(struct asynctimer_stats), SIZE - 1 };
	struct watched watched = { .result = 0 };
	struct asynctimer_info info;

	watch_new(&watched, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	memset(&info, UNTOUCHED, SIZE);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		ck_assert_int_eq(asynctimer_get_info(watched.timer, sizes[i], &info), -EINVAL);
		ck_assert_int_eq(asynctimer_reactor_list(reactor, 1, sizes[i], &info), -EINVAL);
		ck_assert_int_eq(asynctimer_reactor_list(reactor, 0, sizes[i], NULL), -EINVAL);
	}
	ck_assert_int_eq(asynctimer_get_info(NULL, SIZE, &info), -EINVAL);
	ck_assert_int_eq(asynctimer_get_info(watched.timer, SIZE, NULL), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_list(NULL, 1, SIZE, &info), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_list(reactor, 1, SIZE, NULL), -EINVAL);
	ck_assert(is_all(&info, SIZE, UNTOUCHED));
}
END_TEST

/* As in a program that was compiled with a later header. */
struct later_info {
	struct asynctimer_info info;
	uint64_t appended[5];
};

static void expect_untouched(const struct later_info *later)
{
	ck_assert(is_all(later, sizeof(*later), UNTOUCHED));
}

START_TEST(of_a_larger_size_what_the_library_does_not_know_is_zeroed)
{
	struct watched watched = { .result = 0 };
	struct later_info later[2];

	watch_new(&watched, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	memset(later, UNTOUCHED, sizeof(later));
	ck_assert_int_eq(asynctimer_get_info(watched.timer, sizeof(*later), &later[0].info), 0);
	ck_assert_ptr_eq(later[0].info.timer, watched.timer);
	ck_assert_uint_eq(later[0].info.interval_ns, HOUR);
	ck_assert(is_all(later[0].appended, sizeof(later[0].appended), 0));
	expect_untouched(&later[1]);
}
END_TEST

/* Timers of several kinds, clocks and slacks. */
#define MANY 40
static struct watched many[MANY];

static void many_new(void)
{
	for (unsigned i = 0; i < MANY; i++) {
		int clock = clocks[i % 3];
		char name[32];

		if (i % 4 < 2)
			watch_new(&many[i], clock, HOUR + i, SCHEDULE);
		else
			watch_new_shared(&many[i], clock, HOUR + i, SCHEDULE, i % 4 == 2 ? 0 : i);
		snprintf(name, sizeof(name), "timer %u", i);
		must(asynctimer_set_name(many[i].timer, name));
		if (i % 5)
			must(asynctimer_start(many[i].timer));
	}
}

static void many_free(void)
{
	for (unsigned i = 0; i < MANY; i++)
		asynctimer_free(many[i].timer);
}

/* count elements are filled, each as get_info says; the rest is as it was. */
static void expect_many(const struct later_info *later, unsigned count, unsigned room)
{
	bool seen[MANY] = { false };

	for (unsigned i = 0; i < count; i++) {
		const struct watched *watched = later[i].info.data;
		struct asynctimer_info info = info_of(watched);

		ck_assert(!seen[watched - many]);
		seen[watched - many] = true;
		ck_assert_mem_eq(&later[i].info, &info, SIZE);
		ck_assert(is_all(later[i].appended, sizeof(later[i].appended), 0));
	}
	for (unsigned i = count; i < room; i++)
		expect_untouched(&later[i]);
}

START_TEST(size_is_the_distance_between_two_elements)
{
	struct later_info later[MANY + 3];
	struct asynctimer_info infos[MANY];

	many_new();
	memset(later, UNTOUCHED, sizeof(later));
	ck_assert_int_eq(asynctimer_reactor_list(reactor, MANY + 3, sizeof(*later), &later[0].info),
			 MANY);
	expect_many(later, MANY, MANY + 3);
	/* The same without anything between them. */
	ck_assert_int_eq(asynctimer_reactor_list(reactor, MANY, SIZE, infos), MANY);
	for (unsigned i = 0; i < MANY; i++)
		later[i].info = infos[i];
	expect_many(later, MANY, MANY + 3);
	many_free();
}
END_TEST

START_TEST(the_list_is_as_long_as_there_is_room_and_says_how_many_there_are)
{
	struct later_info later[MANY];
	struct watched *last = &many[MANY - 1];

	ck_assert_int_eq(count_listed(), 0);
	ck_assert_int_eq(asynctimer_reactor_list(reactor, MANY, sizeof(*later), &later[0].info), 0);
	many_new();
	ck_assert_int_eq(count_listed(), MANY);
	for (unsigned room = 0; room <= MANY; room += 13) {
		memset(later, UNTOUCHED, sizeof(later));
		ck_assert_int_eq(asynctimer_reactor_list(reactor, room, sizeof(*later),
							 &later[0].info), MANY);
		expect_many(later, room, MANY);
	}
	/* However much room there is said to be, no more is written. */
	memset(later, UNTOUCHED, sizeof(later));
	asynctimer_free(last->timer);
	ck_assert_int_eq(asynctimer_reactor_list(reactor, UINT32_MAX, sizeof(*later),
						 &later[0].info), MANY - 1);
	expect_many(later, MANY - 1, MANY);
	ck_assert_uint_eq(counts().timers, MANY - 1);
	last->timer = NULL;
	many_free();
	ck_assert_int_eq(count_listed(), 0);
	ck_assert_uint_eq(counts().timers, 0);
}
END_TEST

/*
 * Freed, but still there.
 */

START_TEST(freed_with_its_tick_deferred_it_is_listed_until_that_completes)
{
	struct watched watched = { .result = ASYNCTIMER_PENDING };
	const struct asynctimer_info *info;

	watch_new(&watched, CLOCK_MONOTONIC, MS, SCHEDULE);
	must(asynctimer_set_name(watched.timer, "in the way"));
	must(asynctimer_start(watched.timer));
	run_once(&watched);
	asynctimer_free(watched.timer);
	info = listed(watched.timer);
	ck_assert_ptr_nonnull(info);
	ck_assert_str_eq(info->name, "in the way");
	ck_assert_ptr_eq(info->data, &watched);
	ck_assert_int_eq(info->started, 0);
	ck_assert_int_eq(info->open, 2);
	ck_assert_uint_eq(info->number, watched.last.number);
	ck_assert_uint_eq(info->next_due_ns, UINT64_MAX);
	ck_assert_uint_eq(info->stats.busy_since_ns, watched.last.now_ns);
	ck_assert_int_eq(count_listed(), 1);
	ck_assert_uint_eq(counts().timers, 1);
	ck_assert_uint_eq(counts().started, 0);
	ck_assert_uint_eq(counts().open, 1);
	must(asynctimer_complete(watched.timer, info->number, 0));
	ck_assert_int_eq(count_listed(), 0);
	ck_assert_uint_eq(counts().timers, 0);
	ck_assert_uint_eq(counts().open, 0);
}
END_TEST

static int free_itself(struct watched *watched, const struct asynctimer_tick *tick)
{
	const struct asynctimer_info *info;

	asynctimer_free(watched->timer);
	info = listed(watched->timer);
	ck_assert_ptr_nonnull(info);
	ck_assert_int_eq(info->open, 1);
	ck_assert_int_eq(info->started, 0);
	ck_assert_uint_eq(info->number, tick->number);
	ck_assert_uint_eq(counts().timers, 1);
	return ASYNCTIMER_DONE;
}

static unsigned released;

static void release_unlisted(void *data)
{
	const struct watched *watched = data;

	ck_assert_ptr_null(listed(watched->timer));
	ck_assert_uint_eq(counts().timers, 0);
	ck_assert_uint_eq(counts().open, 0);
	released++;
}

START_TEST(freed_in_its_callback_it_is_listed_until_that_returns)
{
	struct watched watched = { .then = free_itself };

	watch_new(&watched, CLOCK_MONOTONIC, MS, SCHEDULE);
	asynctimer_set_release(watched.timer, release_unlisted);
	must(asynctimer_start(watched.timer));
	run_once(&watched);
	ck_assert_uint_eq(released, 1);
	ck_assert_int_eq(count_listed(), 0);
}
END_TEST

/*
 * Several threads: what is copied belongs together.
 */

#define CROWD 30

struct one {
	struct asynctimer *timer;
	uint64_t deferred;	/* the number of its open tick, or 0 */
};

static struct one crowd[CROWD];
static int over;

static int on_any(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct one *one = data;

	(void)timer;
	if (tick->number % 7 == 3)
		sched_yield();
	if (tick->number % 11 != 5)
		return tick->number % 5 ? ASYNCTIMER_DONE : -EIO;
	__atomic_store_n(&one->deferred, tick->number, __ATOMIC_SEQ_CST);
	return ASYNCTIMER_PENDING;
}

static void one_new(struct one *one)
{
	unsigned i = (unsigned)(one - crowd);
	char name[32];

	snprintf(name, sizeof(name), "one of %u", i);
	must(new_timer(CLOCK_MONOTONIC, (20 + 10 * i) * US, (int)i % 2, on_any, one, &one->timer));
	must(asynctimer_set_name(one->timer, name));
	must(asynctimer_start_after(one->timer, 0));
}

static void complete_deferred(struct one *one)
{
	uint64_t number = __atomic_exchange_n(&one->deferred, 0, __ATOMIC_SEQ_CST);

	if (number)
		must(asynctimer_complete(one->timer, number, number % 2 ? -EIO : 0));
}

static void *come_and_go(void *data)
{
	(void)data;
	for (unsigned i = 0; !flag_get(&over); i++) {
		struct one *one = &crowd[i % CROWD];

		complete_deferred(one);
		if (i % 3)
			continue;
		asynctimer_free(one->timer);
		/* After that nothing but its last tick's completion may name it. */
		complete_deferred(one);
		one_new(one);
	}
	return NULL;
}

/* An assertion of Check's takes its time even where it holds: too much for some hundred thousand. */
#define expect(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg("not so: %s", #condition);                                    \
	} while (0)

static void expect_consistent(const struct asynctimer_info *info)
{
	const struct asynctimer_stats *stats = &info->stats;
	unsigned which = (unsigned)((const struct one *)info->data - crowd);
	char name[32];

	snprintf(name, sizeof(name), "one of %u", which);
	/* It may be listed when it has yet to be named. */
	expect(!*info->name || strcmp(info->name, name) == 0);
	expect(stats->callbacks + stats->skipped_busy + stats->skipped_late == info->number);
	expect((stats->busy_since_ns != 0) == (info->open != 0));
	expect(stats->lateness_max_ns <= stats->lateness_sum_ns);
	expect(stats->duration_max_ns <= stats->duration_sum_ns);
	expect(stats->behind_sum_ns <= stats->lateness_sum_ns);
	expect(stats->failures <= stats->callbacks);
	expect(info->interval_ns == (20 + 10 * which) * US);
	expect(info->started || info->next_due_ns == UINT64_MAX);
}

/* The clock of a virtual reactor is read by a timer that is there meanwhile. */
static void expect_consistent_list(void)
{
	static struct asynctimer_info infos[2 * CROWD];
	int count = must(asynctimer_reactor_list(reactor, 2 * CROWD, SIZE, infos));

	/* One of them may be gone and not made again. */
	expect(count >= CROWD - 1 && count <= CROWD + 1);
	for (int i = 0; i < count; i++) {
		for (int other = 0; other < i; other++)
			expect(infos[other].timer != infos[i].timer);
		if (infos[i].data)
			expect_consistent(&infos[i]);
	}
}

START_TEST(while_timers_come_and_go_each_element_is_consistent)
{
	unsigned runners = backing == BACKING_VIRTUAL ? 1 : 2;
	pthread_t runner[2], changer;

	for (unsigned i = 0; i < CROWD; i++)
		one_new(&crowd[i]);
	for (unsigned i = 0; i < runners; i++)
		runner[i] = thread_new(run_reactor, reactor);
	changer = thread_new(come_and_go, NULL);
	for (unsigned i = 0; i < 2000; i++)
		expect_consistent_list();
	flag_set(&over);
	thread_join(changer);
	asynctimer_reactor_stop(reactor);
	for (unsigned i = 0; i < runners; i++)
		thread_join(runner[i]);
	for (unsigned i = 0; i < CROWD; i++) {
		complete_deferred(&crowd[i]);
		asynctimer_free(crowd[i].timer);
	}
	ck_assert_int_eq(count_listed(), 0);
}
END_TEST

int main(void)
{
	return RUN_WITH_BACKINGS("info",
		EVERY(a_new_timer_is_as_it_was_made),
		EVERY(a_shared_timer_is_listed_with_its_slack),
		EVERY(it_has_the_name_that_was_set_last),
		EVERY(it_says_whether_it_is_started_when_it_is_due_and_how_often),
		EVERY(open_is_1_in_the_callback_2_while_deferred_and_0_afterwards),
		EVERY(open_is_1_in_the_handler_and_after_an_early_complete),
		EVERY(once_is_stopped_in_its_callback),
		EVERY(a_size_below_the_first_releases_is_refused),
		EVERY(of_a_larger_size_what_the_library_does_not_know_is_zeroed),
		EVERY(size_is_the_distance_between_two_elements),
		EVERY(the_list_is_as_long_as_there_is_room_and_says_how_many_there_are),
		EVERY(freed_with_its_tick_deferred_it_is_listed_until_that_completes),
		EVERY(freed_in_its_callback_it_is_listed_until_that_returns),
		EVERY(while_timers_come_and_go_each_element_is_consistent));
}

/* SPDX-License-Identifier: MIT */
/* Names of timers. There is no way to ask for one, but set_name answers 0 for the one it has. */
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

static volatile bool in_library;	/* Check allocates too */
static bool no_malloc, no_tsearch;
static unsigned mallocs;
static void *allocated;		/* the last, until it is freed */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	if (!in_library)
		return __real_malloc(size);
	mallocs++;
	allocated = no_malloc ? NULL : __real_malloc(size);
	return allocated;
}

void __real_free(void *memory);
void __wrap_free(void *memory);
void __wrap_free(void *memory)
{
	if (memory && memory == allocated)
		allocated = NULL;
	__real_free(memory);
}

void *__real_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *))
{
	return no_tsearch ? NULL : __real_tsearch(key, root, compare);
}

static int set_name(struct asynctimer *timer, const char *name)
{
	int r;

	in_library = true;
	r = asynctimer_set_name(timer, name);
	in_library = false;
	return r;
}

static int do_nothing(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	(void)data;
	return ASYNCTIMER_DONE;
}

static int defer(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	uint64_t *number = data;

	(void)timer;
	*number = tick->number;
	return ASYNCTIMER_PENDING;
}

static struct asynctimer *timer_new(void)
{
	struct asynctimer *timer;

	must(asynctimer_new(reactor, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE, do_nothing,
			    NULL, &timer));
	return timer;
}

static struct asynctimer *timer_new_shared(asynctimer_callback callback, void *data)
{
	struct asynctimer *timer;

	must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE, 0,
				   callback, data, &timer));
	return timer;
}

START_TEST(set_name_says_whether_it_changed_the_name)
{
	struct asynctimer *timer = timer_new();

	ck_assert_int_eq(set_name(timer, NULL), 0);
	ck_assert_int_eq(set_name(timer, ""), 0);
	ck_assert_int_eq(set_name(timer, "poll"), 1);
	ck_assert_int_eq(set_name(timer, "poll"), 0);
	ck_assert_int_eq(set_name(timer, "poll 2"), 1);
	ck_assert_int_eq(set_name(timer, "poll"), 1);
	ck_assert_int_eq(set_name(timer, NULL), 1);
	ck_assert_int_eq(set_name(timer, NULL), 0);
	ck_assert_int_eq(set_name(timer, "poll"), 1);
	ck_assert_int_eq(set_name(timer, ""), 1);
	ck_assert_int_eq(set_name(timer, ""), 0);
}
END_TEST

START_TEST(the_name_is_copied)
{
	struct asynctimer *timer = timer_new();
	char name[] = "poll";

	ck_assert_int_eq(set_name(timer, name), 1);
	strcpy(name, "gone");
	ck_assert_int_eq(set_name(timer, "poll"), 0);
}
END_TEST

START_TEST(a_name_of_31_bytes_fits_and_a_longer_one_changes_nothing)
{
	static const char fits[] = "0123456789abcdef0123456789abcde";
	struct asynctimer *timer = timer_new();
	char huge[5000];

	ck_assert_uint_eq(strlen(fits), 31);
	memset(huge, '0', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = 0;
	ck_assert_int_eq(set_name(timer, "0123456789abcdef0123456789abcdef"), -ERANGE);
	ck_assert_int_eq(set_name(timer, NULL), 0);
	ck_assert_int_eq(set_name(timer, fits), 1);
	ck_assert_int_eq(set_name(timer, "0123456789abcdef0123456789abcdef"), -ERANGE);
	ck_assert_int_eq(set_name(timer, huge), -ERANGE);
	ck_assert_int_eq(set_name(timer, fits), 0);
}
END_TEST

START_TEST(each_timer_has_its_own_name)
{
	enum { COUNT = 300 };
	static struct asynctimer *timers[COUNT];
	char name[32];

	for (unsigned i = 0; i < COUNT; i++) {
		timers[i] = timer_new_shared(do_nothing, NULL);
		snprintf(name, sizeof(name), "timer %u", i / 2);
		ck_assert_int_eq(set_name(timers[i], name), 1);
	}
	for (unsigned i = 0; i < COUNT; i += 3)
		asynctimer_free(timers[i]);
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "timer %u", i / 2);
		if (i % 3)
			ck_assert_int_eq(set_name(timers[i], name), 0);
	}
}
END_TEST

START_TEST(a_timer_in_the_memory_of_a_named_one_has_no_name)
{
	struct asynctimer *timer = timer_new_shared(do_nothing, NULL);
	const struct asynctimer *old = timer;

	must(set_name(timer, "old"));
	asynctimer_free(timer);
	timer = timer_new_shared(do_nothing, NULL);
	ck_assert_ptr_eq(timer, old);
	ck_assert_int_eq(set_name(timer, NULL), 0);
}
END_TEST

START_TEST(freed_with_its_tick_deferred_a_timer_takes_its_name_along_in_the_end)
{
	uint64_t number = 0;
	struct asynctimer *timer = timer_new_shared(defer, &number);
	struct asynctimer *old = timer;

	must(set_name(timer, "old"));
	must(asynctimer_start_after(timer, 0));
	while (!number)
		must(asynctimer_reactor_dispatch(reactor, -1));
	asynctimer_free(old);
	must(asynctimer_complete(old, number, 0));
	timer = timer_new_shared(do_nothing, NULL);
	ck_assert_ptr_eq(timer, old);
	ck_assert_int_eq(set_name(timer, NULL), 0);
}
END_TEST

static int rename_in_callback(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	ck_assert_int_eq(set_name(watched->timer, "before"), 0);
	ck_assert_int_eq(set_name(watched->timer, "after"), 1);
	return ASYNCTIMER_DONE;
}

START_TEST(a_timer_can_be_named_in_its_own_callback)
{
	struct watched watched = { .then = rename_in_callback };

	watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	must(set_name(watched.timer, "before"));
	must(asynctimer_start(watched.timer));
	dispatch_callbacks(&watched, 1);
	ck_assert_int_eq(asynctimer_stop(watched.timer), 1);
	ck_assert_int_eq(set_name(watched.timer, "after"), 0);
}
END_TEST

START_TEST(without_memory_nothing_changes)
{
	struct asynctimer *timer = timer_new();

	no_malloc = true;
	ck_assert_int_eq(set_name(timer, "poll"), -ENOMEM);
	no_malloc = false;
	ck_assert_int_eq(set_name(timer, NULL), 0);
	no_tsearch = true;
	ck_assert_int_eq(set_name(timer, "poll"), -ENOMEM);
	no_tsearch = false;
	ck_assert_int_eq(set_name(timer, NULL), 0);
}
END_TEST

START_TEST(to_rename_takes_no_memory)
{
	struct asynctimer *timer = timer_new();

	must(set_name(timer, "poll"));
	ck_assert_uint_eq(mallocs, 1);
	no_malloc = true;
	ck_assert_int_eq(set_name(timer, "another, and a longer one"), 1);
	ck_assert_int_eq(set_name(timer, NULL), 1);
}
END_TEST

/* Counted up by a tracer that listens; NULL in a build without probes. */
extern unsigned short asynctimer_start_semaphore __attribute__((weak));
extern unsigned short asynctimer_stop_semaphore __attribute__((weak));
extern unsigned short asynctimer_tick_start_semaphore __attribute__((weak));
extern unsigned short asynctimer_tick_end_semaphore __attribute__((weak));

static int take_3_ms(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 3 * MS), 0);
	return ASYNCTIMER_DONE;
}

START_TEST(a_tracer_that_listens_changes_nothing)
{
	unsigned short *semaphores[] = {
		&asynctimer_start_semaphore, &asynctimer_stop_semaphore,
		&asynctimer_tick_start_semaphore, &asynctimer_tick_end_semaphore,
	};
	struct watched watched[2] = { { .then = take_3_ms }, { .then = take_3_ms } };

	for (unsigned i = 0; i < 4; i++) {
		if (!semaphores[i]) {
			printf("SKIP: no tracer can listen: built without probes\n");
			return;
		}
		++*semaphores[i];
	}
	use_virtual_reactor();
	for (unsigned i = 0; i < 2; i++) {
		watch_new(&watched[i], CLOCK_MONOTONIC, 7 * MS, ASYNCTIMER_FIXED_SCHEDULE);
		must(asynctimer_start_after(watched[i].timer, i * 2 * MS));
	}
	must(set_name(watched[1].timer, "named"));
	/* Due at 0 and 2, begun at 0 and 3; and so every 7 ms. */
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 69 * MS), 20);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_uint_eq(watched[i].callbacks, 10);
		ck_assert_uint_eq(watched[i].last.number, 10);
		ck_assert_uint_eq(watched[i].last.now_ns - watched[i].last.due_ns, i * MS);
		ck_assert_int_eq(asynctimer_stop(watched[i].timer), 1);
	}
	must(asynctimer_set_interval(watched[0].timer, MS));
	watched[0].interval_ns = MS;
	watched[0].restarted = true;
	must(asynctimer_start_after(watched[0].timer, 0));
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 4 * MS), 2);
	ck_assert_uint_eq(watched[0].last.skipped_busy, 3);
}
END_TEST

START_TEST(a_reactor_that_is_freed_takes_all_names_along)
{
	must(set_name(timer_new(), "a"));
	ck_assert_ptr_nonnull(allocated);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	reactor = NULL;
	ck_assert_ptr_null(allocated);
}
END_TEST

int main(void)
{
	return RUN_TESTS("names", set_name_says_whether_it_changed_the_name, the_name_is_copied,
			 a_name_of_31_bytes_fits_and_a_longer_one_changes_nothing,
			 each_timer_has_its_own_name,
			 a_timer_in_the_memory_of_a_named_one_has_no_name,
			 freed_with_its_tick_deferred_a_timer_takes_its_name_along_in_the_end,
			 a_timer_can_be_named_in_its_own_callback, without_memory_nothing_changes,
			 to_rename_takes_no_memory, a_tracer_that_listens_changes_nothing,
			 a_reactor_that_is_freed_takes_all_names_along);
}

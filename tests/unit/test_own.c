/* SPDX-License-Identifier: MIT */
/*
 * When the timerfd of an own timer is read and armed. The clock stands still, an hour
 * ahead of the kernel's, and the tests say when the timerfd has expired and how often.
 */
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "held_clock.h"
#include "internal.h"
#include "own.h"
#include "util.h"

#define INTERVAL (10 * SECOND)

static uint64_t expirations;	/* what the next read gives; 0: what the kernel says */
static uint64_t passes_ns;	/* meanwhile */
static uint64_t set_back_ns;	/* by so much the clock is, right before the next read, which says so */
static unsigned reads, settimes;
static bool refuses;		/* the next settime */
static uint64_t armed_ns;	/* for what the last settime was */
static struct watched watched;

int __real_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			  struct itimerspec *old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			  struct itimerspec *old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			  struct itimerspec *old)
{
	if (refuses) {
		refuses = false;
		errno = EPERM;
		return -1;
	}
	settimes++;
	armed_ns = (uint64_t)when->it_value.tv_sec * SECOND + (uint64_t)when->it_value.tv_nsec;
	return __real_timerfd_settime(fd, flags, when, old);
}

ssize_t __real_read(int fd, void *ret, size_t size);
ssize_t __wrap_read(int fd, void *ret, size_t size);
ssize_t __wrap_read(int fd, void *ret, size_t size)
{
	if (!held_ns || fd == reactor->event_fd || size != sizeof(expirations))
		return __real_read(fd, ret, size);
	reads++;
	held_ns += passes_ns;
	passes_ns = 0;
	if (set_back_ns) {
		held_ns -= set_back_ns;
		set_back_ns = 0;
		errno = ECANCELED;
		return -1;
	}
	if (!expirations)
		return __real_read(fd, ret, size);
	memcpy(ret, &expirations, size);
	expirations = 0;
	return (ssize_t)size;
}

/* Returns the time. */
static uint64_t hold(void)
{
	held_ns = now_mono() + HOUR;
	watch_new(&watched, CLOCK_MONOTONIC, INTERVAL, SCHEDULE);
	return held_ns;
}

/* Epoll reports it. */
static void expire(uint64_t now_ns, uint64_t count)
{
	held_ns = now_ns;
	expirations = count;
	asynctimer__own_look_at_all(reactor);
}

static void tick_at(uint64_t now_ns, uint64_t count)
{
	expire(now_ns, count);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 1);
}

/* Or it might be silent for ever, if the kernel has counted what nobody has read. */
START_TEST(where_read_gives_nothing_it_is_armed_anew)
{
	uint64_t now_ns = hold();

	must(asynctimer_start_after(watched.timer, INTERVAL));
	settimes = 0;
	expire(now_ns + SECOND, 0);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
	ck_assert_uint_eq(reads, 1);
	ck_assert_uint_eq(settimes, 1);
	ck_assert_uint_eq(armed_ns, now_ns + INTERVAL);
	let_go();
}
END_TEST

START_TEST(a_count_ahead_of_the_clock_is_not_believed_and_it_is_armed_anew)
{
	uint64_t now_ns = hold();

	must(asynctimer_start_after(watched.timer, SECOND));
	settimes = 0;
	tick_at(now_ns + SECOND, 3);
	ck_assert_uint_eq(watched.last.number, 1);
	ck_assert_uint_eq(settimes, 1);
	ck_assert_uint_eq(armed_ns, now_ns + SECOND + INTERVAL);
	ck_assert(!reactor->retry);
	let_go();
}
END_TEST

START_TEST(what_was_refused_is_tried_again_and_once_it_has_worked_no_more)
{
	uint64_t now_ns = hold();

	must(asynctimer_start_after(watched.timer, SECOND));
	settimes = 0;
	refuses = true;
	/* A count ahead of the clock, so that it has to be armed anew. */
	tick_at(now_ns + SECOND, 3);
	ck_assert(reactor->retry);
	ck_assert_uint_eq(settimes, 0);
	must(asynctimer_reactor_dispatch(reactor, 0));
	ck_assert(!reactor->retry);
	ck_assert_uint_eq(settimes, 1);
	ck_assert_uint_eq(armed_ns, now_ns + SECOND + INTERVAL);
	let_go();
}
END_TEST

/* While the tick is open a second passes after the next point, and epoll reports that. */
static int overrun(struct watched *late, const struct asynctimer_tick *tick)
{
	const uint64_t *count_and_passes = late->data;

	late->then = NULL;
	expire(tick->due_ns + INTERVAL + SECOND, count_and_passes[0]);
	passes_ns = count_and_passes[1];
	return ASYNCTIMER_DONE;
}

/* The completion's read gives count, and takes that long. Returns the first due time. */
static uint64_t run_to_overrun(uint64_t count, uint64_t until_read_ns)
{
	uint64_t count_and_passes[] = { count, until_read_ns };
	uint64_t due_ns = hold() + SECOND;

	watched.then = overrun;
	watched.data = count_and_passes;
	must(asynctimer_start_after(watched.timer, SECOND));
	settimes = 0;
	tick_at(due_ns, 1);
	ck_assert_uint_eq(reads, 2);
	return due_ns;
}

START_TEST(an_overrun_takes_one_read_more_and_no_settime)
{
	uint64_t due_ns = run_to_overrun(1, 0);

	tick_at(due_ns + 2 * INTERVAL, 1);
	ck_assert_uint_eq(watched.last.skipped_busy, 1);
	ck_assert_uint_eq(reads, 3);
	tick_at(due_ns + 3 * INTERVAL, 1);
	ck_assert_uint_eq(reads, 4);
	ck_assert_uint_eq(settimes, 0);
	let_go();
}
END_TEST

START_TEST(a_point_that_comes_between_the_completion_and_its_read_is_due)
{
	uint64_t due_ns = run_to_overrun(2, INTERVAL);

	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 1);
	ck_assert_uint_eq(watched.last.due_ns, due_ns + 2 * INTERVAL);
	ck_assert_uint_eq(watched.last.skipped_busy, 1);
	ck_assert_uint_eq(settimes, 0);
	let_go();
}
END_TEST

/* Or that edge, which comes before the claim, had been the last. */
START_TEST(what_expires_after_a_completion_has_read_is_read_or_armed_anew)
{
	uint64_t due_ns = run_to_overrun(2, INTERVAL);

	expire(held_ns, 0);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 1);
	ck_assert_uint_eq(reads, 3);
	ck_assert_uint_eq(settimes, 1);
	ck_assert_uint_eq(armed_ns, due_ns + 3 * INTERVAL);
	let_go();
}
END_TEST

static int overrun_and_set_back(struct watched *late, const struct asynctimer_tick *tick)
{
	late->then = NULL;
	expire(tick->due_ns + INTERVAL + SECOND, 1);
	set_back_ns = 6 * INTERVAL;
	return ASYNCTIMER_DONE;
}

/* The kernel says that once: a completion that went on with the old time would be silent for a minute. */
START_TEST(set_back_between_a_completion_and_its_read_a_clock_is_followed)
{
	uint64_t due_ns = hold() + SECOND;

	watched.then = overrun_and_set_back;
	must(asynctimer_start_after(watched.timer, SECOND));
	tick_at(due_ns, 1);
	ck_assert_uint_eq(reads, 2);
	ck_assert_uint_eq(asynctimer_next_due_ns(watched.timer), due_ns - 4 * INTERVAL);
	ck_assert_uint_eq(armed_ns, due_ns - 4 * INTERVAL);
	let_go();
}
END_TEST

START_TEST(what_a_completion_reads_ahead_of_the_clock_is_skipped)
{
	uint64_t due_ns = run_to_overrun(2, 0);

	ck_assert_uint_eq(asynctimer_next_due_ns(watched.timer), due_ns + 3 * INTERVAL);
	tick_at(due_ns + 3 * INTERVAL, 1);
	ck_assert_uint_eq(watched.last.skipped_busy, 2);
	let_go();
}
END_TEST

int main(void)
{
	return RUN_TESTS("own", where_read_gives_nothing_it_is_armed_anew,
			 a_count_ahead_of_the_clock_is_not_believed_and_it_is_armed_anew,
			 what_was_refused_is_tried_again_and_once_it_has_worked_no_more,
			 an_overrun_takes_one_read_more_and_no_settime,
			 a_point_that_comes_between_the_completion_and_its_read_is_due,
			 what_expires_after_a_completion_has_read_is_read_or_armed_anew,
			 set_back_between_a_completion_and_its_read_a_clock_is_followed,
			 what_a_completion_reads_ahead_of_the_clock_is_skipped);
}

/* SPDX-License-Identifier: MIT */
/* Wrong arguments, and each resource failing: nothing changes, nothing is left behind. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

#include "util.h"
#include "wrap.h"

static int answer;
#define library(call) (wrap_inside = true, answer = (call), wrap_inside = false, answer)

static void fail_once(enum wrap_call call, unsigned at, int error)
{
	wrap_fail((struct wrap_fault){ call, at, 1, error, false });
}

static struct asynctimer *const untouched = (struct asynctimer *)&answer;

/* More timers than the table of slots begins with, so that it grows. */
#define COUNT 40

/* Makes a reactor and timers, failing once on the way; the result of the call that failed, or 0. */
static int make_all_and_fail_once(enum wrap_call call, unsigned at, int error)
{
	struct asynctimer_reactor *first = reactor;
	struct watched watched[COUNT] = { { .callbacks = 0 } };
	int fds = count_fds();
	size_t mapped = wrap_mapped;
	int failed = 0, r;

	reactor = (struct asynctimer_reactor *)untouched;
	fail_once(call, at, error);
	r = library(asynctimer_reactor_new(&reactor));
	if (r < 0) {
		failed = r;
		ck_assert_ptr_eq(reactor, untouched);
		ck_assert_int_eq(count_fds(), fds);
		ck_assert_uint_eq(wrap_mapped, mapped);
		r = library(asynctimer_reactor_new(&reactor));
	}
	ck_assert_int_eq(r, 0);
	for (unsigned i = 0; i < COUNT; i++) {
		int fds_now = count_fds();
		struct asynctimer *timer = untouched;

		r = library(asynctimer_new(reactor, CLOCK_MONOTONIC, HOUR, (int)(i & 1), on_tick,
					   &watched[i], &timer));
		if (r < 0) {
			ck_assert_int_eq(failed, 0);
			failed = r;
			ck_assert_ptr_eq(timer, untouched);
			ck_assert_int_eq(count_fds(), fds_now);
			r = library(asynctimer_new(reactor, CLOCK_MONOTONIC, HOUR, (int)(i & 1), on_tick,
						   &watched[i], &timer));
		}
		ck_assert_int_eq(r, 0);
		watched[i].timer = timer;
	}
	wrap_end();
	/* All of them work, each gets its own event. */
	for (unsigned i = 0; i < COUNT; i++) {
		must(asynctimer_start_after(watched[i].timer, 0));
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
		ck_assert_uint_eq(watched[i].callbacks, 1);
	}
	for (unsigned i = 0; i < COUNT; i += 2)
		asynctimer_free(watched[i].timer);
	ck_assert_int_eq(library(asynctimer_reactor_free(reactor)), 0);
	ck_assert_int_eq(count_fds(), fds);
	ck_assert_uint_eq(wrap_mapped, mapped);
	reactor = first;
	return failed;
}

static void fail_each(enum wrap_call call, int error, int expected)
{
	unsigned at = 1;
	int r;

	while ((r = make_all_and_fail_once(call, at, error)) != 0) {
		ck_assert_int_eq(r, expected);
		at++;
	}
	ck_assert_msg(at > 1, "%s was never called", wrap_name(call));
}

START_TEST(out_of_memory_is_answered)
{
	fail_each(WRAP_MEMALIGN, ENOMEM, -ENOMEM);
	fail_each(WRAP_CALLOC, ENOMEM, -ENOMEM);
	fail_each(WRAP_REALLOC, ENOMEM, -ENOMEM);
	fail_each(WRAP_MMAP, ENOMEM, -ENOMEM);
	fail_each(WRAP_MADVISE, ENOMEM, -ENOMEM);
	fail_each(WRAP_EPOLL_CREATE1, ENOMEM, -ENOMEM);
	fail_each(WRAP_EVENTFD, ENOMEM, -ENOMEM);
	fail_each(WRAP_TIMERFD_CREATE, ENOMEM, -ENOMEM);
	fail_each(WRAP_EPOLL_ADD, ENOMEM, -ENOMEM);
	fail_each(WRAP_ATTR_INIT, ENOMEM, -ENOMEM);
	fail_each(WRAP_MUTEX_INIT, ENOMEM, -ENOMEM);
	fail_each(WRAP_COND_INIT, ENOMEM, -ENOMEM);
}
END_TEST

START_TEST(out_of_descriptors_or_watches_is_answered)
{
	const int errors[] = { EMFILE, ENFILE };

	for (unsigned i = 0; i < 2; i++) {
		fail_each(WRAP_EPOLL_CREATE1, errors[i], -errors[i]);
		fail_each(WRAP_EVENTFD, errors[i], -errors[i]);
		fail_each(WRAP_TIMERFD_CREATE, errors[i], -errors[i]);
	}
	fail_each(WRAP_EPOLL_ADD, ENOSPC, -ENOSPC);
}
END_TEST

START_TEST(what_fails_again_and_again_takes_no_memory)
{
	struct asynctimer *timer;

	for (unsigned i = 0; i < 100; i++) {
		fail_once(WRAP_EPOLL_ADD, 1, ENOSPC);
		ck_assert_int_eq(library(asynctimer_new(reactor, CLOCK_MONOTONIC, HOUR, 0, on_tick,
							NULL, &timer)), -ENOSPC);
	}
	wrap_end();
	/* The table of slots, made by the first, never grew. */
	ck_assert_uint_le(wrap_calls[WRAP_REALLOC], 1);
}
END_TEST

START_TEST(a_kernel_without_wipeonfork_is_answered)
{
	fail_each(WRAP_MADVISE, EINVAL, -EOPNOTSUPP);
}
END_TEST

START_TEST(a_filter_that_refuses_madvise_is_answered_as_it_says)
{
	fail_each(WRAP_MADVISE, EPERM, -EPERM);
}
END_TEST

START_TEST(a_descriptor_that_others_closed_or_replaced_is_answered)
{
	const int expected[] = { -EBADF, -EINVAL };
	int null = must(open("/dev/null", O_RDWR | O_CLOEXEC));

	for (unsigned i = 0; i < 2; i++) {
		struct asynctimer_reactor *other;
		int fd;

		must(asynctimer_reactor_new(&other));
		fd = asynctimer_reactor_fd(other);
		if (i == 0)
			close(fd);
		else
			ck_assert_int_eq(must(dup2(null, fd)), fd);
		ck_assert_int_eq(asynctimer_reactor_run(other), expected[i]);
		ck_assert_int_eq(asynctimer_reactor_dispatch(other, -1), expected[i]);
		ck_assert_int_eq(asynctimer_reactor_dispatch(other, MS), expected[i]);
		ck_assert_int_eq(asynctimer_reactor_dispatch(other, 0), expected[i]);
		must(asynctimer_reactor_free(other));
	}
	close(null);
}
END_TEST

/* Lets that many more descriptors be opened. */
static void allow_descriptors(int count, struct rlimit *ret)
{
	struct rlimit limit;
	int last = -1;
	int fds[8];

	ck_assert_int_lt(count, 8);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	*ret = limit;
	for (int i = 0; i <= count; i++)
		last = fds[i] = must(dup(0));
	for (int i = 0; i <= count; i++)
		close(fds[i]);
	limit.rlim_cur = (rlim_t)last;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

START_TEST(the_limit_of_descriptors_is_answered)
{
	struct asynctimer_reactor *other;
	struct watched watched = { .callbacks = 0 };
	struct rlimit limit;

	for (int count = 0; count <= 2; count++) {
		int r;

		other = (struct asynctimer_reactor *)untouched;
		allow_descriptors(count, &limit);
		r = asynctimer_reactor_new(&other);
		setrlimit(RLIMIT_NOFILE, &limit);
		ck_assert_int_eq(r, count < 2 ? -EMFILE : 0);
		if (r < 0)
			ck_assert_ptr_eq(other, untouched);
		else
			must(asynctimer_reactor_free(other));
	}
	for (int count = 0; count <= 1; count++) {
		int r;

		watched.timer = untouched;
		allow_descriptors(count, &limit);
		r = asynctimer_new(reactor, CLOCK_BOOTTIME, MS, ASYNCTIMER_FIXED_DELAY, on_tick, &watched,
				   &watched.timer);
		if (r == 0) {
			/* Nothing more is needed to tick. */
			watched.clock = CLOCK_BOOTTIME;
			for (unsigned i = 1; i <= 3; i++) {
				must(asynctimer_start(watched.timer));
				ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
				must(asynctimer_stop(watched.timer));
			}
		}
		setrlimit(RLIMIT_NOFILE, &limit);
		ck_assert_int_eq(r, count < 1 ? -EMFILE : 0);
		if (r < 0)
			ck_assert_ptr_eq(watched.timer, untouched);
	}
}
END_TEST

/* Standard input, output and error are closed from one to the other. */
static int kept[3];

static void close_standard(void)
{
	for (int fd = 0; fd < 3; fd++) {
		kept[fd] = must(fcntl(fd, F_DUPFD_CLOEXEC, 100));
		close(fd);
	}
}

static void reopen_standard(void)
{
	for (int fd = 0; fd < 3; fd++) {
		int r = dup2(kept[fd], fd);

		close(kept[fd]);
		must(r);
	}
}

START_TEST(a_descriptor_that_cannot_leave_0_to_2_is_answered_and_closed)
{
	struct asynctimer *timer = untouched;
	int fds = count_fds();

	close_standard();
	fail_each(WRAP_FCNTL, EMFILE, -EMFILE);
	fail_each(WRAP_FCNTL, EPERM, -EPERM);
	/* The first of a shared timer's pair, and the second. */
	for (unsigned at = 1; at <= 2; at++) {
		fail_once(WRAP_FCNTL, at, EPERM);
		ck_assert_int_eq(library(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, MS, 0, 0,
							       on_tick, NULL, &timer)), -EPERM);
		ck_assert_uint_eq(wrap_end(), 1);
		ck_assert_ptr_eq(timer, untouched);
		ck_assert_int_eq(count_fds(), fds);
	}
	reopen_standard();
}
END_TEST

START_TEST(a_limit_that_leaves_0_to_2_alone_is_answered)
{
	struct asynctimer_reactor *other = (struct asynctimer_reactor *)untouched;
	struct asynctimer *timer = untouched;
	struct rlimit limit, low;
	int fds = count_fds();
	int r[3];

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	close_standard();
	for (rlim_t most = 1; most <= 3; most++) {
		low = (struct rlimit){ most, limit.rlim_max };
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
		r[0] = asynctimer_reactor_new(&other);
		r[1] = asynctimer_new(reactor, CLOCK_MONOTONIC, MS, 0, on_tick, NULL, &timer);
		r[2] = asynctimer_new_shared(reactor, CLOCK_MONOTONIC, MS, 0, 0, on_tick, NULL,
					     &timer);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(r[i], -EMFILE);
		ck_assert_ptr_eq(other, untouched);
		ck_assert_ptr_eq(timer, untouched);
		ck_assert_int_eq(count_fds(), fds);
	}
	reopen_standard();
}
END_TEST

static int do_nothing(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	(void)data;
	return ASYNCTIMER_DONE;
}

START_TEST(start_stop_and_ticks_acquire_nothing)
{
	struct asynctimer *timers[2];
	struct rlimit limit;

	for (int i = 0; i < 2; i++)
		must(asynctimer_new(reactor, CLOCK_MONOTONIC, 100 * US, i, do_nothing, NULL, &timers[i]));
	allow_descriptors(0, &limit);
	for (enum wrap_call call = WRAP_NONE; call < WRAP_CALLS; call++) {
		struct asynctimer_stats stats;

		if (!wrap_acquires(call))
			continue;
		fail_once(call, 1, ENOMEM);
		for (int i = 0; i < 2; i++) {
			int r[6];

			r[0] = library(asynctimer_start(timers[i]));
			r[1] = library(asynctimer_reactor_dispatch(reactor, -1));
			r[2] = library(asynctimer_set_interval(timers[i], 200 * US));
			r[3] = library(asynctimer_set_interval(timers[i], 100 * US));
			r[4] = library(asynctimer_stop(timers[i]));
			r[5] = library(asynctimer_get_stats(timers[i], &stats));
			for (int j = 0; j < 5; j++)
				ck_assert_int_eq(r[j], 1);
			ck_assert_int_eq(r[5], 0);
		}
		/* Nobody made the call. */
		ck_assert_uint_eq(wrap_end(), 0);
	}
	setrlimit(RLIMIT_NOFILE, &limit);
}
END_TEST

static int refuse_new(struct asynctimer_reactor *on, int clock, uint64_t interval_ns, int policy,
		      asynctimer_callback callback)
{
	struct asynctimer *timer = untouched;
	int fds = count_fds();
	int r = asynctimer_new(on, clock, interval_ns, policy, callback, NULL, &timer);

	ck_assert_ptr_eq(timer, untouched);
	ck_assert_int_eq(count_fds(), fds);
	return r;
}

START_TEST(new_refuses_what_it_does_not_know)
{
	const int clocks[] = { CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW,
			       CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_REALTIME_ALARM,
			       CLOCK_BOOTTIME_ALARM, CLOCK_TAI, -1, INT_MIN, INT_MAX, 12345 };
	const int policies[] = { -1, 3, INT_MIN, INT_MAX };
	const uint64_t intervals[] = { 0, (UINT64_C(1) << 62) + 1, INT64_MAX, UINT64_MAX };
	const int good = ASYNCTIMER_FIXED_SCHEDULE;
	struct asynctimer *timer;

	for (unsigned i = 0; i < sizeof(clocks) / sizeof(*clocks); i++)
		for (int policy = 0; policy < 3; policy++)
			ck_assert_int_eq(refuse_new(reactor, clocks[i], MS, policy, on_tick), -EINVAL);
	for (unsigned i = 0; i < sizeof(policies) / sizeof(*policies); i++)
		ck_assert_int_eq(refuse_new(reactor, CLOCK_MONOTONIC, MS, policies[i], on_tick), -EINVAL);
	for (unsigned i = 0; i < sizeof(intervals) / sizeof(*intervals); i++)
		for (int policy = 0; policy < 3; policy++)
			ck_assert_int_eq(refuse_new(reactor, CLOCK_MONOTONIC, intervals[i], policy, on_tick),
					 -EINVAL);
	ck_assert_int_eq(refuse_new(reactor, CLOCK_REALTIME, MS, ASYNCTIMER_FIXED_DELAY, on_tick), -EINVAL);
	ck_assert_int_eq(refuse_new(NULL, CLOCK_MONOTONIC, MS, good, on_tick), -EINVAL);
	ck_assert_int_eq(refuse_new(reactor, CLOCK_MONOTONIC, MS, good, NULL), -EINVAL);
	ck_assert_int_eq(asynctimer_new(reactor, CLOCK_MONOTONIC, MS, good, on_tick, NULL, NULL), -EINVAL);
	/* The edges of what it takes. */
	ck_assert_int_eq(asynctimer_new(reactor, CLOCK_MONOTONIC, 1, good, on_tick, NULL, &timer), 0);
	ck_assert_int_eq(asynctimer_new(reactor, CLOCK_REALTIME, UINT64_C(1) << 62, good, on_tick, NULL,
					&timer), 0);
	ck_assert_int_eq(asynctimer_new(reactor, CLOCK_BOOTTIME, UINT64_C(1) << 62, ASYNCTIMER_FIXED_DELAY,
					on_tick, NULL, &timer), 0);
	ck_assert_ptr_null(asynctimer_get_data(timer));
	ck_assert_int_eq(asynctimer_start(timer), 1);
}
END_TEST

/* Nothing of the timer changes over what is refused. */
struct snapshot {
	struct asynctimer_stats stats;
	uint64_t next_due_ns;
	int started;
};

static struct snapshot look(const struct asynctimer *timer)
{
	struct snapshot snapshot = {
		.next_due_ns = asynctimer_next_due_ns(timer),
		.started = asynctimer_is_started(timer),
	};

	must(asynctimer_get_stats(timer, &snapshot.stats));
	return snapshot;
}

static void refuse_arguments(struct asynctimer *timer)
{
	const uint64_t intervals[] = { 0, (UINT64_C(1) << 62) + 1, UINT64_MAX };
	const uint64_t delays[] = { (UINT64_C(1) << 62) + 1, INT64_MAX, UINT64_MAX };
	const uint64_t anchors[] = { UINT64_C(1) << 63, UINT64_MAX };
	const int results[] = { 1, ASYNCTIMER_PENDING, INT_MAX };
	struct snapshot before = look(timer), after;

	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(asynctimer_set_interval(timer, intervals[i]), -EINVAL);
		ck_assert_int_eq(asynctimer_start_after(timer, delays[i]), -EINVAL);
		ck_assert_int_eq(asynctimer_restart_after(timer, delays[i]), -EINVAL);
		ck_assert_int_eq(asynctimer_complete(timer, 1, results[i]), -EINVAL);
	}
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(asynctimer_start_at(timer, anchors[i]), -EINVAL);
	ck_assert_int_eq(asynctimer_get_stats(timer, NULL), -EINVAL);
	after = look(timer);
	ck_assert_mem_eq(&before, &after, sizeof(before));
}

START_TEST(a_refused_argument_changes_nothing)
{
	for (int policy = 0; policy < 3; policy++) {
		struct watched watched = { .result = ASYNCTIMER_PENDING };

		watch_new(&watched, CLOCK_MONOTONIC, HOUR, policy);
		refuse_arguments(watched.timer);
		must(asynctimer_start(watched.timer));
		refuse_arguments(watched.timer);
		must(asynctimer_stop(watched.timer));
		must(asynctimer_start_after(watched.timer, 0));
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
		refuse_arguments(watched.timer);
		must(asynctimer_complete(watched.timer, 1, 0));
		refuse_arguments(watched.timer);
		ck_assert_int_eq(asynctimer_stop(watched.timer), policy != ONCE);
		/* The edges. */
		ck_assert_int_eq(asynctimer_start_after(watched.timer, UINT64_C(1) << 62), 1);
		ck_assert_int_eq(asynctimer_stop(watched.timer), 1);
		ck_assert_int_eq(asynctimer_start_at(watched.timer, INT64_MAX), 1);
		ck_assert_uint_eq(asynctimer_next_due_ns(watched.timer), INT64_MAX);
		ck_assert_int_eq(asynctimer_set_interval(watched.timer, UINT64_C(1) << 62), 1);
		ck_assert_int_eq(asynctimer_set_interval(watched.timer, UINT64_C(1) << 62), 0);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
	}
}
END_TEST

START_TEST(null_is_answered_everywhere)
{
	struct asynctimer_stats stats;

	ck_assert_int_eq(asynctimer_reactor_new(NULL), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_free(NULL), 0);
	ck_assert_int_eq(asynctimer_reactor_run(NULL), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_dispatch(NULL, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_dispatch(NULL, -1), -EINVAL);
	asynctimer_reactor_stop(NULL);
	ck_assert_int_eq(asynctimer_reactor_restart(NULL), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_fd(NULL), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_advance(NULL, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_set_spin(NULL, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_set_clock(NULL, CLOCK_REALTIME, 0), -EINVAL);
	asynctimer_free(NULL);
	asynctimer_free_nowait(NULL);
	asynctimer_set_release(NULL, free);
	ck_assert_int_eq(asynctimer_set_interval(NULL, MS), -EINVAL);
	ck_assert_int_eq(asynctimer_set_error_handler(NULL, NULL), -EINVAL);
	ck_assert_int_eq(asynctimer_set_name(NULL, "none"), -EINVAL);
	ck_assert_int_eq(asynctimer_start(NULL), -EINVAL);
	ck_assert_int_eq(asynctimer_start_after(NULL, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_start_at(NULL, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_restart_after(NULL, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_stop(NULL), -EINVAL);
	ck_assert_int_eq(asynctimer_stop_nowait(NULL), -EINVAL);
	ck_assert_int_eq(asynctimer_complete(NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_is_started(NULL), 0);
	ck_assert_uint_eq(asynctimer_now_ns(NULL), 0);
	ck_assert_uint_eq(asynctimer_next_due_ns(NULL), UINT64_MAX);
	ck_assert_int_eq(asynctimer_get_stats(NULL, &stats), -EINVAL);
	ck_assert_ptr_null(asynctimer_get_reactor(NULL));
	ck_assert_ptr_null(asynctimer_get_data(NULL));
	ck_assert_ptr_nonnull(asynctimer_version());
}
END_TEST

START_TEST(a_stop_of_the_reactor_keeps_errno_for_who_was_interrupted)
{
	fail_once(WRAP_WRITE, 1, EINTR);
	errno = ENOTTY;
	wrap_inside = true;
	asynctimer_reactor_stop(reactor);
	wrap_inside = false;
	ck_assert_int_eq(errno, ENOTTY);
	ck_assert_uint_eq(wrap_end(), 1);
}
END_TEST

int main(void)
{
	return RUN_TESTS("errors",
			 out_of_memory_is_answered,
			 out_of_descriptors_or_watches_is_answered,
			 what_fails_again_and_again_takes_no_memory,
			 a_kernel_without_wipeonfork_is_answered,
			 a_filter_that_refuses_madvise_is_answered_as_it_says,
			 a_descriptor_that_others_closed_or_replaced_is_answered,
			 the_limit_of_descriptors_is_answered,
			 a_descriptor_that_cannot_leave_0_to_2_is_answered_and_closed,
			 a_limit_that_leaves_0_to_2_alone_is_answered,
			 start_stop_and_ticks_acquire_nothing,
			 new_refuses_what_it_does_not_know,
			 a_refused_argument_changes_nothing,
			 null_is_answered_everywhere,
			 a_stop_of_the_reactor_keeps_errno_for_who_was_interrupted);
}

/* SPDX-License-Identifier: MIT */
/* The loop: waiting, bounds, embedding in other loops, signals, stop and restart. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"
#include "util.h"

#define MANY 300	/* more than one harvest takes */

/* Of the library's calls: what comes in between, and what the kernel refuses. */

static bool stop_before_read;		/* a stop comes right before the next read of eight bytes */
static uint64_t late_read_ns;		/* not 0: or the next point of the grid through there */
#define GRID (50 * MS)
static bool refusing;			/* to arm, and to wait for a time */
static bool refuse_once;		/* to arm */
static unsigned refusals;

ssize_t __real_read(int fd, void *to, size_t size);
ssize_t __wrap_read(int fd, void *to, size_t size);
ssize_t __wrap_read(int fd, void *to, size_t size)
{
	if (stop_before_read && size == 8) {
		stop_before_read = false;
		asynctimer_reactor_stop(reactor);
	}
	if (late_read_ns && size == 8) {
		spin_until(CLOCK_MONOTONIC,
			   late_read_ns + ((now_mono() - late_read_ns) / GRID + 1) * GRID);
		late_read_ns = 0;
	}
	return __real_read(fd, to, size);
}

static int refuse(void)
{
	refusals++;
	errno = EPERM;
	return -1;
}

int __real_timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *ret);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *ret);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *ret)
{
	if (refuse_once) {
		refuse_once = false;
		return refuse();
	}
	return refusing ? refuse() : __real_timerfd_settime(fd, flags, when, ret);
}

int __real_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		 const sigset_t *mask);
int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		 const sigset_t *mask);
int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		 const sigset_t *mask)
{
	return refusing ? refuse() : __real_ppoll(fds, count, timeout, mask);
}

static void start_now(struct watched *watched)
{
	watched->restarted = true;
	must(asynctimer_start_after(watched->timer, 0));
}

/* Stopped timers, of which none comes due by itself. */
static struct watched *many_new(unsigned count)
{
	struct watched *many = calloc(count, sizeof(*many));

	ck_assert_ptr_nonnull(many);
	for (unsigned i = 0; i < count; i++)
		watch_new(&many[i], CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	return many;
}

static unsigned sum(const struct watched *many, unsigned count)
{
	unsigned callbacks = 0;

	for (unsigned i = 0; i < count; i++)
		callbacks += many[i].callbacks;
	return callbacks;
}

static void many_free(struct watched *many, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		asynctimer_free(many[i].timer);
	free(many);
}

START_TEST(dispatch_waits_no_less_than_asked)
{
	uint64_t before_ns = now_mono();

	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 1), 0);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 20 * (int64_t)MS), 0);
	ck_assert_uint_ge(now_mono(), before_ns + 20 * MS);
}
END_TEST

START_TEST(dispatch_waits_no_longer_than_for_the_next_tick)
{
	const int64_t timeouts[] = { -1, INT64_MIN, INT64_MAX, 3600 * (int64_t)ASYNCTIMER_SECOND };
	struct watched watched = { .callbacks = 0 };

	watch_new(&watched, CLOCK_MONOTONIC, 2 * MS, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(watched.timer));
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, timeouts[i]), 1);
	ck_assert_uint_eq(watched.callbacks, 4);
}
END_TEST

START_TEST(dispatch_does_not_wait_when_a_tick_is_due)
{
	struct watched *many = many_new(3);

	for (unsigned i = 0; i < 3; i++)
		start_now(&many[i]);
	await(expired() == 3);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 3);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
	many_free(many, 3);
}
END_TEST

START_TEST(dispatch_waits_as_asked_where_no_descriptor_is_allowed)
{
	struct watched watched = { .callbacks = 0 };
	struct rlimit limit, none;
	uint64_t before_ns = now_mono();

	watch_new(&watched, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(getrlimit(RLIMIT_NOFILE, &limit));
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
	must(setrlimit(RLIMIT_NOFILE, &none));
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 1), 0);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 20 * (int64_t)MS), 0);
	ck_assert_uint_ge(now_mono(), before_ns + 20 * MS);
	for (int64_t timeout_ns = HOUR; timeout_ns <= 1000 * (int64_t)HOUR; timeout_ns *= 1000) {
		watched.restarted = true;
		must(asynctimer_start_after(watched.timer, 2 * MS));
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, timeout_ns), 1);
		must(asynctimer_stop(watched.timer));
	}
	must(setrlimit(RLIMIT_NOFILE, &limit));
}
END_TEST

/* An event of a timer that is not due any more must not end the wait: the next tick does. */
START_TEST(dispatch_waits_on_after_an_event_that_was_nobodys)
{
	struct watched watched = { .callbacks = 0 };
	uint64_t before_ns = now_mono();

	/* The eventfd is readable, and nothing is due. */
	asynctimer_reactor_stop(reactor);
	must(asynctimer_reactor_restart(reactor));
	ck_assert(is_readable(reactor));
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 5 * (int64_t)MS), 0);
	ck_assert_uint_ge(now_mono(), before_ns + 5 * MS);
	asynctimer_reactor_stop(reactor);
	must(asynctimer_reactor_restart(reactor));
	watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(watched.timer));
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
}
END_TEST

static int make_another_due(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct watched *other = watched->data;

	(void)tick;
	other->restarted = watched->restarted = true;
	must(asynctimer_stop(other->timer));
	must(asynctimer_start_after(other->timer, 0));
	await(expired() >= 1);
	return ASYNCTIMER_DONE;
}

START_TEST(dispatch_leaves_what_comes_due_meanwhile_to_the_next)
{
	struct watched a = { .then = make_another_due }, b = { .then = make_another_due };

	watch_new(&a, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	watch_new(&b, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	a.data = &b;
	b.data = &a;
	must(asynctimer_start_after(a.timer, 0));
	for (unsigned i = 1; i <= 6; i++) {
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
		ck_assert_uint_eq(a.callbacks + b.callbacks, i);
	}
}
END_TEST

static int make_due_and_take_long(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct watched *behind = watched->data;

	(void)tick;
	must(asynctimer_start_after(behind->timer, 20 * MS));
	spin_until(behind->clock, asynctimer_next_due_ns(behind->timer) + MS);
	return ASYNCTIMER_DONE;
}

START_TEST(dispatch_leaves_what_comes_due_behind_an_own_timer_to_the_next)
{
	const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };

	for (unsigned i = 0; i < 3; i++) {
		struct watched slow = { .then = make_due_and_take_long };
		struct watched with = { .callbacks = 0 }, behind = { .callbacks = 0 };
		int before;

		watch_new(&slow, CLOCK_MONOTONIC, HOUR, SCHEDULE);
		watch_new_shared(&with, clocks[i], HOUR, SCHEDULE, 0);
		watch_new_shared(&behind, clocks[i], HOUR, SCHEDULE, 0);
		slow.data = &behind;
		before = expired();
		must(asynctimer_start_after(with.timer, 0));
		must(asynctimer_start_after(slow.timer, 0));
		await(expired() > before);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 2);
		ck_assert_uint_eq(behind.callbacks, 0);
		ck_assert(is_readable(reactor));
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 1);
		ck_assert_uint_eq(behind.callbacks, 1);
		asynctimer_free(slow.timer);
		asynctimer_free(with.timer);
		asynctimer_free(behind.timer);
	}
}
END_TEST

START_TEST(dispatch_is_bounded_however_short_the_interval)
{
	struct watched watched = { .callbacks = 0 };

	watch_new(&watched, CLOCK_MONOTONIC, 1, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(watched.timer));
	for (unsigned i = 1; i <= 100; i++)
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
	ck_assert_uint_eq(watched.callbacks, 100);
}
END_TEST

START_TEST(dispatch_comes_to_all_that_is_due)
{
	struct watched *many = many_new(MANY);

	for (unsigned round = 1; round <= 3; round++) {
		unsigned ran = 0;

		for (unsigned i = 0; i < MANY; i++) {
			must(asynctimer_stop(many[i].timer));
			start_now(&many[i]);
		}
		await(expired() >= MANY);
		while (ran < MANY)
			ran += (unsigned)must(asynctimer_reactor_dispatch(reactor, -1));
		for (unsigned i = 0; i < MANY; i++)
			ck_assert_uint_eq(many[i].callbacks, round);
	}
	many_free(many, MANY);
}
END_TEST

/* A host loop: waits with a descriptor of its own, dispatches once each time that is reported. */
struct host {
	int fd;
	uint32_t events;	/* of an epoll, 0: poll */
};

static void host_new(struct host *host)
{
	struct epoll_event event = { .events = host->events };

	if (!host->events)
		return;
	host->fd = must(epoll_create1(EPOLL_CLOEXEC));
	ck_assert_int_eq(epoll_ctl(host->fd, EPOLL_CTL_ADD, asynctimer_reactor_fd(reactor), &event), 0);
}

static int host_hears(struct host *host, int timeout_ms)
{
	struct pollfd pollfd = { .fd = asynctimer_reactor_fd(reactor), .events = POLLIN };
	struct epoll_event event;

	if (host->events)
		return epoll_wait(host->fd, &event, 1, timeout_ms);
	return poll(&pollfd, 1, timeout_ms);
}

/* Not a time bound on the library: a descriptor that stays silent that long was forgotten. */
static void host_wait(struct host *host)
{
	ck_assert_msg(host_hears(host, 60000) == 1, "the reactor's descriptor fell silent");
}

static void host_free(struct host *host)
{
	if (host->events)
		close(host->fd);
}

static void embed(uint32_t events)
{
	struct watched *many = many_new(MANY);
	struct watched periodic = { .callbacks = 0 };
	struct host host = { .events = events };

	host_new(&host);
	for (unsigned i = 0; i < MANY; i++)
		start_now(&many[i]);
	await(expired() >= MANY);
	while (sum(many, MANY) < MANY) {
		host_wait(&host);
		must(asynctimer_reactor_dispatch(reactor, 0));
	}
	/* One after the other, then a periodic one, an overrunning one and a deferred one. */
	for (unsigned i = 0; i < 20; i++) {
		must(asynctimer_stop(many[i].timer));
		start_now(&many[i]);
		while (many[i].callbacks < 2) {
			host_wait(&host);
			must(asynctimer_reactor_dispatch(reactor, 0));
		}
	}
	watch_new(&periodic, CLOCK_MONOTONIC, 200 * US, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(periodic.timer));
	while (periodic.callbacks < 60) {
		if (periodic.callbacks > 20)
			periodic.work_ns = 300 * US;
		if (periodic.callbacks > 40)
			periodic.result = ASYNCTIMER_PENDING;
		host_wait(&host);
		must(asynctimer_reactor_dispatch(reactor, 0));
		asynctimer_complete(periodic.timer, periodic.last.number, 0);
	}
	asynctimer_free(periodic.timer);
	host_free(&host);
	many_free(many, MANY);
}

START_TEST(embedded_in_poll_no_tick_is_lost)
{
	embed(0);
}
END_TEST

START_TEST(embedded_in_a_level_triggered_epoll_no_tick_is_lost)
{
	embed(EPOLLIN);
}
END_TEST

START_TEST(embedded_in_an_edge_triggered_epoll_no_tick_is_lost)
{
	embed(EPOLLIN | EPOLLET);
}
END_TEST

static int overrun_and_read_late(struct watched *watched, const struct asynctimer_tick *tick)
{
	if (watched->callbacks % 2) {
		spin_until(CLOCK_MONOTONIC, tick->due_ns + GRID);
		late_read_ns = tick->due_ns;
	}
	return ASYNCTIMER_DONE;
}

/*
 * It came due between the reading of the clock and that of the count, which
 * took its edge away. The edge of the next point would come an interval later.
 */
static void hears_what_a_completion_counts(uint32_t events)
{
	struct watched watched = { .then = overrun_and_read_late };
	struct host host = { .events = events };

	host_new(&host);
	watch_new(&watched, CLOCK_MONOTONIC, GRID, SCHEDULE);
	must(asynctimer_start(watched.timer));
	for (unsigned i = 1; i <= 4; i++) {
		while (watched.callbacks < 2 * i - 1) {
			host_wait(&host);
			must(asynctimer_reactor_dispatch(reactor, 0));
		}
		ck_assert_uint_eq(late_read_ns, 0);
		ck_assert_int_eq(host_hears(&host, 0), 1);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 1);
		ck_assert_uint_eq(watched.callbacks, 2 * i);
	}
	host_free(&host);
}

START_TEST(a_host_hears_of_the_point_that_a_completion_has_counted)
{
	hears_what_a_completion_counts(0);
}
END_TEST

START_TEST(an_edge_triggered_host_hears_of_the_point_that_a_completion_has_counted)
{
	hears_what_a_completion_counts(EPOLLIN | EPOLLET);
}
END_TEST

static int stop_reactor_at_10(struct watched *watched, const struct asynctimer_tick *tick)
{
	unsigned *ran = watched->data;

	(void)tick;
	if (++*ran == 10)
		asynctimer_reactor_stop(reactor);
	return ASYNCTIMER_DONE;
}

START_TEST(after_restart_an_edge_triggered_host_hears_what_was_left)
{
	struct watched *many = many_new(MANY);
	struct host host = { .events = EPOLLIN | EPOLLET };
	unsigned ran = 0;

	host_new(&host);
	for (unsigned i = 0; i < MANY; i++) {
		many[i].then = stop_reactor_at_10;
		many[i].data = &ran;
		start_now(&many[i]);
	}
	await(expired() >= MANY);
	host_wait(&host);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 10);
	host_wait(&host);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), 1);
	while (sum(many, MANY) < MANY) {
		host_wait(&host);
		must(asynctimer_reactor_dispatch(reactor, 0));
	}
	host_free(&host);
	many_free(many, MANY);
}
END_TEST

START_TEST(stopped_in_a_batch_the_rest_waits_for_restart)
{
	struct watched *many = many_new(20);
	unsigned ran = 0;

	for (unsigned i = 0; i < 20; i++) {
		many[i].then = stop_reactor_at_10;
		many[i].data = &ran;
		start_now(&many[i]);
	}
	await(expired() == 20);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 10);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 0);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 3600 * (int64_t)ASYNCTIMER_SECOND), 0);
		ck_assert_int_eq(asynctimer_reactor_run(reactor), 0);
		asynctimer_reactor_stop(reactor);
	}
	ck_assert_uint_eq(ran, 10);
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), 1);
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), 0);
	while (ran < 20)
		must(asynctimer_reactor_dispatch(reactor, -1));
	for (unsigned i = 0; i < 20; i++)
		ck_assert_uint_eq(many[i].callbacks, 1);
	many_free(many, 20);
}
END_TEST

static bool stop_at_harvest;

static void stop_when_harvested(enum asynctimer__test_point point, struct asynctimer *timer)
{
	(void)timer;
	if (point != ASYNCTIMER__HARVESTED || !stop_at_harvest)
		return;
	stop_at_harvest = false;
	asynctimer_reactor_stop(reactor);
}

/* The kernel tells one thread once: that one keeps it for the restart. */
static void is_stopped_with_its_event(int clock, int policy, bool shared)
{
	struct watched watched = { .callbacks = 0 };

	if (shared)
		watch_new_shared(&watched, clock, HOUR, policy, 0);
	else
		watch_new(&watched, clock, HOUR, policy);
	must(asynctimer_start_after(watched.timer, MS));
	await(is_readable(reactor));
	stop_at_harvest = true;
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 0);
	ck_assert(!stop_at_harvest);
	ck_assert_uint_eq(watched.callbacks, 0);
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), 1);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 1);
	/* And so it goes on. */
	for (unsigned i = 0; i < 3; i++) {
		must(asynctimer_stop(watched.timer));
		start_now(&watched);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
	}
	asynctimer_free(watched.timer);
}

START_TEST(stopped_when_it_has_been_told_of_a_tick_it_runs_that_after_restart)
{
	asynctimer__test_hook = stop_when_harvested;
	for (int shared = 0; shared < 2; shared++) {
		FOR_BOTH_POLICIES(policy) {
			is_stopped_with_its_event(CLOCK_MONOTONIC, policy, shared);
			is_stopped_with_its_event(CLOCK_BOOTTIME, policy, shared);
		}
		is_stopped_with_its_event(CLOCK_REALTIME, SCHEDULE, shared);
	}
}
END_TEST

START_TEST(stopped_before_run_it_starts_no_callback)
{
	struct watched watched = { .callbacks = 0 };

	watch_new(&watched, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	start_now(&watched);
	await(expired() == 1);
	asynctimer_reactor_stop(reactor);
	ck_assert_int_eq(asynctimer_reactor_run(reactor), 0);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 0);
	ck_assert_uint_eq(watched.callbacks, 0);
	/* Its functions work all the same. */
	ck_assert_int_eq(asynctimer_stop(watched.timer), 1);
	start_now(&watched);
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), 1);
	while (!watched.callbacks)
		must(asynctimer_reactor_dispatch(reactor, -1));
	ck_assert_uint_eq(watched.callbacks, 1);
}
END_TEST

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
	(void)number;
	signals++;
}

/* Signals that thread until told to end: one of them comes while it waits. */
struct signaller {
	pthread_t target;
	int end;
};

static void *keep_signalling(void *data)
{
	struct signaller *signaller = data;

	while (!flag_get(&signaller->end)) {
		pthread_kill(signaller->target, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

static void handle_signals(int flags)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
}

START_TEST(a_signal_ends_dispatch)
{
	struct signaller signaller = { .target = pthread_self() };
	pthread_t thread;

	/* SA_RESTART makes no difference: signal(7). */
	handle_signals(SA_RESTART);
	thread = thread_new(keep_signalling, &signaller);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), -EINTR);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 3600 * (int64_t)ASYNCTIMER_SECOND), -EINTR);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
	flag_set(&signaller.end);
	thread_join(thread);
	ck_assert_int_gt(signals, 0);
	/* Nothing is broken by it. */
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 1), 0);
}
END_TEST

START_TEST(signals_do_not_end_run)
{
	struct watched watched = { .stop_after = 20 };
	struct signaller signaller = { .target = pthread_self() };
	pthread_t thread;

	handle_signals(0);
	watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(watched.timer));
	thread = thread_new(keep_signalling, &signaller);
	ck_assert_int_eq(asynctimer_reactor_run(reactor), 0);
	flag_set(&signaller.end);
	thread_join(thread);
	ck_assert_int_gt(signals, 0);
	ck_assert_uint_eq(watched.callbacks, 20);
}
END_TEST

static void stop_reactor_on_signal(int number)
{
	int error = errno;

	(void)number;
	errno = EDOM;
	asynctimer_reactor_stop(reactor);
	signals = errno == EDOM;
	errno = error;
}

START_TEST(a_signal_handler_can_stop_it_and_keeps_its_errno)
{
	struct sigaction action = { .sa_handler = stop_reactor_on_signal };
	struct itimerval once = { .it_value = { .tv_usec = 5000 } };

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &once, NULL), 0);
	ck_assert_int_eq(asynctimer_reactor_run(reactor), 0);
	ck_assert_int_eq(signals, 1);
	/* With the eventfd full too. */
	for (unsigned i = 0; i < 1000; i++)
		asynctimer_reactor_stop(reactor);
	raise(SIGALRM);
	ck_assert_int_eq(signals, 1);
	ck_assert_int_eq(asynctimer_reactor_run(reactor), 0);
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), 1);
}
END_TEST

START_TEST(a_signal_handler_that_stops_it_ends_dispatch_without_an_error)
{
	struct sigaction action = { .sa_handler = stop_reactor_on_signal };
	struct itimerval once = { .it_value = { .tv_usec = 5000 } };

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	for (unsigned i = 0; i < 3; i++) {
		signals = 0;
		ck_assert_int_eq(setitimer(ITIMER_REAL, &once, NULL), 0);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 0);
		ck_assert_int_eq(signals, 1);
		ck_assert_int_eq(asynctimer_reactor_restart(reactor), 1);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
	}
}
END_TEST

START_TEST(a_stop_is_not_read_away_with_another_wake_up)
{
	/* It writes the eventfd, and takes nothing back. */
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), 0);
	ck_assert(is_readable(reactor));
	stop_before_read = true;
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 0);
	ck_assert(!stop_before_read);
	/* All the other threads shall leave too. */
	ck_assert(is_readable(reactor));
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), 1);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
	ck_assert(!is_readable(reactor));
}
END_TEST

static int refuse_from_now(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	refusing = true;
	watched->then = NULL;
	return 0;
}

/* It has no way to wait before the next try: to return is better than to spin. */
START_TEST(refused_to_arm_and_to_wait_run_and_dispatch_say_so)
{
	for (int shared = 0; shared < 2; shared++) {
		struct watched watched = { .then = refuse_from_now };

		/* An hour: on the slowest machine it does not come due by itself. */
		if (shared)
			watch_new_shared(&watched, CLOCK_MONOTONIC, HOUR, DELAY, 0);
		else
			watch_new(&watched, CLOCK_MONOTONIC, HOUR, DELAY);
		must(asynctimer_start_after(watched.timer, 0));
		refusals = 0;
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
		for (unsigned i = 0; i < 5; i++) {
			ck_assert_int_eq(asynctimer_reactor_run(reactor), -EPERM);
			ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), -EPERM);
			ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, HOUR), -EPERM);
			ck_assert(is_readable(reactor));
		}
		/* A few in each call. */
		ck_assert_uint_le(refusals, 4 * 17);
		refusing = false;
		must(asynctimer_set_interval(watched.timer, MS));
		dispatch_callbacks(&watched, 3);
		asynctimer_free(watched.timer);
	}
}
END_TEST

/* In a process of its own, which the test stops and continues. */
START_TEST(stopped_and_continued_the_process_goes_on_by_its_grid)
{
	int ticks[2];
	pid_t child;
	char byte;
	int status;

	ck_assert_int_eq(pipe(ticks), 0);
	child = fork();
	if (!child) {
		struct asynctimer_reactor *parents = reactor;
		struct watched watched = { .stop_after = 50 };
		struct asynctimer_stats stats;
		int r;

		must(asynctimer_reactor_new(&reactor));
		watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
		must(asynctimer_start(watched.timer));
		while (watched.callbacks < 10)
			must(asynctimer_reactor_dispatch(reactor, -1));
		must(write(ticks[1], "x", 1) == 1 ? 0 : -EIO);
		r = asynctimer_reactor_run(reactor);
		must(asynctimer_get_stats(watched.timer, &stats));
		must(asynctimer_reactor_free(reactor));
		asynctimer_reactor_free(parents);
		/* 20 ms at least passed between stop and continue. */
		_exit(r == 0 && stats.skipped_late + stats.skipped_busy >= 15 ? 0 : 1);
	}
	ck_assert_int_eq(read(ticks[0], &byte, 1), 1);
	ck_assert_int_eq(kill(child, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
	ck_assert(WIFSTOPPED(status));
	spin_until(CLOCK_MONOTONIC, now_mono() + 20 * MS);
	ck_assert_int_eq(kill(child, SIGCONT), 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	close(ticks[0]);
	close(ticks[1]);
}
END_TEST

START_TEST(reactors_do_not_mind_each_other)
{
	enum { COUNT = 5 };
	struct asynctimer_reactor *first = reactor;
	struct watched watched[COUNT] = { { .callbacks = 0 } };

	for (unsigned i = 0; i < COUNT; i++) {
		must(asynctimer_reactor_new(&reactor));
		watch_new(&watched[i], CLOCK_MONOTONIC, MS * (1 + i), ASYNCTIMER_FIXED_SCHEDULE);
		must(asynctimer_start(watched[i].timer));
	}
	asynctimer_reactor_stop(asynctimer_get_reactor(watched[0].timer));
	for (unsigned i = 1; i < COUNT; i++)
		for (unsigned n = 1; n <= 5; n++) {
			ck_assert_int_eq(asynctimer_reactor_dispatch(
						 asynctimer_get_reactor(watched[i].timer), -1), 1);
			ck_assert_uint_eq(watched[i].callbacks, n);
		}
	ck_assert_uint_eq(watched[0].callbacks, 0);
	for (unsigned i = 0; i < COUNT; i++)
		ck_assert_int_eq(asynctimer_reactor_free(asynctimer_get_reactor(watched[i].timer)), 0);
	reactor = first;
}
END_TEST

static void every_descriptor_closes_on_exec(int from)
{
	int epoll_fd = asynctimer_reactor_fd(reactor);
	int found = 0;

	for (int fd = from; fd < from + 64; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags < 0)
			continue;
		found++;
		ck_assert_msg(flags & FD_CLOEXEC, "descriptor %d stays open over exec", fd);
	}
	ck_assert_int_ge(found, 3);
	ck_assert(fcntl(epoll_fd, F_GETFD) & FD_CLOEXEC);
}

START_TEST(every_descriptor_is_close_on_exec)
{
	struct asynctimer_reactor *first = reactor;
	struct watched watched[3] = { { .callbacks = 0 } };
	const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };
	const int from = 500;
	int block[500], count = 0, fd;

	/* All below `from` taken: what the library opens stands out. */
	while ((fd = dup(0)) < from && fd >= 0 && count < 500)
		block[count++] = fd;
	if (fd >= 0)
		close(fd);
	must(asynctimer_reactor_new(&reactor));
	for (unsigned i = 0; i < 3; i++)
		watch_new(&watched[i], clocks[i], HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	ck_assert_int_ge(asynctimer_reactor_fd(reactor), from);
	every_descriptor_closes_on_exec(from);
	must(asynctimer_reactor_free(reactor));
	while (count)
		close(block[--count]);
	reactor = first;
}
END_TEST

/* The descriptors of a daemon: some closed when the library opens its own, and /dev/null later. */
START_TEST(no_descriptor_is_standard_input_output_or_error)
{
	const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };
	struct asynctimer_reactor *first = reactor;
	int kept[3], null;

	for (int fd = 0; fd < 3; fd++)
		kept[fd] = must(fcntl(fd, F_DUPFD_CLOEXEC, 100));
	null = must(open("/dev/null", O_RDWR | O_CLOEXEC));
	for (unsigned closed = 1; closed < 8; closed++) {
		struct watched watched[6] = { { .callbacks = 0 } };
		bool was_open[64];
		int opened = count_fds();

		for (int fd = 0; fd < 64; fd++)
			was_open[fd] = fcntl(fd, F_GETFD) >= 0;
		for (int fd = 0; fd < 3; fd++)
			if (closed & 1u << fd)
				close(fd);
		must(asynctimer_reactor_new(&reactor));
		for (unsigned i = 0; i < 3; i++) {
			watch_new(&watched[i], clocks[i], MS, ASYNCTIMER_FIXED_SCHEDULE);
			watch_new_shared(&watched[3 + i], clocks[i], MS, ASYNCTIMER_FIXED_SCHEDULE, 0);
		}
		for (int fd = 0; fd < 3; fd++)
			if (closed & 1u << fd) {
				ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
				ck_assert_int_eq(must(dup2(null, fd)), fd);
			}
		/* An epoll descriptor, an eventfd, three timers and three pairs. */
		ck_assert_int_eq(count_fds(), opened + 2 + 3 + 6);
		for (int fd = 3; fd < 64; fd++) {
			int flags = fcntl(fd, F_GETFD);

			ck_assert(flags < 0 || was_open[fd] || flags & FD_CLOEXEC);
		}
		for (unsigned i = 0; i < 6; i++)
			must(asynctimer_start(watched[i].timer));
		for (unsigned i = 0; i < 6; i++)
			dispatch_callbacks(&watched[i], 3);
		must(asynctimer_reactor_free(reactor));
		ck_assert_int_eq(count_fds(), opened);
		for (int fd = 0; fd < 3; fd++)
			ck_assert_int_eq(must(dup2(kept[fd], fd)), fd);
	}
	for (int fd = 0; fd < 3; fd++)
		close(kept[fd]);
	close(null);
	reactor = first;
}
END_TEST

static int refuse_after_the_first(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	if (tick->number == 1)
		refuse_once = true;
	else if (tick->number >= 3)
		asynctimer_reactor_stop(reactor);
	return ASYNCTIMER_DONE;
}

/* What arms is refused right before a wait without an end. */
START_TEST(a_thread_that_is_refused_to_arm_does_not_wait)
{
	struct watched watched = { .then = refuse_after_the_first };

	watch_new_shared(&watched, CLOCK_MONOTONIC, MS, DELAY, 0);
	must(asynctimer_start(watched.timer));
	refusals = 0;
	must(asynctimer_reactor_run(reactor));
	ck_assert_uint_eq(refusals, 1);
	ck_assert_uint_eq(watched.callbacks, 3);
}
END_TEST

int main(void)
{
	return RUN_TESTS("reactor",
			 dispatch_waits_no_less_than_asked,
			 dispatch_waits_no_longer_than_for_the_next_tick,
			 dispatch_does_not_wait_when_a_tick_is_due,
			 dispatch_waits_as_asked_where_no_descriptor_is_allowed,
			 dispatch_waits_on_after_an_event_that_was_nobodys,
			 dispatch_leaves_what_comes_due_meanwhile_to_the_next,
			 dispatch_leaves_what_comes_due_behind_an_own_timer_to_the_next,
			 dispatch_is_bounded_however_short_the_interval,
			 dispatch_comes_to_all_that_is_due,
			 embedded_in_poll_no_tick_is_lost,
			 embedded_in_a_level_triggered_epoll_no_tick_is_lost,
			 embedded_in_an_edge_triggered_epoll_no_tick_is_lost,
			 a_host_hears_of_the_point_that_a_completion_has_counted,
			 an_edge_triggered_host_hears_of_the_point_that_a_completion_has_counted,
			 after_restart_an_edge_triggered_host_hears_what_was_left,
			 stopped_in_a_batch_the_rest_waits_for_restart,
			 stopped_when_it_has_been_told_of_a_tick_it_runs_that_after_restart,
			 stopped_before_run_it_starts_no_callback,
			 a_signal_ends_dispatch,
			 signals_do_not_end_run,
			 a_signal_handler_can_stop_it_and_keeps_its_errno,
			 a_signal_handler_that_stops_it_ends_dispatch_without_an_error,
			 a_stop_is_not_read_away_with_another_wake_up,
			 refused_to_arm_and_to_wait_run_and_dispatch_say_so,
			 stopped_and_continued_the_process_goes_on_by_its_grid,
			 reactors_do_not_mind_each_other,
			 every_descriptor_is_close_on_exec,
			 no_descriptor_is_standard_input_output_or_error,
			 a_thread_that_is_refused_to_arm_does_not_wait);
}

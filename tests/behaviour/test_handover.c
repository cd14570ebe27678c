/* SPDX-License-Identifier: MIT */
/*
 * A hundred timers are due together, and the first callback does not end before
 * the others have: somebody else has to run them, a thread that was idle, one
 * that comes, or a host loop. What one thread has been told of it hands over.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "internal.h"
#include "util.h"
#include "wrap.h"

#define CROWD 100
#define THREADS 3
#define ROUNDS 10

static struct watched crowd[CROWD];
static int hanging;		/* so many callbacks, the first to begin, end last */
static int begun;
static int ended;
static int pausing;		/* the first thread that has events goes on once so many threads wait */

static int waiting(void)
{
	int count;

	pthread_mutex_lock(&reactor->lock);
	count = (int)reactor->waiting;
	pthread_mutex_unlock(&reactor->lock);
	return count;
}

static void pause_with_events(enum asynctimer__test_point point, struct asynctimer *timer)
{
	int threads;

	(void)timer;
	if (point != ASYNCTIMER__HARVESTED)
		return;
	threads = __atomic_exchange_n(&pausing, 0, __ATOMIC_SEQ_CST);
	/* It is still counted as waiting itself. */
	if (threads)
		await(waiting() == threads);
}

static int hang_or_end(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	if (flag_add(&begun) <= hanging)
		await(flag_get(&ended) >= CROWD - hanging);
	if (flag_add(&ended) == CROWD)
		asynctimer_reactor_stop(reactor);
	return ASYNCTIMER_DONE;
}

/* Each time in a new reactor. */
static void crowd_new(int hang, int policy)
{
	hanging = hang;
	flag_clear(&begun);
	flag_clear(&ended);
	for (unsigned i = 0; i < CROWD; i++) {
		crowd[i] = (struct watched){ .then = hang_or_end };
		watch_new(&crowd[i], CLOCK_MONOTONIC, HOUR, policy);
	}
}

static void crowd_is_due(void)
{
	for (unsigned i = 0; i < CROWD; i++)
		must(asynctimer_start_after(crowd[i].timer, 0));
	if (backing == BACKING_OWN)
		await(expired() == CROWD);
}

static void crowd_ran_once(void)
{
	for (unsigned i = 0; i < CROWD; i++)
		ck_assert_uint_eq(crowd[i].callbacks, 1);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	must(new_reactor(&reactor));
}

/* Own timers are handed over by the eventfd; or by the descriptors of shared ones, if there are any. */
static void open_pair(bool open)
{
	struct asynctimer *timer;

	if (!open)
		return;
	must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, 1, SCHEDULE, 0, on_tick, NULL, &timer));
	asynctimer_free(timer);
}

/* One thread is told of all of them, while the others wait. */
static void run_with_idle_threads(int threads)
{
	pthread_t thread[THREADS];

	asynctimer__test_hook = pause_with_events;
	for (unsigned i = 0; i < ROUNDS; i++) {
		open_pair(i % 2);
		crowd_new(threads - 1, SCHEDULE);
		crowd_is_due();
		__atomic_store_n(&pausing, threads, __ATOMIC_SEQ_CST);
		for (int n = 0; n < threads; n++)
			thread[n] = thread_new(run_reactor, reactor);
		for (int n = 0; n < threads; n++)
			thread_join(thread[n]);
		crowd_ran_once();
	}
}

START_TEST(an_idle_thread_runs_what_another_was_told_of)
{
	run_with_idle_threads(2);
}
END_TEST

START_TEST(a_third_thread_runs_what_another_was_told_of)
{
	run_with_idle_threads(3);
}
END_TEST

/* All wait until it comes due. */
static void run_from_the_start(int threads)
{
	pthread_t thread[THREADS];

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t due_ns;

		open_pair(i % 2);
		/* Of a delay that is past already the tick is due at once. */
		crowd_new(threads - 1, DELAY);
		for (int n = 0; n < threads; n++)
			thread[n] = thread_new(run_reactor, reactor);
		await(waiting() == threads);
		due_ns = now_mono() + 2 * MS;
		for (unsigned n = 0; n < CROWD; n++)
			must(asynctimer_start_at(crowd[n].timer, due_ns));
		for (int n = 0; n < threads; n++)
			thread_join(thread[n]);
		crowd_ran_once();
	}
}

START_TEST(an_idle_thread_runs_what_is_due_behind_a_callback_that_hangs)
{
	run_from_the_start(2);
}
END_TEST

START_TEST(a_third_thread_runs_what_is_due_behind_two_callbacks_that_hang)
{
	run_from_the_start(3);
}
END_TEST

START_TEST(a_thread_that_comes_runs_what_is_due_behind_a_callback_that_hangs)
{
	pthread_t thread[2];

	for (unsigned i = 0; i < ROUNDS; i++) {
		open_pair(i % 2);
		crowd_new(1, SCHEDULE);
		crowd_is_due();
		thread[0] = thread_new(run_reactor, reactor);
		await(flag_get(&begun) == 1);
		thread[1] = thread_new(run_reactor, reactor);
		thread_join(thread[0]);
		thread_join(thread[1]);
		crowd_ran_once();
	}
}
END_TEST

/* When it asks for the descriptor, and how it waits for that. */
enum host { POLLS, POLLS_EDGES, COMES };

static int host_fd(enum host host)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int fd = asynctimer_reactor_fd(reactor);
	int outer;

	if (host != POLLS_EDGES)
		return fd;
	outer = must(epoll_create1(EPOLL_CLOEXEC));
	must(epoll_ctl(outer, EPOLL_CTL_ADD, fd, &event));
	return outer;
}

/* Not a time bound on the library: what is silent for a minute is silent for ever. */
static void host_until_others_ended(enum host host, int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	struct epoll_event event;

	while (flag_get(&ended) < CROWD - hanging) {
		ck_assert_msg(poll(&pollfd, 1, 60000) == 1, "the reactor's descriptor is silent");
		if (host == POLLS_EDGES)
			ck_assert_int_eq(epoll_wait(fd, &event, 1, 0), 1);
		must(asynctimer_reactor_dispatch(reactor, 0));
	}
}

static void run_with_host(enum host host)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		pthread_t thread;
		int fd = -1;

		open_pair(i % 2);
		if (host != COMES)
			fd = host_fd(host);
		crowd_new(1, SCHEDULE);
		crowd_is_due();
		thread = thread_new(run_reactor, reactor);
		await(flag_get(&begun) == 1);
		if (host == COMES)
			fd = host_fd(host);
		host_until_others_ended(host, fd);
		thread_join(thread);
		crowd_ran_once();
		if (host == POLLS_EDGES)
			close(fd);
	}
}

START_TEST(a_host_that_polls_runs_what_is_due_behind_a_callback_that_hangs)
{
	run_with_host(POLLS);
}
END_TEST

START_TEST(an_edge_triggered_host_runs_what_is_due_behind_a_callback_that_hangs)
{
	run_with_host(POLLS_EDGES);
}
END_TEST

START_TEST(a_host_that_comes_runs_what_is_due_behind_a_callback_that_hangs)
{
	run_with_host(COMES);
}
END_TEST

/*
 * One after the other, in one thread: `first`, with `busy` due behind it, so
 * that it has to be told of, which the kernel refuses; busy, until the others
 * are due; and then `hung`. In the meantime the thread has tried again.
 */
static struct {
	struct watched first, busy, hung, last;
	int hangs;
	int done;
} refused;

static int refuse_to_arm(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	ck_assert_uint_eq(wrap_end(), 1);
	return ASYNCTIMER_DONE;
}

static int hang(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	flag_set(&refused.hangs);
	await(flag_get(&refused.done));
	asynctimer_reactor_stop(reactor);
	return ASYNCTIMER_DONE;
}

static int be_done(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	flag_set(&refused.done);
	return ASYNCTIMER_DONE;
}

static void *run_wrapped(void *data)
{
	wrap_inside = true;
	run_reactor(data);
	wrap_inside = false;
	return NULL;
}

START_TEST(a_refused_call_has_told_nobody)
{
	struct pollfd pollfd = { .fd = asynctimer_reactor_fd(reactor), .events = POLLIN };
	pthread_t thread;

	refused.first.then = refuse_to_arm;
	refused.busy.work_ns = 5 * MS;
	refused.hung.then = hang;
	refused.last.then = be_done;
	watch_new(&refused.first, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	watch_new(&refused.busy, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	watch_new(&refused.hung, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	watch_new(&refused.last, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(asynctimer_start_after(refused.first.timer, 0));
	must(asynctimer_start_after(refused.busy.timer, 0));
	must(asynctimer_start_after(refused.hung.timer, 4 * MS));
	must(asynctimer_start_after(refused.last.timer, 4 * MS));
	wrap_fail((struct wrap_fault){ WRAP_SETTIME, 1, 1, EPERM, false });
	thread = thread_new(run_wrapped, reactor);
	await(flag_get(&refused.hangs));
	ck_assert_msg(poll(&pollfd, 1, 60000) == 1, "nobody was told");
	while (!flag_get(&refused.done))
		must(asynctimer_reactor_dispatch(reactor, -1));
	thread_join(thread);
}
END_TEST

static int is_told(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	ck_assert(is_readable(reactor));
	/* As it would be if a call had been refused. */
	ck_assert(!reactor->retry);
	return ASYNCTIMER_DONE;
}

START_TEST(without_a_pair_a_host_is_told_by_the_eventfd_at_once)
{
	struct watched first = { .then = is_told };
	struct watched second = { .callbacks = 0 };

	must(asynctimer_reactor_fd(reactor));
	watch_new(&first, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	watch_new(&second, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(asynctimer_start_after(first.timer, 0));
	await(expired() == 1);
	must(asynctimer_start_after(second.timer, 0));
	await(expired() == 2);
	ck_assert_int_eq(dispatch(0), 2);
	ck_assert_uint_eq(first.callbacks, 1);
}
END_TEST

/* It would be handed over to for ever. */
START_TEST(a_thread_that_calls_anything_else_does_not_count_as_waiting)
{
	struct asynctimer_reactor_stats reactor_stats;
	struct asynctimer_stats stats;
	struct asynctimer_info info;
	struct watched watched = { .callbacks = 0 };

	watch_new(&watched, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(asynctimer_set_name(watched.timer, "a"));
	must(asynctimer_set_error_handler(watched.timer, NULL));
	must(asynctimer_set_interval(watched.timer, 2 * HOUR));
	must(asynctimer_start(watched.timer));
	must(asynctimer_restart_after(watched.timer, HOUR));
	must(asynctimer_is_started(watched.timer));
	asynctimer_next_due_ns(watched.timer);
	must(asynctimer_get_stats(watched.timer, &stats));
	must(asynctimer_get_info(watched.timer, sizeof(info), &info));
	must(asynctimer_reactor_list(reactor, 1, sizeof(info), &info));
	must(asynctimer_reactor_get_stats(reactor, sizeof(reactor_stats), &reactor_stats));
	must(asynctimer_reactor_set_spin(reactor, 0));
	must(asynctimer_reactor_fd(reactor));
	must(asynctimer_reactor_restart(reactor));
	must(asynctimer_stop_nowait(watched.timer));
	must(asynctimer_stop(watched.timer));
	must(dispatch(0));
	asynctimer_free(watched.timer);
	must(asynctimer_reactor_shutdown(reactor, 0));
	ck_assert_int_eq(waiting(), 0);
}
END_TEST

int main(void)
{
	/* OWN: each has an event of its own. SHARED: which have to be armed to tell. */
	return RUN_WITH_BACKINGS("handover",
		OWN(an_idle_thread_runs_what_another_was_told_of),
		OWN(a_third_thread_runs_what_another_was_told_of),
		REAL(an_idle_thread_runs_what_is_due_behind_a_callback_that_hangs),
		REAL(a_third_thread_runs_what_is_due_behind_two_callbacks_that_hang),
		REAL(a_thread_that_comes_runs_what_is_due_behind_a_callback_that_hangs),
		REAL(a_host_that_polls_runs_what_is_due_behind_a_callback_that_hangs),
		REAL(an_edge_triggered_host_runs_what_is_due_behind_a_callback_that_hangs),
		REAL(a_host_that_comes_runs_what_is_due_behind_a_callback_that_hangs),
		SHARED(a_refused_call_has_told_nobody),
		OWN(without_a_pair_a_host_is_told_by_the_eventfd_at_once),
		REAL(a_thread_that_calls_anything_else_does_not_count_as_waiting));
}

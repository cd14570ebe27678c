/* SPDX-License-Identifier: MIT */
/*
 * In a forked child nothing works but the frees, and the parent feels nothing
 * of what is tried there. (Where a child checks, it ends with status 1: Check
 * knows the parent alone.)
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"
#include "util.h"

#define expect(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: in the child: not %s\n", __FILE__, __LINE__,       \
				#condition);                                                       \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* Where a sanitizer is linked: what the child did not give back. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static _Noreturn void end_child(void)
{
	if (__lsan_do_recoverable_leak_check)
		expect(!__lsan_do_recoverable_leak_check());
	_exit(0);
}

static void child_ended(pid_t child, int with)
{
	int status;

	ck_assert_int_gt(child, 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status), "the child was ended by signal %d", WTERMSIG(status));
	ck_assert_int_eq(WEXITSTATUS(status), with);
}

static void child_succeeded(pid_t child)
{
	child_ended(child, 0);
}

static pid_t plain_fork(void)
{
	return fork();
}

static pid_t raw_clone(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

/* One in every state: idle, armed, and with its tick deferred. */
struct states {
	struct watched idle, armed, open;
	int released;
};

static void count_release(void *data)
{
	struct watched *watched = data;
	struct states *states = watched->data;

	states->released++;
}

static void states_new(struct states *states)
{
	struct watched *watched[] = { &states->idle, &states->armed, &states->open };

	*states = (struct states){ .open = { .result = ASYNCTIMER_PENDING } };
	for (unsigned i = 0; i < 3; i++) {
		watched[i]->data = states;
		watch_new(watched[i], CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
		asynctimer_set_release(watched[i]->timer, count_release);
		must(asynctimer_set_name(watched[i]->timer, "in some state"));
	}
	must(asynctimer_start(states->open.timer));
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
	must(asynctimer_start(states->armed.timer));
}

/* In the parent, after a child did its worst. */
static void states_work(struct states *states)
{
	ck_assert_int_eq(states->released, 0);
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), 0);
	while (states->armed.callbacks < 20)
		must(asynctimer_reactor_dispatch(reactor, -1));
	ck_assert_int_eq(asynctimer_start(states->armed.timer), 0);
	ck_assert_int_eq(asynctimer_complete(states->open.timer, states->open.last.number, 0), 0);
	while (states->open.callbacks < 2)
		must(asynctimer_reactor_dispatch(reactor, -1));
	states->open.result = ASYNCTIMER_DONE;
	ck_assert_int_eq(asynctimer_complete(states->open.timer, states->open.last.number, 0), 0);
	ck_assert_int_eq(asynctimer_start(states->idle.timer), 1);
	while (states->idle.callbacks < 2)
		must(asynctimer_reactor_dispatch(reactor, -1));
}

static void no_function_works(struct watched *watched)
{
	struct asynctimer *timer = watched->timer, *made = NULL;
	struct asynctimer_reactor_stats counts;
	struct asynctimer_stats stats;
	struct asynctimer_info info;

	expect(asynctimer_start(timer) == -ECHILD);
	expect(asynctimer_start_after(timer, 0) == -ECHILD);
	expect(asynctimer_start_at(timer, 0) == -ECHILD);
	expect(asynctimer_restart_after(timer, 0) == -ECHILD);
	expect(asynctimer_stop(timer) == -ECHILD);
	expect(asynctimer_stop_nowait(timer) == -ECHILD);
	expect(asynctimer_set_interval(timer, 5 * MS) == -ECHILD);
	expect(asynctimer_set_error_handler(timer, NULL) == -ECHILD);
	expect(asynctimer_set_name(timer, "child") == -ECHILD);
	expect(asynctimer_complete(timer, watched->last.number, 0) == -ECHILD);
	expect(asynctimer_get_stats(timer, &stats) == -ECHILD);
	expect(asynctimer_get_info(timer, sizeof(info), &info) == -ECHILD);
	expect(asynctimer_reactor_list(reactor, 1, sizeof(info), &info) == -ECHILD);
	expect(asynctimer_reactor_list(reactor, 0, sizeof(info), NULL) == -ECHILD);
	expect(asynctimer_reactor_get_stats(reactor, sizeof(counts), &counts) == -ECHILD);
	expect(asynctimer_is_started(timer) == 0);
	expect(asynctimer_next_due_ns(timer) == UINT64_MAX);
	expect(asynctimer_now_ns(timer) > 0);
	expect(asynctimer_get_data(timer) == watched);
	expect(asynctimer_get_reactor(timer) == reactor);
	expect(asynctimer_new(reactor, CLOCK_MONOTONIC, MS, 0, on_tick, NULL, &made) == -ECHILD);
	expect(asynctimer_new(reactor, CLOCK_MONOTONIC, 0, 0, on_tick, NULL, &made) == -ECHILD);
	expect(!made);
	expect(asynctimer_reactor_run(reactor) == -ECHILD);
	expect(asynctimer_reactor_dispatch(reactor, 0) == -ECHILD);
	expect(asynctimer_reactor_dispatch(reactor, -1) == -ECHILD);
	expect(asynctimer_reactor_fd(reactor) == -ECHILD);
	asynctimer_reactor_stop(reactor);
	expect(asynctimer_reactor_restart(reactor) == -ECHILD);
	expect(asynctimer_reactor_set_spin(reactor, 0) == -ECHILD);
	expect(asynctimer_reactor_shutdown(reactor, 0) == -ECHILD);
	expect(asynctimer_reactor_shutdown(reactor, -1) == -ECHILD);
	asynctimer_set_release(timer, NULL);
}

static void no_function_works_in_a_child_of(pid_t (*make_child)(void))
{
	static struct states states;
	pid_t child;

	states_new(&states);
	child = make_child();
	if (!child) {
		no_function_works(&states.idle);
		no_function_works(&states.armed);
		no_function_works(&states.open);
		_exit(0);
	}
	child_succeeded(child);
	states_work(&states);
}

START_TEST(no_function_works_in_a_forked_child)
{
	no_function_works_in_a_child_of(plain_fork);
}
END_TEST

START_TEST(no_function_works_in_a_child_of_a_raw_clone)
{
	no_function_works_in_a_child_of(raw_clone);
}
END_TEST

#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 34)
START_TEST(no_function_works_in_a_child_of__Fork)
{
	no_function_works_in_a_child_of(_Fork);
}
END_TEST
#else
#define no_function_works_in_a_child_of__Fork no_function_works_in_a_forked_child
#endif

START_TEST(a_grandchild_is_a_child_too)
{
	static struct states states;
	pid_t child;

	states_new(&states);
	child = fork();
	if (!child) {
		pid_t grandchild = fork();
		int status;

		if (!grandchild) {
			no_function_works(&states.armed);
			_exit(0);
		}
		expect(waitpid(grandchild, &status, 0) == grandchild && status == 0);
		no_function_works(&states.armed);
		_exit(0);
	}
	child_succeeded(child);
	states_work(&states);
}
END_TEST

START_TEST(a_stop_in_the_child_does_not_even_wake_the_parent)
{
	pid_t child = fork();

	if (!child) {
		asynctimer_reactor_stop(reactor);
		expect(asynctimer_reactor_restart(reactor) == -ECHILD);
		_exit(0);
	}
	child_succeeded(child);
	ck_assert(!is_readable(reactor));
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), 0);
}
END_TEST

START_TEST(the_two_frees_give_back_the_childs_memory_and_descriptors)
{
	static struct states states;
	int fds = count_fds();
	pid_t child;

	states_new(&states);
	child = fork();
	if (!child) {
		asynctimer_free(states.armed.timer);
		expect(states.released == 1);
		asynctimer_free(states.open.timer);
		expect(states.released == 2);
		expect(count_fds() == fds + 1);
		/* It may still be named, by its complete. */
		expect(asynctimer_complete(states.open.timer, states.open.last.number, 0) == -ECHILD);
		expect(asynctimer_reactor_free(reactor) == -ECHILD);
		expect(states.released == 3);
		/* The reactor's own two are gone as well. */
		expect(count_fds() == fds - 2);
		reactor = NULL;
		states = (struct states){ .released = 0 };
		end_child();
	}
	child_succeeded(child);
	states_work(&states);
}
END_TEST

START_TEST(reactor_free_alone_releases_all_in_the_child)
{
	static struct states states;
	pid_t child;

	states_new(&states);
	/* Freed, but its tick is deferred: not released yet. */
	asynctimer_free(states.open.timer);
	child = fork();
	if (!child) {
		int fds = count_fds();

		expect(asynctimer_reactor_free(reactor) == -ECHILD);
		expect(states.released == 3);
		expect(count_fds() == fds - 4);
		reactor = NULL;
		states = (struct states){ .released = 0 };
		end_child();
	}
	child_succeeded(child);
	ck_assert_int_eq(states.released, 0);
	must(asynctimer_complete(states.open.timer, states.open.last.number, 0));
	ck_assert_int_eq(states.released, 1);
}
END_TEST

START_TEST(the_parent_ticks_on_while_a_child_frees_and_tries_everything)
{
	struct watched watched = { .callbacks = 0 };
	pid_t children[8];

	watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(watched.timer));
	for (unsigned i = 0; i < 8; i++) {
		children[i] = fork();
		if (!children[i]) {
			for (unsigned n = 0; n < 200; n++)
				no_function_works(&watched);
			if (i & 1)
				asynctimer_free(watched.timer);
			if (i & 2)
				expect(asynctimer_reactor_free(reactor) == -ECHILD);
			_exit(0);
		}
		while (watched.callbacks < 10 * (i + 1))
			must(asynctimer_reactor_dispatch(reactor, -1));
	}
	for (unsigned i = 0; i < 8; i++)
		child_succeeded(children[i]);
	while (watched.callbacks < 100)
		must(asynctimer_reactor_dispatch(reactor, -1));
}
END_TEST

/* Forks in user code and returns in the child. */
struct forking {
	struct watched watched;
	void (*in_child)(struct forking *forking);
	pid_t child;	/* 0 in the child */
	int released;
};

static void fork_here(struct forking *forking)
{
	if (forking->child >= 0)
		return;
	forking->child = fork();
	if (!forking->child && forking->in_child)
		forking->in_child(forking);
}

static int fork_in_callback(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	fork_here(watched->data);
	return watched->result;
}

static void fork_in_handler(struct asynctimer *timer, int error, void *data)
{
	struct watched *watched = data;

	(void)timer;
	(void)error;
	fork_here(watched->data);
}

static void fork_in_release(void *data)
{
	struct watched *watched = data;

	fork_here(watched->data);
}

static void release_forking(void *data)
{
	struct watched *watched = data;
	struct forking *forking = watched->data;

	forking->released++;
}

static void forking_new(struct forking *forking)
{
	forking->watched.data = forking;
	forking->child = -1;
	watch_new(&forking->watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	asynctimer_set_release(forking->watched.timer, release_forking);
	must(asynctimer_start(forking->watched.timer));
}

/* The timer goes on in the parent. */
static void forking_works(struct forking *forking)
{
	unsigned until = forking->watched.callbacks + 5;

	child_succeeded(forking->child);
	forking->watched.result = 0;
	while (forking->watched.callbacks < until)
		ck_assert_int_ge(asynctimer_reactor_dispatch(reactor, -1), 0);
	ck_assert_int_eq(forking->released, 0);
	asynctimer_free(forking->watched.timer);
	ck_assert_int_eq(forking->released, 1);
}

static void fork_and_dispatch(struct forking *forking, bool run, int released, bool reactor_is_gone)
{
	int r;

	if (run)
		forking->watched.stop_after = 1;
	r = run ? asynctimer_reactor_run(reactor) : asynctimer_reactor_dispatch(reactor, -1);
	if (!forking->child) {
		expect(r == -ECHILD);
		expect(forking->released == released);
		if (!reactor_is_gone) {
			expect(asynctimer_reactor_dispatch(reactor, 0) == -ECHILD);
			expect(asynctimer_reactor_free(reactor) == -ECHILD);
			expect(forking->released == 1);
		}
		reactor = NULL;
		forking->watched.timer = NULL;
		end_child();
	}
	ck_assert_int_eq(r, run ? 0 : 1);
	if (run)
		must(asynctimer_reactor_restart(reactor));
}

static void fork_and_return(void (*in_child)(struct forking *forking), int released,
			    bool reactor_is_gone)
{
	const int results[] = { ASYNCTIMER_DONE, ASYNCTIMER_PENDING, -EIO };

	for (unsigned i = 0; i < 6; i++) {
		struct forking forking = {
			.watched = { .then = fork_in_callback, .result = results[i % 3] },
			.in_child = in_child,
		};

		forking_new(&forking);
		fork_and_dispatch(&forking, i >= 3, released, reactor_is_gone);
		if (forking.watched.result == ASYNCTIMER_PENDING)
			must(asynctimer_complete(forking.watched.timer, forking.watched.last.number, 0));
		forking_works(&forking);
	}
}

START_TEST(run_and_dispatch_return_in_a_child_forked_in_a_callback)
{
	fork_and_return(NULL, 0, false);
}
END_TEST

static void call_all(struct forking *forking)
{
	no_function_works(&forking->watched);
}

START_TEST(no_function_works_in_a_callback_that_forked)
{
	fork_and_return(call_all, 0, false);
}
END_TEST

static void free_timer(struct forking *forking)
{
	asynctimer_free(forking->watched.timer);
	asynctimer_free(forking->watched.timer);
	/* The callback may go on using its data. */
	expect(forking->released == 0);
	no_function_works(&forking->watched);
}

START_TEST(freed_in_its_own_callback_in_the_child_it_is_released_after_that)
{
	fork_and_return(free_timer, 1, false);
}
END_TEST

static void free_reactor(struct forking *forking)
{
	expect(asynctimer_reactor_free(reactor) == -ECHILD);
	expect(forking->released == 1);
}

START_TEST(the_reactor_freed_in_a_callback_in_the_child_it_is_not_touched_again)
{
	fork_and_return(free_reactor, 1, true);
}
END_TEST

static void free_both(struct forking *forking)
{
	free_timer(forking);
	free_reactor(forking);
}

START_TEST(both_freed_in_a_callback_in_the_child_it_is_released_once)
{
	fork_and_return(free_both, 1, true);
}
END_TEST

START_TEST(dispatch_returns_in_a_child_forked_in_a_handler)
{
	struct forking forking = { .watched = { .result = -EIO } };

	forking_new(&forking);
	must(asynctimer_set_error_handler(forking.watched.timer, fork_in_handler));
	fork_and_dispatch(&forking, false, 0, false);
	forking_works(&forking);
}
END_TEST

START_TEST(complete_answers_echild_in_a_child_forked_in_its_handler)
{
	struct forking forking = { .watched = { .result = ASYNCTIMER_PENDING } };
	int r;

	forking_new(&forking);
	must(asynctimer_set_error_handler(forking.watched.timer, fork_in_handler));
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
	r = asynctimer_complete(forking.watched.timer, forking.watched.last.number, -EIO);
	if (!forking.child) {
		expect(r == -ECHILD);
		no_function_works(&forking.watched);
		expect(asynctimer_reactor_free(reactor) == -ECHILD);
		_exit(0);
	}
	ck_assert_int_eq(r, 0);
	forking_works(&forking);
}
END_TEST

static int free_it(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	asynctimer_free(watched->timer);
	return ASYNCTIMER_DONE;
}

START_TEST(dispatch_returns_in_a_child_forked_in_a_release)
{
	struct forking forking = { .watched = { .then = free_it } };
	int r;

	forking_new(&forking);
	asynctimer_set_release(forking.watched.timer, fork_in_release);
	r = asynctimer_reactor_dispatch(reactor, -1);
	if (!forking.child) {
		expect(r == -ECHILD);
		expect(asynctimer_reactor_free(reactor) == -ECHILD);
		reactor = NULL;
		end_child();
	}
	ck_assert_int_eq(r, 1);
	child_succeeded(forking.child);
}
END_TEST

static void shared_forking_new(struct forking *forking)
{
	forking->watched.data = forking;
	forking->child = -1;
	watch_new_shared(&forking->watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE, 0);
	asynctimer_set_release(forking->watched.timer, release_forking);
}

START_TEST(run_and_dispatch_return_in_a_child_forked_in_a_shared_timers_callback)
{
	/* Woken by the pair of timerfds, and by the eventfd. */
	for (unsigned i = 0; i < 4; i++) {
		struct forking forking = { .watched = { .then = fork_in_callback } };

		shared_forking_new(&forking);
		if (i % 2)
			must(asynctimer_start_after(forking.watched.timer, 0));
		else
			must(asynctimer_start(forking.watched.timer));
		fork_and_dispatch(&forking, i >= 2, 0, false);
		forking_works(&forking);
	}
}
END_TEST

static int run_in_the_parent(struct watched *watched, const struct asynctimer_tick *tick)
{
	const struct forking *forking = watched->data;

	(void)tick;
	expect(forking->child != 0);
	return ASYNCTIMER_DONE;
}

START_TEST(no_other_clocks_callback_runs_in_a_child_forked_in_a_callback)
{
	struct forking forking = { .watched = { .then = fork_in_callback } };
	struct watched other = { .then = run_in_the_parent, .data = &forking };
	int r;

	shared_forking_new(&forking);
	watch_new_shared(&other, CLOCK_BOOTTIME, MS, ASYNCTIMER_FIXED_SCHEDULE, 0);
	must(asynctimer_start_after(other.timer, 0));
	must(asynctimer_start_after(forking.watched.timer, 0));
	do
		r = asynctimer_reactor_dispatch(reactor, -1);
	while (forking.child < 0 || (forking.child > 0 && !other.callbacks));
	if (!forking.child) {
		expect(r == -ECHILD);
		expect(asynctimer_reactor_free(reactor) == -ECHILD);
		reactor = NULL;
		end_child();
	}
	child_succeeded(forking.child);
	asynctimer_free(forking.watched.timer);
}
END_TEST

static void advance_in_child(struct forking *forking)
{
	(void)forking;
	expect(asynctimer_reactor_advance(reactor, MS) == -ECHILD);
}

START_TEST(advance_returns_in_a_child_forked_in_a_callback)
{
	struct forking forking = { .watched = { .then = fork_in_callback },
				   .in_child = advance_in_child };
	int r;

	use_virtual_reactor();
	forking_new(&forking);
	r = asynctimer_reactor_advance(reactor, 3 * MS);
	if (!forking.child) {
		expect(r == -ECHILD);
		expect(asynctimer_reactor_advance(reactor, MS) == -ECHILD);
		expect(asynctimer_now_ns(forking.watched.timer) == MS);
		expect(asynctimer_reactor_free(reactor) == -ECHILD);
		expect(forking.released == 1);
		reactor = NULL;
		forking.watched.timer = NULL;
		end_child();
	}
	ck_assert_int_eq(r, 3);
	child_succeeded(forking.child);
	asynctimer_free(forking.watched.timer);
	ck_assert_int_eq(forking.released, 1);
}
END_TEST

static void fork_and_free_in_release(void *data)
{
	struct watched *watched = data;
	struct forking *forking = watched->data;

	forking->released++;
	forking->child = fork();
	/* It goes where it is being freed already. */
	if (!forking->child)
		expect(asynctimer_reactor_free(reactor) == -ECHILD);
}

START_TEST(reactor_free_returns_in_a_child_forked_in_a_release)
{
	struct forking forking = { 0 };
	int r;

	forking_new(&forking);
	asynctimer_set_release(forking.watched.timer, fork_and_free_in_release);
	r = asynctimer_reactor_free(reactor);
	if (!forking.child)
		expect(r == -ECHILD);
	else
		ck_assert_int_eq(r, 0);
	reactor = NULL;
	forking.watched.timer = NULL;
	if (!forking.child) {
		expect(forking.released == 1);
		end_child();
	}
	child_succeeded(forking.child);
	ck_assert_int_eq(forking.released, 1);
}
END_TEST

static volatile pid_t forked_by_signal = -1;

static const struct itimerval often = { { .tv_usec = 5000 }, { .tv_usec = 5000 } };

/* The child inherits no timer, and may have been forked just before the wait. */
static void fork_on_signal(int number)
{
	(void)number;
	if (forked_by_signal >= 0)
		return;
	forked_by_signal = fork();
	if (!forked_by_signal)
		setitimer(ITIMER_REAL, &often, NULL);
}

static void handle_alarm(void)
{
	struct sigaction action = { .sa_handler = fork_on_signal };

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
}

static void fork_on_alarm(void)
{
	handle_alarm();
	ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
}

/* The child was answered r, and ends here; for the parent no more signals come. */
static void end_forked_child(int r)
{
	struct itimerval never = { 0 };

	if (!forked_by_signal) {
		expect(r == -ECHILD);
		expect(asynctimer_reactor_free(reactor) == -ECHILD);
		reactor = NULL;
		end_child();
	}
	ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
}

START_TEST(dispatch_returns_in_a_child_forked_while_it_waited)
{
	int r;

	fork_on_alarm();
	do
		r = asynctimer_reactor_dispatch(reactor, -1);
	while (forked_by_signal < 0);
	end_forked_child(r);
	ck_assert_int_eq(r, -EINTR);
	child_succeeded(forked_by_signal);
}
END_TEST

/* Of the tick that stays open the child knows no more than that its parent has it. */
START_TEST(shutdown_returns_in_a_child_forked_while_it_waited)
{
	struct watched watched = { .result = ASYNCTIMER_PENDING };
	int r;

	watch_new(&watched, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(asynctimer_start_after(watched.timer, 0));
	dispatch_callbacks(&watched, 1);
	fork_on_alarm();
	do
		r = asynctimer_reactor_shutdown(reactor, 100 * MS);
	while (forked_by_signal < 0);
	end_forked_child(r);
	ck_assert_int_eq(r, 1);
	child_succeeded(forked_by_signal);
	must(asynctimer_complete(watched.timer, 1, 0));
}
END_TEST

/* The same after a call has seen that this is no child, and before it has the lock. */

static bool raises_before_lock;

int __real_pthread_setcancelstate(int state, int *old);
int __wrap_pthread_setcancelstate(int state, int *old);
int __wrap_pthread_setcancelstate(int state, int *old)
{
	if (raises_before_lock) {
		raises_before_lock = false;
		raise(SIGALRM);
	}
	return __real_pthread_setcancelstate(state, old);
}

START_TEST(new_makes_nothing_in_a_child_forked_before_it_has_the_lock)
{
	struct asynctimer *timer = NULL;
	int r;

	handle_alarm();
	raises_before_lock = true;
	r = asynctimer_new(reactor, CLOCK_MONOTONIC, MS, SCHEDULE, on_tick, NULL, &timer);
	if (!forked_by_signal)
		expect(!timer);
	end_forked_child(r);
	must(r);
	child_succeeded(forked_by_signal);
	asynctimer_free(timer);
}
END_TEST

/* The same just before the wait, with ticks that are due: the child gets to wait first. */

static bool raises_before_wait;

static void raise_before_wait(enum asynctimer__test_point point, struct asynctimer *timer)
{
	int status;

	(void)timer;
	if (point != ASYNCTIMER__WAITS || !raises_before_wait)
		return;
	raises_before_wait = false;
	forked_by_signal = -1;
	raise(SIGUSR1);
	if (forked_by_signal == 0) {
		errno = EINTR;	/* of a call before, as it may be */
		return;
	}
	/* No assertion of Check's, which may allocate: it is the library that is here. */
	if (waitpid(forked_by_signal, &status, 0) != forked_by_signal || status != 0)
		ck_abort_msg("the child did not end well");
}

static void fork_in_signal_handler(int number)
{
	(void)number;
	forked_by_signal = fork();
}

static int dispatch_behind_a_child(int64_t timeout_ns)
{
	int r;

	raises_before_wait = true;
	r = asynctimer_reactor_dispatch(reactor, timeout_ns);
	if (!forked_by_signal) {
		expect(r == -ECHILD);
		expect(asynctimer_reactor_free(reactor) == -ECHILD);
		_exit(0);
	}
	ck_assert(!raises_before_wait);
	return r;
}

#define KINDS 10

/* Own and shared ones, of each clock and policy. */
static void kind_new(unsigned kind, struct watched *watched)
{
	const int clocks[] = { CLOCK_MONOTONIC, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_BOOTTIME,
			       CLOCK_REALTIME };
	int policy = kind / 2 % 2 ? DELAY : SCHEDULE;

	*watched = (struct watched){ .callbacks = 0 };
	if (kind % 2)
		watch_new_shared(watched, clocks[kind / 2], HOUR, policy, 0);
	else
		watch_new(watched, clocks[kind / 2], HOUR, policy);
}

static void start_soon(struct watched *watched)
{
	watched->restarted = true;
	asynctimer_stop(watched->timer);
	must(asynctimer_start_after(watched->timer, MS));
}

START_TEST(no_tick_is_lost_to_a_child_forked_before_the_wait)
{
	struct sigaction action = { .sa_handler = fork_in_signal_handler };
	const int64_t timeouts[] = { 0, -1, (int64_t)HOUR };

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	asynctimer__test_hook = raise_before_wait;
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct watched watched;

		kind_new(kind, &watched);
		for (unsigned i = 0; i < 3; i++) {
			start_soon(&watched);
			await(is_readable(reactor));
			ck_assert_int_eq(dispatch_behind_a_child(timeouts[i]), 1);
			/* And so it goes on, by its own events. */
			start_soon(&watched);
			ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
		}
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(no_tick_of_many_is_lost_to_children_forked_before_the_wait)
{
	struct sigaction action = { .sa_handler = fork_in_signal_handler };
	struct watched watched[KINDS];

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	asynctimer__test_hook = raise_before_wait;
	for (unsigned kind = 0; kind < KINDS; kind++)
		kind_new(kind, &watched[kind]);
	for (unsigned round = 1; round <= 10; round++) {
		for (unsigned kind = 0; kind < KINDS; kind++)
			start_soon(&watched[kind]);
		await(is_readable(reactor));
		must(dispatch_behind_a_child(0));
		for (unsigned kind = 0; kind < KINDS; kind++)
			dispatch_callbacks(&watched[kind], round);
	}
}
END_TEST

START_TEST(a_child_can_have_a_reactor_of_its_own)
{
	static struct states states;
	pid_t child;

	states_new(&states);
	child = fork();
	if (!child) {
		struct asynctimer_reactor *parents = reactor;
		struct watched watched = { .stop_after = 5 };

		expect(asynctimer_reactor_new(&reactor) == 0);
		watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
		expect(asynctimer_start(watched.timer) == 1);
		expect(asynctimer_reactor_run(reactor) == 0);
		expect(watched.callbacks == 5);
		expect(asynctimer_reactor_free(parents) == -ECHILD);
		expect(asynctimer_reactor_restart(reactor) == 1);
		expect(asynctimer_reactor_dispatch(reactor, 0) >= 0);
		expect(asynctimer_reactor_free(reactor) == 0);
		_exit(0);
	}
	child_succeeded(child);
	states_work(&states);
}
END_TEST

/* Forked while other threads use the reactor: the child has neither them nor their locks. */
struct busy {
	struct watched watched;
	int end;
};

/* Check allocates in its assertions: what another thread held is lost in a child. */
static int do_nothing(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	(void)data;
	return ASYNCTIMER_DONE;
}

static void *start_and_stop(void *data)
{
	struct busy *busy = data;

	while (!flag_get(&busy->end)) {
		must(asynctimer_start(busy->watched.timer));
		must(asynctimer_stop(busy->watched.timer));
	}
	return NULL;
}

START_TEST(a_child_of_a_busy_process_is_not_held_up)
{
	static struct busy busy[2];
	pthread_t threads[2];
	pthread_t runner;

	for (unsigned i = 0; i < 2; i++)
		must(asynctimer_new(reactor, CLOCK_MONOTONIC, 10 * US, ASYNCTIMER_FIXED_SCHEDULE,
				    do_nothing, &busy[i].watched, &busy[i].watched.timer));
	runner = thread_new(run_reactor, reactor);
	for (unsigned i = 0; i < 2; i++)
		threads[i] = thread_new(start_and_stop, &busy[i]);
	for (unsigned i = 0; i < 50; i++) {
		pid_t child = fork();

		if (!child) {
			no_function_works(&busy[0].watched);
			_exit(0);
		}
		child_succeeded(child);
	}
	for (unsigned i = 0; i < 2; i++) {
		flag_set(&busy[i].end);
		thread_join(threads[i]);
	}
	asynctimer_reactor_stop(reactor);
	thread_join(runner);
}
END_TEST

START_TEST(the_frees_are_no_cancellation_points_in_a_child)
{
	static struct states states;
	pid_t child;

	states_new(&states);
	child = fork();
	if (!child) {
		pthread_cancel(pthread_self());
		asynctimer_free(states.armed.timer);
		asynctimer_free(states.open.timer);
		asynctimer_reactor_free(reactor);
		/* Cancelled, its only thread would have ended, with another status. */
		_exit(states.released == 3 ? 7 : 1);
	}
	child_ended(child, 7);
	states_work(&states);
}
END_TEST

int main(void)
{
	return RUN_TESTS("fork",
			 no_function_works_in_a_forked_child,
			 no_function_works_in_a_child_of_a_raw_clone,
			 no_function_works_in_a_child_of__Fork,
			 a_grandchild_is_a_child_too,
			 a_stop_in_the_child_does_not_even_wake_the_parent,
			 the_two_frees_give_back_the_childs_memory_and_descriptors,
			 reactor_free_alone_releases_all_in_the_child,
			 the_parent_ticks_on_while_a_child_frees_and_tries_everything,
			 run_and_dispatch_return_in_a_child_forked_in_a_callback,
			 no_function_works_in_a_callback_that_forked,
			 freed_in_its_own_callback_in_the_child_it_is_released_after_that,
			 the_reactor_freed_in_a_callback_in_the_child_it_is_not_touched_again,
			 both_freed_in_a_callback_in_the_child_it_is_released_once,
			 dispatch_returns_in_a_child_forked_in_a_handler,
			 complete_answers_echild_in_a_child_forked_in_its_handler,
			 dispatch_returns_in_a_child_forked_in_a_release,
			 run_and_dispatch_return_in_a_child_forked_in_a_shared_timers_callback,
			 no_other_clocks_callback_runs_in_a_child_forked_in_a_callback,
			 advance_returns_in_a_child_forked_in_a_callback,
			 reactor_free_returns_in_a_child_forked_in_a_release,
			 dispatch_returns_in_a_child_forked_while_it_waited,
			 shutdown_returns_in_a_child_forked_while_it_waited,
			 new_makes_nothing_in_a_child_forked_before_it_has_the_lock,
			 no_tick_is_lost_to_a_child_forked_before_the_wait,
			 no_tick_of_many_is_lost_to_children_forked_before_the_wait,
			 a_child_can_have_a_reactor_of_its_own,
			 a_child_of_a_busy_process_is_not_held_up,
			 the_frees_are_no_cancellation_points_in_a_child);
}

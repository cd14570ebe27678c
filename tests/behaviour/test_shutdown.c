/* SPDX-License-Identifier: MIT */
/* asynctimer_reactor_shutdown: it ends, says what is still open, and nothing begins after it. */
#include <errno.h>
#include <string.h>

#include "util.h"

#define FOREVER (-1)
#define DEFERRED 5

static void expect_shutdown(int64_t timeout_ns, int open)
{
	ck_assert_int_eq(asynctimer_reactor_shutdown(reactor, timeout_ns), open);
}

/* What comes after it: no timer can be made, started or restarted, nor the reactor. */
static void expect_shut(struct asynctimer *timer)
{
	struct asynctimer *made = NULL;

	ck_assert_int_eq(asynctimer_new(reactor, CLOCK_MONOTONIC, MS, SCHEDULE, on_tick, NULL, &made),
			 -ESHUTDOWN);
	ck_assert_int_eq(asynctimer_new_shared(reactor, CLOCK_BOOTTIME, MS, DELAY, US, on_tick, NULL,
					       &made), -ESHUTDOWN);
	ck_assert_ptr_null(made);
	ck_assert_int_eq(asynctimer_start(timer), -ESHUTDOWN);
	ck_assert_int_eq(asynctimer_start_after(timer, 0), -ESHUTDOWN);
	ck_assert_int_eq(asynctimer_start_at(timer, 0), -ESHUTDOWN);
	ck_assert_int_eq(asynctimer_restart_after(timer, 0), -ESHUTDOWN);
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), -ESHUTDOWN);
	ck_assert_int_eq(asynctimer_is_started(timer), 0);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), UINT64_MAX);
}

/* An armed timer, whose start answers 0 until the reactor is shut down. */
static struct watched spare;

static void spare_new(void)
{
	watch_new(&spare, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(asynctimer_start(spare.timer));
}

static void await_shutdown(void)
{
	await(asynctimer_start(spare.timer) == -ESHUTDOWN);
}

static void alive(void)
{
	ck_assert_int_eq(asynctimer_start(spare.timer), 0);
	ck_assert_int_eq(asynctimer_is_started(spare.timer), 1);
}

/* run, dispatch and advance return at once and run nothing; a virtual clock stands still. */
static void expect_stopped(void)
{
	if (backing == BACKING_VIRTUAL) {
		uint64_t now_ns = asynctimer_now_ns(spare.timer);

		ck_assert_int_eq(asynctimer_reactor_advance(reactor, HOUR), 0);
		ck_assert_uint_eq(asynctimer_now_ns(spare.timer), now_ns);
	} else {
		ck_assert_int_eq(asynctimer_reactor_run(reactor), 0);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 0);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
	}
}

/* A shutdown in a thread of its own. */
struct shutter {
	struct asynctimer_reactor *reactor;
	int64_t timeout_ns;
	const int *ended;	/* so many things must have when it returns 0, if not NULL */
	int at_least;
	int result;
	int returned;
	pthread_t thread;
};

static void *shut_down(void *data)
{
	struct shutter *shutter = data;

	shutter->result = asynctimer_reactor_shutdown(shutter->reactor, shutter->timeout_ns);
	/* Check's macros are cancellation points: not before one is needed. */
	if (shutter->ended && flag_get(shutter->ended) < shutter->at_least)
		ck_abort_msg("shutdown returned before all had ended");
	flag_set(&shutter->returned);
	return NULL;
}

static void shutter_go(struct shutter *shutter, int64_t timeout_ns)
{
	shutter->reactor = reactor;
	shutter->timeout_ns = timeout_ns;
	shutter->thread = thread_new(shut_down, shutter);
}

static void shutter_ends(struct shutter *shutter, int result)
{
	thread_join(shutter->thread);
	ck_assert_int_eq(shutter->result, result);
}

static uint64_t real_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static uint64_t open_now(void)
{
	struct asynctimer_reactor_stats stats;

	must(asynctimer_reactor_get_stats(reactor, sizeof(stats), &stats));
	return stats.open;
}

/*
 * Nothing is open.
 */

START_TEST(at_rest_every_timer_is_stopped_and_nothing_can_be_started)
{
	struct watched stopped = { .result = 0 }, due = { .result = 0 }, armed[3] = { { .result = 0 } };

	spare_new();
	watch_new(&stopped, CLOCK_MONOTONIC, MS, SCHEDULE);
	watch_new(&due, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(asynctimer_start_after(due.timer, 0));
	watch_new(&armed[0], CLOCK_BOOTTIME, MS, DELAY);
	watch_new(&armed[1], CLOCK_REALTIME, MS, SCHEDULE);
	watch_new_shared(&armed[2], CLOCK_MONOTONIC, HOUR, ASYNCTIMER_ONCE, MS);
	for (unsigned i = 0; i < 3; i++)
		must(asynctimer_start(armed[i].timer));
	expect_shutdown(FOREVER, 0);
	for (unsigned i = 0; i < 3; i++)
		expect_shut(armed[i].timer);
	expect_shut(stopped.timer);
	expect_shut(due.timer);
	expect_shut(spare.timer);
	expect_stopped();
	/* It ran nothing itself either. */
	ck_assert_uint_eq(due.callbacks, 0);
}
END_TEST

START_TEST(it_may_be_called_again_and_after_reactor_stop)
{
	spare_new();
	asynctimer_reactor_stop(reactor);
	expect_shutdown(0, 0);
	expect_shutdown(FOREVER, 0);
	expect_shutdown(MS, 0);
	expect_shut(spare.timer);
	expect_stopped();
}
END_TEST

START_TEST(what_does_not_start_anything_still_works)
{
	struct watched watched = { .result = 0 };
	struct asynctimer_info info;

	spare_new();
	watch_new(&watched, CLOCK_MONOTONIC, MS, SCHEDULE);
	must(asynctimer_start(watched.timer));
	expect_shutdown(0, 0);
	ck_assert_int_eq(asynctimer_stop(watched.timer), 0);
	ck_assert_int_eq(asynctimer_stop_nowait(watched.timer), 0);
	ck_assert_int_eq(asynctimer_set_interval(watched.timer, HOUR), 1);
	ck_assert_int_eq(asynctimer_set_name(watched.timer, "late"), 1);
	ck_assert_int_eq(asynctimer_get_info(watched.timer, sizeof(info), &info), 0);
	ck_assert_str_eq(info.name, "late");
	ck_assert_uint_eq(info.interval_ns, HOUR);
	ck_assert_int_eq(info.started, 0);
	ck_assert_int_eq(asynctimer_reactor_list(reactor, 0, sizeof(info), NULL), 2);
	asynctimer_free(watched.timer);
	ck_assert_int_eq(asynctimer_reactor_list(reactor, 0, sizeof(info), NULL), 1);
}
END_TEST

START_TEST(without_a_reactor_it_is_refused)
{
	ck_assert_int_eq(asynctimer_reactor_shutdown(NULL, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_shutdown(NULL, FOREVER), -EINVAL);
}
END_TEST

/*
 * Callbacks that run.
 */

#define RUNNERS 3

/* Callbacks that stay until they are let go, each in a thread of its own: on a virtual reactor one. */
static struct staying {
	struct watched watched;
	int go;
} staying[RUNNERS];
static pthread_t runner[RUNNERS];
static unsigned runners;
static int inside;
static int ended;

static int stay(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct staying *stays = watched->data;

	(void)tick;
	flag_add(&inside);
	await(flag_get(&stays->go));
	flag_add(&ended);
	return watched->result;
}

static void all_stay(void)
{
	spare_new();
	runners = backing == BACKING_VIRTUAL ? 1 : RUNNERS;
	for (unsigned i = 0; i < runners; i++) {
		staying[i] = (struct staying){ .watched = { .then = stay, .data = &staying[i] } };
		watch_new(&staying[i].watched, CLOCK_MONOTONIC, MS, SCHEDULE);
		must(asynctimer_start(staying[i].watched.timer));
		runner[i] = thread_new(run_reactor, reactor);
	}
	await(flag_get(&inside) == (int)runners);
}

static void let_go(unsigned i)
{
	flag_set(&staying[i].go);
}

static void runners_leave(void)
{
	for (unsigned i = 0; i < runners; i++)
		thread_join(runner[i]);
}

START_TEST(it_waits_for_the_callbacks_of_all_threads)
{
	struct shutter shutter = { .ended = &ended };

	all_stay();
	shutter.at_least = (int)runners;
	shutter_go(&shutter, FOREVER);
	await_shutdown();
	for (unsigned i = 0; i < runners; i++) {
		ck_assert_int_eq(flag_get(&shutter.returned), 0);
		ck_assert_uint_eq(open_now(), runners - i);
		let_go(i);
		await(open_now() == runners - i - 1);
	}
	shutter_ends(&shutter, 0);
	/* Each of them has left run, which returned 0. */
	runners_leave();
	expect_stopped();
	for (unsigned i = 0; i < runners; i++)
		ck_assert_uint_eq(staying[i].watched.callbacks, 1);
}
END_TEST

START_TEST(of_a_hung_callback_it_says_that_it_is_open)
{
	static const int64_t timeouts_ns[] = { 0, 1, 1000, 3000000 };
	struct asynctimer_reactor_stats stats;

	all_stay();
	for (unsigned i = 0; i < sizeof(timeouts_ns) / sizeof(*timeouts_ns); i++) {
		uint64_t before_ns = real_now();

		expect_shutdown(timeouts_ns[i], (int)runners);
		ck_assert_uint_ge(real_now() - before_ns, (uint64_t)timeouts_ns[i]);
	}
	expect_shut(spare.timer);
	must(asynctimer_reactor_get_stats(reactor, sizeof(stats), &stats));
	ck_assert_uint_eq(stats.open, runners);
	ck_assert_uint_eq(stats.started, 0);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	ck_assert_int_eq(flag_get(&ended), 0);
	for (unsigned i = 0; i < runners; i++)
		let_go(i);
	/* The reactor was stopped all the same. */
	runners_leave();
	expect_shutdown(0, 0);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	reactor = NULL;
}
END_TEST

START_TEST(the_longest_timeouts_are_long)
{
	static const int64_t timeouts_ns[] = { INT64_MAX, INT64_MIN };

	for (unsigned i = 0; i < 2; i++) {
		struct shutter shutter = { .ended = &ended };

		inside = ended = 0;
		all_stay();
		shutter.at_least = (int)runners;
		shutter_go(&shutter, timeouts_ns[i]);
		await_shutdown();
		for (unsigned k = 0; k < runners; k++)
			let_go(k);
		shutter_ends(&shutter, 0);
		runners_leave();
		ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
		must(new_reactor(&reactor));
	}
}
END_TEST

START_TEST(two_at_once_both_wait)
{
	struct shutter shutter[2] = { { .ended = &ended }, { .ended = &ended } };

	all_stay();
	for (unsigned i = 0; i < 2; i++) {
		shutter[i].at_least = (int)runners;
		shutter_go(&shutter[i], FOREVER);
	}
	await_shutdown();
	for (unsigned i = 0; i < runners; i++)
		let_go(i);
	for (unsigned i = 0; i < 2; i++)
		shutter_ends(&shutter[i], 0);
	runners_leave();
}
END_TEST

static int start_what_can_be_started(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct watched *other = watched->data;

	(void)tick;
	/* Another's callback would be next. */
	must(asynctimer_start_after(other->timer, 0));
	flag_add(&inside);
	await_shutdown();
	expect_shut(watched->timer);
	expect_shut(other->timer);
	flag_add(&ended);
	return ASYNCTIMER_DONE;
}

START_TEST(a_callback_that_starts_timers_is_told)
{
	struct shutter shutter = { .ended = &ended, .at_least = 1 };
	struct watched other = { .result = 0 };
	struct watched watched = { .then = start_what_can_be_started, .data = &other };
	pthread_t thread;

	spare_new();
	watch_new(&other, CLOCK_MONOTONIC, MS, SCHEDULE);
	watch_new(&watched, CLOCK_MONOTONIC, MS, SCHEDULE);
	must(asynctimer_start(watched.timer));
	thread = thread_new(run_reactor, reactor);
	await(flag_get(&inside));
	shutter_go(&shutter, FOREVER);
	shutter_ends(&shutter, 0);
	thread_join(thread);
	ck_assert_uint_eq(watched.callbacks, 1);
	ck_assert_uint_eq(other.callbacks, 0);
}
END_TEST

/*
 * Ticks that are deferred.
 */

static struct watched deferred[DEFERRED];

static void defer(void)
{
	spare_new();
	for (unsigned i = 0; i < DEFERRED; i++) {
		deferred[i] = (struct watched){ .result = ASYNCTIMER_PENDING };
		watch_new(&deferred[i], CLOCK_MONOTONIC, MS, (int)i % 2);
		must(asynctimer_set_name(deferred[i].timer, i ? "another" : "the one"));
		must(asynctimer_start_after(deferred[i].timer, 0));
	}
	for (unsigned i = 0; i < DEFERRED; i++)
		while (!deferred[i].callbacks)
			dispatch(-1);
}

static void complete(struct watched *watched, int result)
{
	ck_assert_int_eq(asynctimer_complete(watched->timer, watched->last.number, result), 0);
}

START_TEST(it_says_how_many_ticks_are_deferred_and_the_list_says_whose)
{
	struct asynctimer_info infos[DEFERRED + 1];
	unsigned named = 0;

	defer();
	expect_shutdown(0, DEFERRED);
	/* A timer that is freed is in the way until its tick completes. */
	asynctimer_free(deferred[0].timer);
	expect_shutdown(MS, DEFERRED);
	ck_assert_int_eq(asynctimer_reactor_list(reactor, DEFERRED + 1, sizeof(*infos), infos),
			 DEFERRED + 1);
	for (unsigned i = 0; i <= DEFERRED; i++) {
		ck_assert_int_eq(infos[i].started, 0);
		ck_assert_int_eq(infos[i].open, infos[i].timer == spare.timer ? 0 : 2);
		named += strcmp(infos[i].name, "the one") == 0;
	}
	ck_assert_uint_eq(named, 1);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	for (unsigned i = 0; i < DEFERRED; i++) {
		expect_shutdown(0, (int)(DEFERRED - i));
		complete(&deferred[i], i % 2 ? -EIO : 0);
	}
	expect_shutdown(0, 0);
	expect_stopped();
	for (unsigned i = 1; i < DEFERRED; i++) {
		expect_shut(deferred[i].timer);
		ck_assert_uint_eq(deferred[i].callbacks, 1);
	}
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	reactor = NULL;
}
END_TEST

START_TEST(it_waits_until_the_last_deferred_tick_is_completed)
{
	struct shutter shutter = { .ended = &ended, .at_least = DEFERRED };

	defer();
	shutter_go(&shutter, FOREVER);
	await_shutdown();
	for (unsigned i = 0; i < DEFERRED; i++) {
		ck_assert_int_eq(flag_get(&shutter.returned), 0);
		flag_add(&ended);
		complete(&deferred[i], 0);
	}
	shutter_ends(&shutter, 0);
	expect_stopped();
}
END_TEST

START_TEST(one_that_is_never_completed_does_not_keep_it)
{
	uint64_t before_ns;

	defer();
	for (unsigned i = 1; i < DEFERRED; i++)
		complete(&deferred[i], 0);
	before_ns = real_now();
	expect_shutdown(5000000, 1);
	ck_assert_uint_ge(real_now() - before_ns, 5000000);
	expect_stopped();
	complete(&deferred[0], 0);
}
END_TEST

/* The last thing that a shutdown waits for may be a handler, in the thread that completes. */
static int handler_go;

static void stay_in_handler(struct asynctimer *timer, int error, void *data)
{
	(void)timer;
	(void)data;
	ck_assert_int_eq(error, -EIO);
	flag_add(&inside);
	await(flag_get(&handler_go));
	flag_add(&ended);
}

static void *complete_with_eio(void *data)
{
	complete(data, -EIO);
	return NULL;
}

START_TEST(it_waits_for_the_handler_of_a_deferred_tick)
{
	struct shutter shutter = { .ended = &ended, .at_least = 1 };
	pthread_t completer;

	defer();
	for (unsigned i = 1; i < DEFERRED; i++)
		complete(&deferred[i], 0);
	must(asynctimer_set_error_handler(deferred[0].timer, stay_in_handler));
	completer = thread_new(complete_with_eio, &deferred[0]);
	await(flag_get(&inside));
	expect_shutdown(0, 1);
	shutter_go(&shutter, FOREVER);
	flag_set(&handler_go);
	shutter_ends(&shutter, 0);
	thread_join(completer);
}
END_TEST

/* As a loop of the host's own does it: a little time per round, and nothing is lost meanwhile. */
START_TEST(from_a_host_loop_it_is_tried_until_nothing_is_open)
{
	unsigned completed = 0;

	defer();
	while (asynctimer_reactor_shutdown(reactor, 1000) > 0) {
		dispatch(0);
		ck_assert_uint_lt(completed, DEFERRED);
		complete(&deferred[completed++], 0);
	}
	ck_assert_uint_eq(completed, DEFERRED);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	reactor = NULL;
}
END_TEST

/*
 * Where it is refused.
 */

static void be_refused(struct asynctimer_reactor *which)
{
	ck_assert_int_eq(asynctimer_reactor_shutdown(which, 0), -EBUSY);
	ck_assert_int_eq(asynctimer_reactor_shutdown(which, FOREVER), -EBUSY);
	flag_add(&inside);
}

static int be_refused_in_callback(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	be_refused(asynctimer_get_reactor(watched->timer));
	return watched->result;
}

static void be_refused_in_handler(struct asynctimer *timer, int error, void *data)
{
	(void)error;
	(void)data;
	be_refused(asynctimer_get_reactor(timer));
}

static void be_refused_in_release(void *data)
{
	(void)data;
	be_refused(reactor);
}

static int be_refused_and_free(struct watched *watched, const struct asynctimer_tick *tick)
{
	be_refused_in_callback(watched, tick);
	asynctimer_free(watched->timer);
	return ASYNCTIMER_DONE;
}

START_TEST(inside_a_callback_handler_or_release_it_is_refused)
{
	struct watched watched = { .then = be_refused_in_callback };

	spare_new();
	watch_new(&watched, CLOCK_MONOTONIC, MS, SCHEDULE);
	must(asynctimer_set_error_handler(watched.timer, be_refused_in_handler));
	asynctimer_set_release(watched.timer, be_refused_in_release);
	must(asynctimer_start(watched.timer));
	dispatch_callbacks(&watched, 1);
	watched.result = -EIO;
	dispatch_callbacks(&watched, 2);
	watched.result = ASYNCTIMER_PENDING;
	dispatch_callbacks(&watched, 3);
	complete(&watched, -EIO);
	/* In callbacks three times, in handlers twice. */
	ck_assert_int_eq(inside, 5);
	watched.then = be_refused_and_free;
	dispatch_callbacks(&watched, 4);
	ck_assert_int_eq(inside, 7);
	alive();
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), 0);
	expect_shutdown(FOREVER, 0);
}
END_TEST

static struct asynctimer_reactor *outer, *inner;

static int dispatch_inner(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	ck_assert_int_eq(dispatch_on(inner, -1), 1);
	/* That one has been left again. */
	ck_assert_int_eq(asynctimer_reactor_shutdown(inner, FOREVER), 0);
	return ASYNCTIMER_DONE;
}

static int be_refused_by_outer(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	be_refused(outer);
	be_refused(inner);
	return ASYNCTIMER_DONE;
}

START_TEST(further_out_counts_as_inside)
{
	struct watched in = { .then = be_refused_by_outer }, out = { .then = dispatch_inner };

	spare_new();
	outer = reactor;
	must(new_reactor(&inner));
	watch_new(&out, CLOCK_MONOTONIC, MS, SCHEDULE);
	reactor = inner;
	watch_new(&in, CLOCK_MONOTONIC, MS, SCHEDULE);
	reactor = outer;
	must(asynctimer_start(in.timer));
	must(asynctimer_start(out.timer));
	dispatch_callbacks(&out, 1);
	ck_assert_int_eq(inside, 2);
	alive();
	ck_assert_int_eq(asynctimer_reactor_free(inner), 0);
}
END_TEST

/*
 * Who would wait for whom.
 */

enum act { SHUTS_DOWN, STOPS };

/* Each on a reactor of its own, in a thread of its own. */
struct member {
	struct asynctimer_reactor *reactor;
	struct watched watched, bystander;
	enum act act;
	int64_t timeout_ns;
	struct member *next;
	int result;
};

static int met;
static int refusals;

static int act_on_the_next(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct member *member = watched->data;
	struct member *next = member->next;

	(void)tick;
	flag_add(&inside);
	await(flag_get(&inside) == met);
	if (member->act == STOPS)
		member->result = asynctimer_stop(next->watched.timer);
	else
		member->result = asynctimer_reactor_shutdown(next->reactor, member->timeout_ns);
	if (member->result == -EDEADLK) {
		/* Nothing has changed. */
		ck_assert_int_eq(asynctimer_is_started(next->bystander.timer), 1);
		ck_assert_int_eq(asynctimer_is_started(next->watched.timer), 1);
		ck_assert_int_eq(flag_add(&refusals), 1);
	}
	/* One is, else nobody would be here. */
	ck_assert_int_eq(flag_get(&refusals), 1);
	return ASYNCTIMER_DONE;
}

static void *dispatch_one(void *data)
{
	ck_assert_int_ge(asynctimer_reactor_dispatch(data, -1), 1);
	return NULL;
}

static void in_a_circle(unsigned size, unsigned stops, int64_t timeout_ns)
{
	struct asynctimer_reactor *kept = reactor;
	struct member members[3];
	pthread_t threads[3];

	inside = refusals = 0;
	met = (int)size;
	for (unsigned i = 0; i < size; i++) {
		struct member *member = &members[i];

		*member = (struct member){
			.watched = { .then = act_on_the_next, .data = member },
			.act = stops >> i & 1 ? STOPS : SHUTS_DOWN,
			.timeout_ns = timeout_ns,
			.next = &members[(i + 1) % size],
		};
		must(new_reactor(&member->reactor));
		reactor = member->reactor;
		watch_new(&member->watched, CLOCK_MONOTONIC, HOUR, SCHEDULE);
		watch_new(&member->bystander, CLOCK_MONOTONIC, HOUR, SCHEDULE);
		must(asynctimer_start(member->bystander.timer));
		must(asynctimer_start_after(member->watched.timer, 0));
	}
	reactor = kept;
	for (unsigned i = 0; i < size; i++)
		threads[i] = thread_new(dispatch_one, members[i].reactor);
	for (unsigned i = 0; i < size; i++)
		thread_join(threads[i]);
	ck_assert_int_eq(refusals, 1);
	for (unsigned i = 0; i < size; i++) {
		struct member *member = &members[i];

		if (member->result != -EDEADLK)
			ck_assert_int_eq(member->result, member->act == STOPS ? 1 : 0);
		ck_assert_int_eq(asynctimer_reactor_shutdown(member->reactor, FOREVER), 0);
		ck_assert_int_eq(asynctimer_reactor_free(member->reactor), 0);
	}
}

START_TEST(of_callbacks_that_shut_each_others_reactors_down_exactly_one_is_refused)
{
	for (unsigned i = 0; i < 10; i++) {
		in_a_circle(2, 0, FOREVER);
		in_a_circle(2, 0, (int64_t)HOUR);
		in_a_circle(3, 0, FOREVER);
	}
}
END_TEST

START_TEST(a_stop_may_close_the_circle_too)
{
	for (unsigned i = 0; i < 10; i++) {
		in_a_circle(2, 1, FOREVER);
		for (unsigned stops = 1; stops < 7; stops++)
			in_a_circle(3, stops, FOREVER);
	}
}
END_TEST

/*
 * A callback of `reactor` shuts the inner one down, where two callbacks run, or a
 * handler will. It waits for all of them: whichever waits for it is told.
 */
static struct {
	struct watched shuts;
	int result;
	int go;
} circle;

static int shut_inner_down(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	circle.result = asynctimer_reactor_shutdown(inner, FOREVER);
	return ASYNCTIMER_DONE;
}

static pthread_t circle_begin(void)
{
	circle.shuts.then = shut_inner_down;
	watch_new(&circle.shuts, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(asynctimer_start_after(circle.shuts.timer, 0));
	return thread_new(dispatch_one, reactor);
}

static void circle_ends(pthread_t thread)
{
	thread_join(thread);
	ck_assert_int_eq(circle.result, 0);
	ck_assert_int_eq(asynctimer_is_started(circle.shuts.timer), 1);
	ck_assert_int_eq(asynctimer_reactor_free(inner), 0);
}

static int stop_the_one_that_waits(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	flag_add(&inside);
	await_shutdown();
	ck_assert_int_eq(asynctimer_stop(circle.shuts.timer), -EDEADLK);
	flag_set(&circle.go);
	return ASYNCTIMER_DONE;
}

static int stay_in_circle(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	flag_add(&inside);
	await(flag_get(&circle.go));
	return ASYNCTIMER_DONE;
}

/* Whichever of the two began first. */
static void one_of_two_closes_the_circle(bool first_stays)
{
	struct asynctimer_reactor *kept = reactor;
	struct watched watched[2] = { { .then = stop_the_one_that_waits }, { .then = stay_in_circle } };
	pthread_t threads[2], thread;

	memset(&circle, 0, sizeof(circle));
	inside = 0;
	must(new_reactor(&inner));
	reactor = inner;
	memset(&spare, 0, sizeof(spare));
	spare_new();
	for (int i = 0; i < 2; i++) {
		struct watched *next = &watched[first_stays ? 1 - i : i];

		watch_new(next, CLOCK_MONOTONIC, HOUR, SCHEDULE);
		must(asynctimer_start_after(next->timer, 0));
		threads[i] = thread_new(dispatch_one, inner);
		await(flag_get(&inside) == i + 1);
	}
	reactor = kept;
	thread = circle_begin();
	for (unsigned i = 0; i < 2; i++)
		thread_join(threads[i]);
	circle_ends(thread);
	asynctimer_free(circle.shuts.timer);
}

START_TEST(it_waits_for_each_of_several_and_each_may_close_the_circle)
{
	one_of_two_closes_the_circle(false);
	one_of_two_closes_the_circle(true);
}
END_TEST

static void stop_the_one_that_waits_in_handler(struct asynctimer *timer, int error, void *data)
{
	(void)timer;
	(void)error;
	(void)data;
	ck_assert_int_eq(asynctimer_stop(circle.shuts.timer), -EDEADLK);
	flag_add(&inside);
}

START_TEST(a_handler_that_begins_while_it_waits_may_close_the_circle)
{
	struct asynctimer_reactor *kept = reactor;
	struct watched late = { .result = ASYNCTIMER_PENDING };
	pthread_t thread;

	must(new_reactor(&inner));
	reactor = inner;
	spare_new();
	watch_new(&late, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(asynctimer_set_error_handler(late.timer, stop_the_one_that_waits_in_handler));
	must(asynctimer_start_after(late.timer, 0));
	ck_assert_int_eq(dispatch_on(inner, -1), 1);
	reactor = kept;
	thread = circle_begin();
	await_shutdown();
	complete(&late, -EIO);
	ck_assert_int_eq(inside, 1);
	circle_ends(thread);
}
END_TEST

/* Nobody waits for the thread that shuts down: that it waits for others is no circle. */
static int stop_a_callback_that_stays(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	flag_add(&inside);
	ck_assert_int_eq(asynctimer_stop(staying[0].watched.timer), 1);
	flag_add(&ended);
	return ASYNCTIMER_DONE;
}

START_TEST(a_chain_of_those_that_wait_is_no_circle)
{
	struct watched stops = { .then = stop_a_callback_that_stays };
	struct shutter shutter = { .ended = &ended, .at_least = 2 };
	pthread_t threads[2];

	spare_new();
	staying[0] = (struct staying){ .watched = { .then = stay, .data = &staying[0] } };
	watch_new(&staying[0].watched, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(asynctimer_start_after(staying[0].watched.timer, 0));
	threads[0] = thread_new(dispatch_one, reactor);
	await(flag_get(&inside) == 1);
	watch_new(&stops, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(asynctimer_start_after(stops.timer, 0));
	threads[1] = thread_new(dispatch_one, reactor);
	await(flag_get(&inside) == 2 && !asynctimer_is_started(staying[0].watched.timer));
	shutter_go(&shutter, FOREVER);
	await_shutdown();
	let_go(0);
	shutter_ends(&shutter, 0);
	for (unsigned i = 0; i < 2; i++)
		thread_join(threads[i]);
}
END_TEST

/*
 * Laws.
 */

static void *shut_down_then_be_cancelled(void *data)
{
	shut_down(data);
	pthread_testcancel();
	return NULL;
}

START_TEST(it_is_no_cancellation_point)
{
	struct shutter shutter = { .reactor = reactor, .timeout_ns = FOREVER, .ended = &ended };
	void *how;

	all_stay();
	shutter.at_least = (int)runners;
	shutter.thread = thread_new(shut_down_then_be_cancelled, &shutter);
	await_shutdown();
	ck_assert_int_eq(pthread_cancel(shutter.thread), 0);
	for (unsigned i = 0; i < runners; i++)
		let_go(i);
	ck_assert_int_eq(pthread_join(shutter.thread, &how), 0);
	ck_assert_ptr_eq(how, PTHREAD_CANCELED);
	ck_assert_int_eq(shutter.returned, 1);
	ck_assert_int_eq(shutter.result, 0);
	runners_leave();
}
END_TEST

int main(void)
{
	/* REAL: several threads in a reactor, or two in turn, which a virtual one refuses. */
	return RUN_WITH_BACKINGS("shutdown",
		EVERY(at_rest_every_timer_is_stopped_and_nothing_can_be_started),
		EVERY(it_may_be_called_again_and_after_reactor_stop),
		EVERY(what_does_not_start_anything_still_works),
		EVERY(without_a_reactor_it_is_refused),
		EVERY(it_waits_for_the_callbacks_of_all_threads),
		EVERY(of_a_hung_callback_it_says_that_it_is_open),
		EVERY(the_longest_timeouts_are_long),
		EVERY(two_at_once_both_wait),
		EVERY(a_callback_that_starts_timers_is_told),
		EVERY(it_says_how_many_ticks_are_deferred_and_the_list_says_whose),
		EVERY(it_waits_until_the_last_deferred_tick_is_completed),
		EVERY(one_that_is_never_completed_does_not_keep_it),
		EVERY(it_waits_for_the_handler_of_a_deferred_tick),
		EVERY(from_a_host_loop_it_is_tried_until_nothing_is_open),
		EVERY(inside_a_callback_handler_or_release_it_is_refused),
		REAL(further_out_counts_as_inside),
		REAL(of_callbacks_that_shut_each_others_reactors_down_exactly_one_is_refused),
		REAL(a_stop_may_close_the_circle_too),
		REAL(it_waits_for_each_of_several_and_each_may_close_the_circle),
		REAL(a_handler_that_begins_while_it_waits_may_close_the_circle),
		REAL(a_chain_of_those_that_wait_is_no_circle),
		EVERY(it_is_no_cancellation_point));
}

/* SPDX-License-Identifier: MIT */
/*
 * A clock that is set: asynctimer_reactor_set_clock. The rules are those of the
 * real clocks, which tests/kernel/test_clock sets as root; here each is exact.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

#define END_NS (UINT64_C(1) << 63)
#define INTERVAL 20

static int advance(uint64_t ns)
{
	return must(asynctimer_reactor_advance(reactor, ns));
}

static int set_clock(int clock, uint64_t now_ns)
{
	return asynctimer_reactor_set_clock(reactor, clock, now_ns);
}

/* As clock_settime would. */
static void step(int64_t by_ns)
{
	uint64_t now_ns = now_on(CLOCK_REALTIME) + (uint64_t)by_ns;

	ck_assert_int_eq(set_clock(CLOCK_REALTIME, now_ns), 0);
	ck_assert_uint_eq(now_on(CLOCK_REALTIME), now_ns);
}

/* As a suspend would. */
static void suspend(uint64_t for_ns)
{
	uint64_t now_ns = now_on(CLOCK_BOOTTIME) + for_ns;

	ck_assert_int_eq(set_clock(CLOCK_BOOTTIME, now_ns), 0);
	ck_assert_uint_eq(now_on(CLOCK_BOOTTIME), now_ns);
}

/* Its last tick, in nanoseconds from origin_ns, which may be negative. */
static uint64_t origin_ns;

static void expect_tick(const struct watched *watched, int64_t due_ns, int64_t now_ns,
			uint64_t number, uint64_t busy, uint64_t late)
{
	ck_assert_int_eq((int64_t)(watched->last.due_ns - origin_ns), due_ns);
	ck_assert_int_eq((int64_t)(watched->last.now_ns - origin_ns), now_ns);
	ck_assert_uint_eq(watched->last.number, number);
	ck_assert_uint_eq(watched->last.skipped_busy, busy);
	ck_assert_uint_eq(watched->last.skipped_late, late);
}

static void expect_due(const struct watched *watched, int64_t due_ns)
{
	ck_assert_int_eq((int64_t)(asynctimer_next_due_ns(watched->timer) - origin_ns), due_ns);
}

/*
 * What it answers.
 */

START_TEST(it_is_for_virtual_reactors)
{
	ck_assert_int_eq(set_clock(CLOCK_REALTIME, 0), -EOPNOTSUPP);
	ck_assert_int_eq(set_clock(CLOCK_BOOTTIME, now_on(CLOCK_BOOTTIME) + HOUR), -EOPNOTSUPP);
}
END_TEST

START_TEST(one_clock_is_set_and_all_go_on_together)
{
	uint64_t begin_ns = now_mono();

	ck_assert_uint_eq(now_on(CLOCK_REALTIME), begin_ns);
	ck_assert_uint_eq(now_on(CLOCK_BOOTTIME), begin_ns);
	step(HOUR);
	ck_assert_uint_eq(now_mono(), begin_ns);
	ck_assert_uint_eq(now_on(CLOCK_BOOTTIME), begin_ns);
	suspend(100);
	ck_assert_uint_eq(now_mono(), begin_ns);
	ck_assert_uint_eq(now_on(CLOCK_REALTIME), begin_ns + HOUR);
	ck_assert_int_eq(advance(7), 0);
	ck_assert_uint_eq(now_mono(), begin_ns + 7);
	ck_assert_uint_eq(now_on(CLOCK_BOOTTIME), begin_ns + 107);
	ck_assert_uint_eq(now_on(CLOCK_REALTIME), begin_ns + HOUR + 7);
	ck_assert_int_eq(set_clock(CLOCK_REALTIME, 0), 0);
	ck_assert_int_eq(advance(7), 0);
	ck_assert_uint_eq(now_on(CLOCK_REALTIME), 7);
	ck_assert_uint_eq(now_mono(), begin_ns + 14);
	/* To what they show. */
	step(0);
	suspend(0);
}
END_TEST

START_TEST(what_can_not_be_set_is_refused_and_nothing_changes)
{
	const int others[] = { CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_ALARM,
			       CLOCK_PROCESS_CPUTIME_ID, -1, 12345 };
	uint64_t begin_ns = now_mono();

	for (unsigned i = 0; i < sizeof(others) / sizeof(*others); i++) {
		ck_assert_int_eq(set_clock(others[i], begin_ns), -EINVAL);
		ck_assert_int_eq(set_clock(others[i], begin_ns + HOUR), -EINVAL);
	}
	ck_assert_int_eq(set_clock(CLOCK_BOOTTIME, begin_ns - 1), -EINVAL);
	ck_assert_int_eq(set_clock(CLOCK_BOOTTIME, 0), -EINVAL);
	ck_assert_int_eq(set_clock(CLOCK_BOOTTIME, END_NS + 1), -EINVAL);
	ck_assert_int_eq(set_clock(CLOCK_REALTIME, END_NS + 1), -EINVAL);
	ck_assert_int_eq(set_clock(CLOCK_REALTIME, UINT64_MAX), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_set_clock(NULL, CLOCK_REALTIME, 0), -EINVAL);
	ck_assert_uint_eq(now_mono(), begin_ns);
	ck_assert_uint_eq(now_on(CLOCK_REALTIME), begin_ns);
	ck_assert_uint_eq(now_on(CLOCK_BOOTTIME), begin_ns);
}
END_TEST

START_TEST(no_clock_is_advanced_past_its_end)
{
	const int clocks[] = { CLOCK_REALTIME, CLOCK_BOOTTIME };

	for (unsigned i = 0; i < 2; i++) {
		struct asynctimer_reactor *first = reactor;

		must(new_reactor(&reactor));
		ck_assert_int_eq(set_clock(clocks[i], END_NS - 10), 0);
		ck_assert_int_eq(asynctimer_reactor_advance(reactor, 11), -EOVERFLOW);
		ck_assert_int_eq(asynctimer_reactor_advance(reactor, UINT64_MAX), -EOVERFLOW);
		ck_assert_uint_eq(now_mono(), SECOND);
		ck_assert_int_eq(advance(10), 0);
		ck_assert_uint_eq(now_on(clocks[i]), END_NS);
		ck_assert_int_eq(asynctimer_reactor_advance(reactor, 1), -EOVERFLOW);
		ck_assert_int_eq(advance(0), 0);
		/* Set back there is room again, up to where CLOCK_MONOTONIC ends. */
		if (clocks[i] == CLOCK_REALTIME) {
			step(-100);
			ck_assert_int_eq(advance(100), 0);
		}
		must(asynctimer_reactor_free(reactor));
		reactor = first;
	}
}
END_TEST

/* At 100 of an advance by 1000: 900 are to come. */
static int set_to_the_end(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	ck_assert_int_eq(set_clock(CLOCK_REALTIME, END_NS - 899), -EINVAL);
	ck_assert_int_eq(set_clock(CLOCK_BOOTTIME, END_NS - 899), -EINVAL);
	ck_assert_int_eq(set_clock(CLOCK_REALTIME, END_NS - 900), 0);
	ck_assert_int_eq(set_clock(CLOCK_BOOTTIME, END_NS - 900), 0);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 901), -EOVERFLOW);
	return ASYNCTIMER_DONE;
}

START_TEST(in_a_callback_the_advance_under_way_must_have_room)
{
	struct watched watched = { .then = set_to_the_end };

	watch_new(&watched, CLOCK_MONOTONIC, 100, ONCE);
	must(asynctimer_start(watched.timer));
	ck_assert_int_eq(advance(1000), 1);
	ck_assert_uint_eq(now_on(CLOCK_REALTIME), END_NS);
	ck_assert_uint_eq(now_on(CLOCK_BOOTTIME), END_NS);
}
END_TEST

static int inside;
static int go_on;

static int stay(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	flag_set(&inside);
	await(flag_get(&go_on));
	return ASYNCTIMER_DONE;
}

static void *advance_in_thread(void *data)
{
	ck_assert_int_eq(asynctimer_reactor_advance(data, 100), 1);
	return NULL;
}

START_TEST(while_another_thread_advances_it_is_refused)
{
	struct watched watched = { .then = stay };
	uint64_t real_ns = now_on(CLOCK_REALTIME);
	pthread_t thread;

	watch_new(&watched, CLOCK_MONOTONIC, 100, ONCE);
	must(asynctimer_start(watched.timer));
	thread = thread_new(advance_in_thread, reactor);
	await(flag_get(&inside));
	ck_assert_int_eq(set_clock(CLOCK_REALTIME, real_ns + HOUR), -EBUSY);
	ck_assert_int_eq(set_clock(CLOCK_BOOTTIME, real_ns + HOUR), -EBUSY);
	flag_set(&go_on);
	thread_join(thread);
	ck_assert_uint_eq(now_on(CLOCK_REALTIME), real_ns + 100);
	step(HOUR);
}
END_TEST

static unsigned releases;

static void be_refused_in_release(void *data)
{
	releases++;
	ck_assert_int_eq(asynctimer_reactor_set_clock(data, CLOCK_REALTIME, HOUR), -EBUSY);
}

START_TEST(while_the_reactor_is_freed_it_is_refused)
{
	struct asynctimer *timer;

	must(new_timer(CLOCK_REALTIME, MS, SCHEDULE, on_tick, reactor, &timer));
	asynctimer_set_release(timer, be_refused_in_release);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	reactor = NULL;
	ck_assert_uint_eq(releases, 1);
}
END_TEST

START_TEST(in_a_forked_child_it_is_refused)
{
	int status;
	pid_t child = fork();

	if (!child)
		_exit(set_clock(CLOCK_REALTIME, HOUR) == -ECHILD ? 0 : 1);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

/*
 * A step of CLOCK_REALTIME, by the timer's state. Its grid has the points
 * origin_ns + 20, 40, 60 ... and each row says which tick is the next.
 */

static struct watched watched;

static void begin(uint64_t interval_ns, int policy)
{
	memset(&watched, 0, sizeof(watched));
	watch_new(&watched, CLOCK_REALTIME, interval_ns, policy);
	origin_ns = now_on(CLOCK_REALTIME);
	must(asynctimer_start(watched.timer));
}

static void step_by(int64_t by_ns)
{
	unsigned callbacks = watched.callbacks;

	step(by_ns);
	ck_assert_uint_eq(watched.callbacks, callbacks);
	if (by_ns < 0)
		watched.restarted = true;
}

/* 40 was the last tick, and it is 45. */
static void while_armed(int64_t by_ns)
{
	advance(45);
	step_by(by_ns);
}

/* And it is 65, 60 being due. */
static void while_due(int64_t by_ns)
{
	advance(45);
	let_pass_until(now_mono() + 20);
	step_by(by_ns);
}

static int64_t step_in_callback_ns;

static int step_in_callback(struct watched *self, const struct asynctimer_tick *tick)
{
	if (tick->number == 3) {
		step(step_in_callback_ns);
		self->restarted = step_in_callback_ns < 0;
	}
	return ASYNCTIMER_DONE;
}

/* In the callback of 60. */
static void while_running(int64_t by_ns)
{
	watched.then = step_in_callback;
	step_in_callback_ns = by_ns;
	advance(60);
	watched.then = NULL;
}

static void complete(void)
{
	ck_assert_int_eq(asynctimer_complete(watched.timer, watched.last.number, 0), 0);
	watched.result = ASYNCTIMER_DONE;
}

static void defer_the_third(void)
{
	advance(59);
	watched.result = ASYNCTIMER_PENDING;
	ck_assert_int_eq(advance(1), 1);
}

/* 60 is deferred, and completed at once. */
static void while_deferred(int64_t by_ns)
{
	defer_the_third();
	step_by(by_ns);
	complete();
}

/* 60 is deferred, and it is 105. */
static void while_overrunning(int64_t by_ns)
{
	defer_the_third();
	ck_assert_int_eq(advance(45), 0);
	step_by(by_ns);
	ck_assert_int_eq(advance(0), 0);
	complete();
}

static const struct row {
	void (*state)(int64_t by_ns);
	int64_t by_ns, due_ns;
	uint64_t number, busy, late;
} rows[] = {
	{ while_armed, 0, 60, 3, 0, 0 },
	{ while_armed, 7, 60, 3, 0, 0 },
	{ while_armed, 15, 60, 3, 0, 0 },
	{ while_armed, 34, 60, 3, 0, 0 },
	{ while_armed, 35, 80, 4, 0, 1 },
	{ while_armed, 250, 280, 14, 0, 11 },
	{ while_armed, -4, 60, 3, 0, 0 },
	{ while_armed, -5, 60, 3, 0, 0 },	/* 40 itself is not after now */
	{ while_armed, -6, 40, 3, 0, 0 },	/* again, for it is to come */
	{ while_armed, -7, 40, 3, 0, 0 },
	{ while_armed, -150, -100, 3, 0, 0 },
	{ while_due, 0, 60, 3, 0, 0 },
	{ while_due, 7, 60, 3, 0, 0 },
	{ while_due, 250, 300, 15, 0, 12 },
	{ while_due, -5, 60, 3, 0, 0 },
	{ while_due, -7, 60, 3, 0, 0 },
	{ while_due, -150, -80, 3, 0, 0 },
	{ while_running, 0, 80, 4, 0, 0 },
	{ while_running, 7, 80, 4, 0, 0 },
	{ while_running, 20, 100, 5, 1, 0 },	/* at the completion it is busy */
	{ while_running, 250, 320, 16, 12, 0 },
	{ while_running, -7, 60, 4, 0, 0 },
	{ while_running, -150, -80, 4, 0, 0 },
	{ while_deferred, 0, 80, 4, 0, 0 },
	{ while_deferred, 7, 80, 4, 0, 0 },
	{ while_deferred, 250, 320, 16, 12, 0 },
	{ while_deferred, -7, 60, 4, 0, 0 },
	{ while_deferred, -150, -80, 4, 0, 0 },
	{ while_overrunning, 0, 120, 6, 2, 0 },
	{ while_overrunning, 7, 120, 6, 2, 0 },
	{ while_overrunning, 250, 360, 18, 14, 0 },
	{ while_overrunning, -7, 100, 5, 1, 0 },
	{ while_overrunning, -150, -40, 4, 0, 0 },
};

static int64_t from_origin(void)
{
	return (int64_t)(now_on(CLOCK_REALTIME) - origin_ns);
}

/* The tick comes when it is due, or at once, and the grid goes on. */
static void expect_row(const struct row *row)
{
	unsigned callbacks = watched.callbacks;
	int64_t now_ns = from_origin();

	if (now_ns < row->due_ns) {
		expect_due(&watched, row->due_ns);
		ck_assert_int_eq(advance((uint64_t)(row->due_ns - now_ns) - 1), 0);
		now_ns = row->due_ns;
		ck_assert_int_eq(advance(1), 1);
	} else {
		ck_assert_int_eq(advance(0), 1);
	}
	expect_tick(&watched, row->due_ns, now_ns, row->number, row->busy, row->late);
	expect_due(&watched, row->due_ns + INTERVAL);
	ck_assert_int_eq(advance(2 * INTERVAL), 2);
	ck_assert_uint_eq(watched.callbacks, callbacks + 3);
}

START_TEST(set_in_any_state_the_grid_goes_on)
{
	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		begin(INTERVAL, SCHEDULE);
		rows[i].state(rows[i].by_ns);
		expect_row(&rows[i]);
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(set_back_in_a_callback_its_duration_is_nothing)
{
	struct asynctimer_stats stats;

	begin(INTERVAL, SCHEDULE);
	while_running(-7);
	must(asynctimer_get_stats(watched.timer, &stats));
	ck_assert_uint_eq(stats.duration_sum_ns, 0);
	ck_assert_uint_eq(stats.duration_max_ns, 0);
	ck_assert_uint_eq(stats.busy_since_ns, 0);
}
END_TEST

START_TEST(set_forward_before_the_first_tick_is_one_late_tick)
{
	begin(INTERVAL, SCHEDULE);
	step_by(1000);
	ck_assert_int_eq(advance(0), 1);
	expect_tick(&watched, 1000, 1000, 50, 0, 49);
	ck_assert_int_eq(advance(20), 1);
	expect_tick(&watched, 1020, 1020, 51, 0, 0);
	asynctimer_free(watched.timer);

	begin(INTERVAL, SCHEDULE);
	must(asynctimer_stop(watched.timer));
	must(asynctimer_start_at(watched.timer, origin_ns + 50));
	step_by(1000);
	ck_assert_int_eq(advance(0), 1);
	expect_tick(&watched, 990, 1000, 48, 0, 47);
	ck_assert_int_eq(advance(20), 1);
	expect_tick(&watched, 1010, 1010, 49, 0, 0);
}
END_TEST

START_TEST(set_back_before_the_first_tick_the_anchor_holds)
{
	for (unsigned i = 0; i < 2; i++) {
		begin(INTERVAL, SCHEDULE);
		if (i) {
			must(asynctimer_stop(watched.timer));
			must(asynctimer_start_at(watched.timer, origin_ns + 20));
		}
		advance(5);
		step_by(-60);
		expect_due(&watched, 20);
		ck_assert_int_eq(advance(74), 0);
		ck_assert_int_eq(advance(1), 1);
		expect_tick(&watched, 20, 20, 1, 0, 0);
		ck_assert_int_eq(advance(20), 1);
		expect_tick(&watched, 40, 40, 2, 0, 0);
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(set_forward_and_back_again_it_is_as_before)
{
	begin(INTERVAL, SCHEDULE);
	advance(45);
	step_by(HOUR);
	step_by(-(int64_t)HOUR);
	ck_assert_int_eq(advance(0), 0);
	expect_due(&watched, 60);
	ck_assert_int_eq(advance(15), 1);
	expect_tick(&watched, 60, 60, 3, 0, 0);
}
END_TEST

START_TEST(set_while_stopped_it_is_nothing_to_the_next_start)
{
	const int64_t steps_ns[] = { 0, 250, -150 };

	for (unsigned i = 0; i < 6; i++) {
		begin(INTERVAL, SCHEDULE);
		advance(45);
		if (i % 2)
			step_by(steps_ns[i / 2]);
		ck_assert_int_eq(asynctimer_stop(watched.timer), 1);
		if (!(i % 2))
			step_by(steps_ns[i / 2]);
		ck_assert_int_eq(advance(0), 0);
		watched.restarted = true;
		ck_assert_int_eq(asynctimer_start(watched.timer), 1);
		expect_due(&watched, 45 + steps_ns[i / 2] + 20);
		ck_assert_int_eq(advance(19), 0);
		ck_assert_int_eq(advance(1), 1);
		expect_tick(&watched, 65 + steps_ns[i / 2], 65 + steps_ns[i / 2], 3, 0, 0);
		asynctimer_free(watched.timer);
	}
}
END_TEST

/* A grid that was asked for by start_at(0): its points are multiples of the interval. */

static int restart_and_set_back(struct watched *self, const struct asynctimer_tick *tick)
{
	(void)tick;
	self->then = NULL;
	self->restarted = true;
	ck_assert_int_eq(asynctimer_stop(self->timer), 1);
	ck_assert_int_eq(asynctimer_start_at(self->timer, 0), 1);
	step(-1000);
	return ASYNCTIMER_DONE;
}

static int start_the_other_and_set_back(struct watched *self, const struct asynctimer_tick *tick)
{
	struct watched *other = self->data;

	(void)tick;
	must(asynctimer_start_at(other->timer, 0));
	step(-1000);
	return ASYNCTIMER_DONE;
}

/* It has been set back by 1000 and is a multiple of 20: the grid goes on from there. */
static void expect_multiples(struct watched *self, uint64_t number)
{
	uint64_t now_ns = now_on(CLOCK_REALTIME);

	origin_ns = now_ns;
	ck_assert_uint_eq(now_ns % 20, 0);
	expect_due(self, 20);
	ck_assert_int_eq(advance(19), 0);
	ck_assert_int_eq(advance(1), 1);
	expect_tick(self, 20, 20, number, 0, 0);
	ck_assert_int_eq(advance(40), 2);
}

START_TEST(set_back_after_a_restart_in_its_callback_the_grid_goes_on)
{
	step(-(int64_t)(now_on(CLOCK_REALTIME) % 20));
	begin(INTERVAL, SCHEDULE);
	watched.then = restart_and_set_back;
	ck_assert_int_eq(advance(20), 1);
	expect_multiples(&watched, 2);
}
END_TEST

START_TEST(set_back_after_a_start_in_anothers_callback_the_grid_goes_on)
{
	const int clocks[] = { CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME };

	step(-(int64_t)(now_on(CLOCK_REALTIME) % 20));
	for (unsigned i = 0; i < 3; i++) {
		struct watched starter = { .then = start_the_other_and_set_back, .data = &watched };

		memset(&watched, 0, sizeof(watched));
		watch_new(&watched, CLOCK_REALTIME, INTERVAL, SCHEDULE);
		watch_new(&starter, clocks[i], HOUR, SCHEDULE);
		must(asynctimer_start_after(starter.timer, 0));
		ck_assert_int_eq(advance(0), 1);
		expect_multiples(&watched, 1);
		asynctimer_free(starter.timer);
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(set_after_a_start_at_the_past_the_grid_goes_on)
{
	const int64_t steps_ns[] = { 0, 240, -1000 };

	step(-(int64_t)(now_on(CLOCK_REALTIME) % 20));
	for (unsigned i = 0; i < 3; i++) {
		memset(&watched, 0, sizeof(watched));
		watch_new(&watched, CLOCK_REALTIME, INTERVAL, SCHEDULE);
		must(asynctimer_start_at(watched.timer, 0));
		origin_ns = now_on(CLOCK_REALTIME);
		step(steps_ns[i]);
		if (steps_ns[i] <= 0) {
			expect_multiples(&watched, 1);
		} else {
			ck_assert_int_eq(advance(0), 1);
			expect_tick(&watched, 240, 240, 12, 0, 11);
		}
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(set_back_while_open_what_was_started_then_holds)
{
	begin(INTERVAL, SCHEDULE);
	defer_the_third();
	ck_assert_int_eq(asynctimer_stop(watched.timer), 1);
	ck_assert_int_eq(asynctimer_start_at(watched.timer, origin_ns + 150), 1);
	step_by(-1000);
	complete();
	expect_due(&watched, 150);
	ck_assert_int_eq(advance(1089), 0);
	ck_assert_int_eq(advance(1), 1);
	expect_tick(&watched, 150, 150, 4, 0, 0);
}
END_TEST

START_TEST(set_before_or_after_another_interval_the_grid_goes_on)
{
	/* At 45 the interval becomes 30: points at 70, 100; at 40 and 10, going back. */
	begin(INTERVAL, SCHEDULE);
	advance(45);
	ck_assert_int_eq(asynctimer_set_interval(watched.timer, 30), 1);
	watched.interval_ns = 30;
	watched.restarted = true;
	expect_due(&watched, 70);
	step(-40);
	watched.restarted = true;
	expect_due(&watched, 10);
	ck_assert_int_eq(advance(5), 1);
	expect_tick(&watched, 10, 10, 3, 0, 0);
	ck_assert_int_eq(advance(30), 1);
	expect_tick(&watched, 40, 40, 4, 0, 0);
	/* Set first: then the grid that it is changed from has come back already. */
	step(-30);
	watched.restarted = true;
	ck_assert_int_eq(asynctimer_set_interval(watched.timer, 7), 1);
	watched.interval_ns = 7;
	expect_due(&watched, 17);
	ck_assert_int_eq(advance(7), 1);
	expect_tick(&watched, 17, 17, 5, 0, 0);
}
END_TEST

START_TEST(set_often_to_what_it_is_changes_nothing)
{
	static struct watched many[60];
	uint64_t begin_ns = now_on(CLOCK_REALTIME);

	for (unsigned i = 0; i < 60; i++) {
		watch_new_shared(&many[i], CLOCK_REALTIME, 5 * MS + i * 13 * US, SCHEDULE,
				 i % 3 * 100 * US);
		must(asynctimer_start(many[i].timer));
	}
	for (unsigned i = 0; i < 200; i++) {
		step(0);
		advance(MS);
	}
	for (unsigned i = 0; i < 60; i++) {
		uint64_t interval_ns = 5 * MS + i * 13 * US;

		ck_assert_uint_eq(many[i].callbacks, many[i].last.number);
		ck_assert_uint_eq(many[i].last.due_ns,
				  begin_ns + many[i].callbacks * interval_ns);
		ck_assert_uint_ge(many[i].callbacks, (200 * MS - 200 * US) / interval_ns);
	}
}
END_TEST

START_TEST(of_many_all_are_found_when_their_clock_is_set)
{
	static struct watched many[60];

	for (unsigned i = 0; i < 60; i++) {
		watch_new_shared(&many[i], CLOCK_REALTIME, (i + 2) * 10, SCHEDULE, i % 3);
		must(asynctimer_start_after(many[i].timer, 0));
	}
	ck_assert_int_eq(advance(2), 60);
	for (unsigned i = 0; i < 60; i++)
		many[i].restarted = true;
	step(-500);
	for (unsigned i = 0; i < 60; i++) {
		uint64_t due_ns = asynctimer_next_due_ns(many[i].timer);

		ck_assert_uint_gt(due_ns, now_on(CLOCK_REALTIME));
		ck_assert_uint_le(due_ns, now_on(CLOCK_REALTIME) + (i + 2) * 10);
	}
	advance(620);
	for (unsigned i = 0; i < 60; i++) {
		ck_assert_uint_ge(many[i].callbacks, 2);
		many[i].restarted = true;
	}
	step(HOUR);
	ck_assert_int_eq(advance(0), 60);
}
END_TEST

START_TEST(with_slack_it_waits_on_the_clock_that_is_set)
{
	memset(&watched, 0, sizeof(watched));
	watch_new_shared(&watched, CLOCK_REALTIME, 100, SCHEDULE, 20);
	origin_ns = now_on(CLOCK_REALTIME);
	must(asynctimer_start(watched.timer));
	step(110);
	ck_assert_int_eq(advance(9), 0);
	step(-9);
	ck_assert_int_eq(advance(9), 0);
	ck_assert_int_eq(advance(1), 1);
	expect_tick(&watched, 100, 120, 1, 0, 0);
	step(100);
	ck_assert_int_eq(advance(0), 1);
	expect_tick(&watched, 200, 220, 2, 0, 0);
}
END_TEST

START_TEST(the_other_clocks_do_not_feel_it)
{
	const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME };

	FOR_EACH_POLICY(policy) for (unsigned i = 0; i < 2; i++) {
		struct watched other = { .callbacks = 0 };
		unsigned ticks = policy == ONCE ? 1 : 5;

		watch_new(&other, clocks[i], INTERVAL, policy);
		origin_ns = now_on(clocks[i]);
		must(asynctimer_start(other.timer));
		step(1500);
		ck_assert_int_eq(advance(0), 0);
		ck_assert_int_eq(advance(19), 0);
		step(-2000);
		if (clocks[i] != CLOCK_BOOTTIME)
			suspend(HOUR);
		ck_assert_int_eq(advance(1), 1);
		expect_tick(&other, 20, 20, 1, 0, 0);
		step(HOUR);
		ck_assert_int_eq(advance(80), (int)ticks - 1);
		ck_assert_uint_eq(other.last.number, ticks);
		asynctimer_free(other.timer);
	}
}
END_TEST

/*
 * A suspend of hours.
 */

static void suspended_at(struct watched *self, int policy)
{
	watch_new(self, CLOCK_BOOTTIME, HOUR, policy);
	origin_ns = now_on(CLOCK_BOOTTIME);
	must(asynctimer_start(self->timer));
}

START_TEST(a_suspend_makes_one_late_tick)
{
	struct watched schedule = { .callbacks = 0 }, delay = schedule, once = schedule;

	suspended_at(&schedule, SCHEDULE);
	suspended_at(&delay, DELAY);
	suspended_at(&once, ONCE);
	advance(HOUR / 2);
	suspend(5 * HOUR);
	ck_assert_uint_eq(schedule.callbacks + delay.callbacks + once.callbacks, 0);
	ck_assert_int_eq(advance(0), 3);
	expect_tick(&schedule, 5 * HOUR, 11 * HOUR / 2, 5, 0, 4);
	expect_tick(&delay, HOUR, 11 * HOUR / 2, 1, 0, 0);
	expect_tick(&once, HOUR, 11 * HOUR / 2, 1, 0, 0);
	ck_assert_int_eq(advance(HOUR / 2 - 1), 0);
	ck_assert_int_eq(advance(1), 1);
	expect_tick(&schedule, 6 * HOUR, 6 * HOUR, 6, 0, 0);
	ck_assert_int_eq(advance(HOUR / 2), 1);
	expect_tick(&delay, 13 * HOUR / 2, 13 * HOUR / 2, 2, 0, 0);
	ck_assert_int_eq(asynctimer_is_started(once.timer), 0);
}
END_TEST

static int suspend_in_callback(struct watched *self, const struct asynctimer_tick *tick)
{
	(void)tick;
	if (self->callbacks == 1)
		suspend(5 * HOUR / 2);
	return self->result;
}

START_TEST(a_suspend_during_a_callback_is_busy)
{
	for (unsigned i = 0; i < 2; i++) {
		struct watched schedule = { .then = suspend_in_callback,
					    .result = i ? ASYNCTIMER_PENDING : ASYNCTIMER_DONE };
		struct watched delay = schedule;

		suspended_at(&schedule, SCHEDULE);
		ck_assert_int_eq(advance(HOUR), 1);
		if (i)
			must(asynctimer_complete(schedule.timer, 1, 0));
		schedule.result = ASYNCTIMER_DONE;
		/* 2 and 3 h were busy. */
		ck_assert_int_eq(advance(HOUR / 2 - 1), 0);
		ck_assert_int_eq(advance(1), 1);
		expect_tick(&schedule, 4 * HOUR, 4 * HOUR, 4, 2, 0);
		asynctimer_free(schedule.timer);

		suspended_at(&delay, DELAY);
		ck_assert_int_eq(advance(HOUR), 1);
		if (i)
			must(asynctimer_complete(delay.timer, 1, 0));
		delay.result = ASYNCTIMER_DONE;
		ck_assert_int_eq(advance(HOUR - 1), 0);
		ck_assert_int_eq(advance(1), 1);
		expect_tick(&delay, 9 * HOUR / 2, 9 * HOUR / 2, 2, 0, 0);
		asynctimer_free(delay.timer);
	}
}
END_TEST

/*
 * Wake-ups: when, and in which order.
 */

static const int three[] = { CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME };
static char order[16];

static int note(struct watched *self, const struct asynctimer_tick *tick)
{
	static const char *const letters[] = { "m", "r", "b" };

	(void)tick;
	for (unsigned i = 0; i < 3; i++)
		if (self->clock == three[i])
			strcat(order, letters[i]);
	return ASYNCTIMER_DONE;
}

static void three_new(struct watched watched_by_clock[3])
{
	order[0] = '\0';
	for (unsigned i = 0; i < 3; i++) {
		watched_by_clock[i] = (struct watched){ .then = note };
		watch_new(&watched_by_clock[i], three[i], HOUR, SCHEDULE);
	}
}

static void three_free(struct watched watched_by_clock[3])
{
	for (unsigned i = 0; i < 3; i++)
		asynctimer_free(watched_by_clock[i].timer);
}

/* The clock to be armed first, second and third, in each order. */
static const unsigned orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
				      { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
static const char *const names[] = { "mrb", "mbr", "rmb", "rbm", "bmr", "brm" };

START_TEST(what_is_due_at_the_same_moment_runs_in_the_order_of_arming_on_whatever_clock)
{
	for (unsigned apart = 0; apart < 2; apart++) {
		if (apart) {
			step(5000);
			suspend(3000);
		}
		for (unsigned i = 0; i < 6; i++) {
			struct watched by_clock[3];

			three_new(by_clock);
			for (unsigned j = 0; j < 3; j++)
				must(asynctimer_start_after(by_clock[orders[i][j]].timer, 100));
			ck_assert_int_eq(advance(99), 0);
			ck_assert_int_eq(advance(1), 3);
			ck_assert_str_eq(order, names[i]);
			three_free(by_clock);
		}
	}
}
END_TEST

START_TEST(what_is_late_together_runs_in_the_order_of_due_times_on_whatever_clock)
{
	for (unsigned i = 0; i < 6; i++) {
		struct watched by_clock[3];

		three_new(by_clock);
		/* Armed in another order than they are due in. */
		for (unsigned j = 0; j < 3; j++)
			must(asynctimer_start_after(by_clock[j].timer, 10));
		for (unsigned j = 0; j < 3; j++)
			must(asynctimer_restart_after(by_clock[orders[i][j]].timer, 10 + j));
		let_pass_until(now_mono() + 100);
		ck_assert_int_eq(advance(0), 3);
		ck_assert_str_eq(order, names[i]);
		three_free(by_clock);
	}
}
END_TEST

START_TEST(the_next_wake_up_is_the_earliest_of_the_three_clocks)
{
	struct watched by_clock[3];

	three_new(by_clock);
	must(asynctimer_start_after(by_clock[0].timer, 50));
	must(asynctimer_start_after(by_clock[1].timer, 100));
	must(asynctimer_start_after(by_clock[2].timer, 70));
	step(60);		/* CLOCK_REALTIME's is 40 away now, */
	suspend(25);		/* and CLOCK_BOOTTIME's 45 */
	ck_assert_int_eq(advance(39), 0);
	ck_assert_int_eq(advance(1), 1);
	ck_assert_int_eq(advance(4), 0);
	ck_assert_int_eq(advance(1), 1);
	ck_assert_int_eq(advance(4), 0);
	ck_assert_int_eq(advance(1), 1);
	ck_assert_str_eq(order, "rbm");
	three_free(by_clock);

	three_new(by_clock);
	for (unsigned i = 0; i < 3; i++)
		must(asynctimer_start_after(by_clock[i].timer, 50));
	step(-30);
	suspend(10);
	ck_assert_int_eq(advance(40), 1);
	ck_assert_int_eq(advance(10), 1);
	ck_assert_int_eq(advance(29), 0);
	ck_assert_int_eq(advance(1), 1);
	ck_assert_str_eq(order, "bmr");
	three_free(by_clock);

	/* In one advance, each at its time: now is what its clock shows then. */
	three_new(by_clock);
	for (unsigned i = 0; i < 3; i++)
		must(asynctimer_start_after(by_clock[i].timer, 50));
	step(-30);
	suspend(10);
	ck_assert_int_eq(advance(1000), 3);
	ck_assert_str_eq(order, "bmr");
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(by_clock[i].last.now_ns, by_clock[i].last.due_ns);
	three_free(by_clock);
}
END_TEST

static int set_forward_then_note(struct watched *self, const struct asynctimer_tick *tick)
{
	if (self->callbacks == 1) {
		step(200);
		suspend(200);
	}
	return note(self, tick);
}

START_TEST(set_in_a_callback_what_it_made_due_runs_in_the_next_wake_up_of_that_advance)
{
	struct watched by_clock[3], late = { .then = note }, same = { .then = note };
	uint64_t begin_ns = now_mono();

	three_new(by_clock);
	by_clock[0].then = set_forward_then_note;
	must(asynctimer_start_after(by_clock[0].timer, 100));
	must(asynctimer_start_after(by_clock[1].timer, 250));
	must(asynctimer_start_after(by_clock[2].timer, 300));
	watch_new(&same, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(asynctimer_start_after(same.timer, 100));
	watch_new(&late, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(asynctimer_start_after(late.timer, 101));
	ck_assert_int_eq(advance(200), 5);
	/* First what was due in that wake-up, then those, at the same moment. */
	ck_assert_str_eq(order, "mmrbm");
	ck_assert_uint_eq(by_clock[1].last.now_ns, begin_ns + 300);
	ck_assert_uint_eq(by_clock[2].last.now_ns, begin_ns + 300);
	ck_assert_uint_eq(late.last.now_ns, begin_ns + 101);
	ck_assert_uint_eq(now_mono(), begin_ns + 200);
}
END_TEST

static int set_back_then_note(struct watched *self, const struct asynctimer_tick *tick)
{
	step(-50);
	return note(self, tick);
}

START_TEST(set_back_in_a_callback_what_was_due_in_the_same_wake_up_waits)
{
	struct watched by_clock[3];
	uint64_t begin_ns = now_mono();

	three_new(by_clock);
	by_clock[0].then = set_back_then_note;
	for (unsigned i = 0; i < 3; i++)
		must(asynctimer_start_after(by_clock[i].timer, 100));
	/* None is early: that of the clock that was set is due 50 later. */
	ck_assert_int_eq(advance(149), 2);
	ck_assert_str_eq(order, "mb");
	ck_assert_int_eq(advance(1), 1);
	ck_assert_uint_eq(by_clock[1].last.due_ns, begin_ns + 100);
	ck_assert_uint_eq(by_clock[1].last.now_ns, begin_ns + 100);
}
END_TEST

static void step_in_handler(struct asynctimer *timer, int error, void *data)
{
	(void)timer;
	(void)error;
	(void)data;
	step(1000);
}

START_TEST(set_in_a_handler_it_runs_within_the_advance_too)
{
	struct watched failing = { .result = -EIO };
	struct watched other = { .callbacks = 0 };

	watch_new(&failing, CLOCK_MONOTONIC, 100, ONCE);
	must(asynctimer_set_error_handler(failing.timer, step_in_handler));
	must(asynctimer_start(failing.timer));
	watch_new(&other, CLOCK_REALTIME, 500, ONCE);
	must(asynctimer_start(other.timer));
	ck_assert_int_eq(advance(100), 2);
}
END_TEST

START_TEST(it_runs_nothing_itself_and_an_advance_of_0_runs_what_it_made_due)
{
	struct watched by_clock[3];

	three_new(by_clock);
	for (unsigned i = 0; i < 3; i++)
		must(asynctimer_start_after(by_clock[i].timer, 100));
	step(100);
	suspend(100);
	ck_assert_str_eq(order, "");
	ck_assert_int_eq(advance(0), 2);
	ck_assert_str_eq(order, "rb");
	ck_assert_int_eq(advance(0), 0);
	ck_assert_int_eq(advance(100), 1);
}
END_TEST

int main(void)
{
	return RUN_WITH_BACKINGS("set_clock",
		REAL(it_is_for_virtual_reactors),
		VIRTUAL(one_clock_is_set_and_all_go_on_together),
		VIRTUAL(what_can_not_be_set_is_refused_and_nothing_changes),
		VIRTUAL(no_clock_is_advanced_past_its_end),
		VIRTUAL(in_a_callback_the_advance_under_way_must_have_room),
		VIRTUAL(while_another_thread_advances_it_is_refused),
		VIRTUAL(while_the_reactor_is_freed_it_is_refused),
		VIRTUAL(in_a_forked_child_it_is_refused),
		VIRTUAL(set_in_any_state_the_grid_goes_on),
		VIRTUAL(set_back_in_a_callback_its_duration_is_nothing),
		VIRTUAL(set_forward_before_the_first_tick_is_one_late_tick),
		VIRTUAL(set_back_before_the_first_tick_the_anchor_holds),
		VIRTUAL(set_forward_and_back_again_it_is_as_before),
		VIRTUAL(set_while_stopped_it_is_nothing_to_the_next_start),
		VIRTUAL(set_back_after_a_restart_in_its_callback_the_grid_goes_on),
		VIRTUAL(set_back_after_a_start_in_anothers_callback_the_grid_goes_on),
		VIRTUAL(set_after_a_start_at_the_past_the_grid_goes_on),
		VIRTUAL(set_back_while_open_what_was_started_then_holds),
		VIRTUAL(set_before_or_after_another_interval_the_grid_goes_on),
		VIRTUAL(set_often_to_what_it_is_changes_nothing),
		VIRTUAL(of_many_all_are_found_when_their_clock_is_set),
		VIRTUAL(with_slack_it_waits_on_the_clock_that_is_set),
		VIRTUAL(the_other_clocks_do_not_feel_it),
		VIRTUAL(a_suspend_makes_one_late_tick),
		VIRTUAL(a_suspend_during_a_callback_is_busy),
		VIRTUAL(what_is_due_at_the_same_moment_runs_in_the_order_of_arming_on_whatever_clock),
		VIRTUAL(what_is_late_together_runs_in_the_order_of_due_times_on_whatever_clock),
		VIRTUAL(the_next_wake_up_is_the_earliest_of_the_three_clocks),
		VIRTUAL(set_in_a_callback_what_it_made_due_runs_in_the_next_wake_up_of_that_advance),
		VIRTUAL(set_back_in_a_callback_what_was_due_in_the_same_wake_up_waits),
		VIRTUAL(set_in_a_handler_it_runs_within_the_advance_too),
		VIRTUAL(it_runs_nothing_itself_and_an_advance_of_0_runs_what_it_made_due));
}

/* SPDX-License-Identifier: MIT */
/*
 * Each guarantee between threads, with the threads hammering at it. A trial
 * asks only for what is promised of every interleaving; what it awaits are
 * stages that come whatever the load, so each outcome comes up on any machine.
 */
#include <errno.h>

#include "hammer.h"

#define HOUR (3600 * ASYNCTIMER_SECOND)
#define NONE UINT64_MAX
#define RING 64

#define get(variable) __atomic_load_n(&(variable), __ATOMIC_SEQ_CST)
#define set(variable, value) __atomic_store_n(&(variable), (value), __ATOMIC_SEQ_CST)
#define add(variable) __atomic_add_fetch(&(variable), 1, __ATOMIC_SEQ_CST)
#define subtract(variable) __atomic_sub_fetch(&(variable), 1, __ATOMIC_SEQ_CST)
#define expect(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			violation(#condition);                                                     \
	} while (0)

/* A timer under fire, and what its callbacks saw. */
struct subject {
	struct asynctimer *timer;
	unsigned inside;
	unsigned begun;
	unsigned ended;
	unsigned handling;	/* error handlers: begun, */
	unsigned handled;	/* and ended */
	unsigned released;
	int forbidden;		/* no callback may begin */
	int freed;		/* asynctimer_free has returned */
	int completing;		/* asynctimer_complete was called */
	int completed;		/* and has answered 0 */
	int waiting;		/* a stop is about to */
	int stopped;		/* one has returned */
	uint64_t number;	/* of the last tick */
	uint64_t due_ns;
	uint64_t restarted_ns;	/* the clock before a start that crosses a stop was called, */
	uint64_t anew_ns;	/* and after it came second */
	int result;
};

static struct subject *subject;	/* the one whose stages are observed */
static bool shared;		/* what kind it is */

/* How far its tick has come. */
enum { NOWHERE, HARVESTED, CLAIMED, CALLED, RETURNED, STAGES };
static int stage;
static int awaited;		/* the stage at which the trial acts */
static int acting;		/* it does */
static int holds;		/* the deferred callback stays until its tick is completed */

static void reach(int reached)
{
	int before = get(stage);

	while (before < reached && !__atomic_compare_exchange_n(&stage, &before, reached, false,
								__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

/*
 * Where the trial wants to act, a thread often stays until it does: they meet
 * however busy the machine is. The trial may be held up by others: not for ever.
 */
static void linger(void)
{
	for (unsigned i = any(4) ? 100 : 0; i && !get(acting); i--)
		sched_yield();
	hesitate();
}

static void linger_at(int reached)
{
	reach(reached);
	if (get(awaited) == reached)
		linger();
}

static void observe(enum asynctimer__test_point point, struct asynctimer *timer)
{
	struct subject *of;

	if (point == ASYNCTIMER__HARVESTED)
		reach(HARVESTED);
	of = get(subject);
	if (!timer || timer != get(of->timer))
		return;
	if (point == ASYNCTIMER__CLAIMED)
		linger_at(CLAIMED);
	if (point == ASYNCTIMER__RETURNED)
		linger_at(RETURNED);
	if (point == ASYNCTIMER__STOP_WAITS)
		set(of->waiting, 1);
}

static void act(void)
{
	set(acting, 1);
	hesitate();
}

/* Somewhere on the way of a tick that nothing but the caller holds up. */
static void await_stage(void)
{
	eventually(get(stage) >= get(awaited));
}

static void begin(struct subject *of)
{
	if (add(of->inside) != 1)
		violation("two callbacks at once");
	if (get(of->forbidden))
		violation("a callback after stop");
	if (get(of->freed) || get(of->released))
		violation("a callback after free");
	add(of->begun);
}

static void end(struct subject *of)
{
	add(of->ended);
	subtract(of->inside);
}

static int on_fire(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct subject *of = data;

	(void)timer;
	begin(of);
	set(of->due_ns, tick->due_ns);
	linger_at(CALLED);
	end(of);
	return ASYNCTIMER_DONE;
}

/* Between trials, with the timer stopped and nothing of it under way. */
static void reset(struct subject *of)
{
	struct asynctimer *timer = of->timer;

	set(of->begun, 0);
	set(of->ended, 0);
	set(of->handling, 0);
	set(of->handled, 0);
	set(of->due_ns, 0);
	set(of->number, 0);
	set(of->completing, 0);
	set(of->completed, 0);
	set(of->waiting, 0);
	set(of->stopped, 0);
	set(of->restarted_ns, NONE);
	set(of->anew_ns, NONE);
	set(of->timer, timer);
	set(of->forbidden, 0);
	set(stage, NOWHERE);
	set(acting, 0);
	set(awaited, (int)any(STAGES));
	set(holds, (int)any(2));
}

static void make(struct subject *of, uint64_t interval_ns, asynctimer_callback callback)
{
	struct asynctimer *timer;

	if (shared)
		must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, interval_ns,
					   ASYNCTIMER_FIXED_SCHEDULE, 0, callback, of, &timer));
	else
		must(asynctimer_new(reactor, CLOCK_MONOTONIC, interval_ns,
				    ASYNCTIMER_FIXED_SCHEDULE, callback, of, &timer));
	set(of->timer, timer);
}

/* Stopped, with no callback left behind. */
static void stop_for_good(struct subject *of, int answer)
{
	int r = asynctimer_stop(of->timer);

	set(of->forbidden, 1);
	expect(r == answer);
	expect(get(of->begun) == get(of->ended));
}

/* A hammer at one timer, of either kind. */
static void hammer_at(const struct hammer *hammer, bool is_shared, uint64_t interval_ns,
		      asynctimer_callback callback)
{
	struct subject at = { .timer = NULL };

	shared = is_shared;
	subject = &at;
	make(&at, interval_ns, callback);
	hammer_run(hammer);
	asynctimer_stop(at.timer);
	asynctimer_complete(at.timer, at.number, 0);
	asynctimer_free(at.timer);
}

/* The two tests of a hammer that is described by the macro's arguments. */
#define OWN_AND_SHARED(test, title, interval_ns, callback, ...)                                    \
	START_TEST(test##_own)                                                                     \
	{                                                                                          \
		static const struct hammer hammer = { .name = title " own", __VA_ARGS__ };         \
                                                                                                   \
		hammer_at(&hammer, false, interval_ns, callback);                            \
	}                                                                                          \
	END_TEST                                                                                   \
	START_TEST(test##_shared)                                                                  \
	{                                                                                          \
		static const struct hammer hammer = { .name = title " shared", __VA_ARGS__ };      \
                                                                                                   \
		hammer_at(&hammer, true,  interval_ns, callback);                             \
	}                                                                                          \
	END_TEST

/* stop/fire */

static unsigned stop_fire(void)
{
	enum { NEVER, BEFORE, WAITED, WAITED_THOUGH_STOPPED };
	bool stopped = any(4) == 0;
	unsigned ended;

	reset(subject);
	expect(asynctimer_start_after(subject->timer, 0) == 1);
	await_stage();
	if (stopped)
		expect(asynctimer_stop_nowait(subject->timer) == 1);
	act();
	ended = get(subject->ended);
	stop_for_good(subject, stopped ? 0 : 1);
	if (get(subject->begun) == 0)
		return NEVER;
	if (ended)
		return BEFORE;
	return stopped ? WAITED_THOUGH_STOPPED : WAITED;
}

OWN_AND_SHARED(stop_means_stopped, "stop/fire", HOUR, on_fire, .trial = stop_fire, .pollers = 1,
	       .observe = observe,
	       .outcomes = { "never fired", "fired before", "waited for", "waited for, answer 0" })

/* stop/restart */

static int on_restarted(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct subject *of = data;

	(void)timer;
	if (get(of->stopped) && tick->due_ns < get(of->restarted_ns))
		violation("a tick from before the stop");
	begin(of);
	set(of->due_ns, tick->due_ns);
	/* The stop that came first does not wait for this. */
	if (tick->due_ns >= get(of->anew_ns))
		eventually(get(of->stopped));
	linger_at(CALLED);
	end(of);
	return ASYNCTIMER_DONE;
}

static int stop_result;

static void stop_opponent(void)
{
	unsigned begun;

	hesitate();
	begun = get(subject->begun);
	stop_result = asynctimer_stop(subject->timer);
	expect(get(subject->ended) >= begun);
	set(subject->stopped, 1);
}

static unsigned stop_restart(void)
{
	bool started = any(2);
	bool started_last;
	int r;

	reset(subject);
	if (started) {
		expect(asynctimer_start_after(subject->timer, 0) == 1);
		await_stage();
	}
	engage();
	act();
	set(subject->restarted_ns, now_mono());
	r = asynctimer_start_after(subject->timer, 0);
	if (started && r == 1)
		set(subject->anew_ns, now_mono());
	disengage();
	/* Whichever came first, the answers must be those of one order. */
	if (started) {
		expect(stop_result == 1 && (r == 0 || r == 1));
		started_last = r == 1;
	} else {
		expect(r == 1 && (stop_result == 0 || stop_result == 1));
		started_last = stop_result == 0;
	}
	expect(asynctimer_is_started(subject->timer) == started_last);
	if (started_last)
		eventually(get(subject->due_ns) >= get(subject->restarted_ns));
	stop_for_good(subject, started_last);
	return 2 * started + started_last;
}

OWN_AND_SHARED(stop_does_not_touch_a_restart, "stop/restart", 20 * US, on_restarted,
	       .trial = stop_restart, .opponent = stop_opponent, .opponents = 1, .pollers = 1,
	       .observe = observe,
	       .outcomes = { "started, stopped", "stopped in vain, started",
			     "started in vain, stopped", "stopped, started" })

/* stop/stop, crossing in two callbacks */

static struct subject pair[2];
static int both_started;

static int on_crossing(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct subject *of = data;
	struct subject *other = &pair[of == &pair[0]];

	(void)tick;
	begin(of);
	eventually(get(both_started));
	/* Not always: the other may be stopped before it begins. */
	for (unsigned i = any(2) * 100; i && !get(other->begun); i--)
		sched_yield();
	hesitate();
	of->result = asynctimer_stop(other->timer);
	if (of->result == -EDEADLK)
		expect(!asynctimer_is_started(timer) && asynctimer_is_started(other->timer));
	else
		expect(get(other->begun) == get(other->ended));
	end(of);
	return ASYNCTIMER_DONE;
}

static bool has_won(const struct subject *of)
{
	return get(of->ended) && of->result == 1;
}

static unsigned stop_stop(void)
{
	unsigned first = any(2);
	unsigned winner;
	bool deadlock;

	reset(&pair[0]);
	reset(&pair[1]);
	set(both_started, 0);
	expect(asynctimer_start_after(pair[first].timer, 0) == 1);
	hesitate();
	expect(asynctimer_start_after(pair[!first].timer, 0) == 1);
	set(both_started, 1);
	eventually(has_won(&pair[0]) || has_won(&pair[1]));
	winner = has_won(&pair[1]);
	stop_for_good(&pair[winner], 1);
	stop_for_good(&pair[!winner], 0);
	deadlock = get(pair[!winner].begun);
	expect(!deadlock || pair[!winner].result == -EDEADLK);
	return 2 * deadlock + winner;
}

START_TEST(of_two_callbacks_that_stop_each_other_one_is_told)
{
	static const struct hammer hammer = {
		.name = "stop/stop crossing", .trial = stop_stop, .pollers = 2,
		.outcomes = { "first prevents second", "second prevents first",
			      "second EDEADLK", "first EDEADLK" },
	};

	for (unsigned i = 0; i < 2; i++) {
		shared = i;
		make(&pair[i], HOUR, on_crossing);
	}
	hammer_run(&hammer);
	asynctimer_free(pair[0].timer);
	asynctimer_free(pair[1].timer);
}
END_TEST

/* free/fire and free/complete: a timer a trial; a late release is seen when its turn comes again */

static struct subject ring[RING];
static unsigned turn;
static __thread bool frees;

static void on_release(void *data)
{
	struct subject *of = data;

	expect(get(of->inside) == 0);
	expect(get(of->handling) == get(of->handled));
	of->result = frees;
	expect(add(of->released) == 1);
}

static struct subject *make_next(asynctimer_callback callback)
{
	struct subject *of = &ring[turn++ % RING];

	expect(turn <= RING || get(of->released) == 1);
	/* No hook may look at a timer that is gone. */
	set(of->timer, NULL);
	set(of->released, 0);
	set(of->freed, 0);
	reset(of);
	set(subject, of);
	make(of, HOUR, callback);
	asynctimer_set_release(of->timer, on_release);
	return of;
}

static void stop_before_free(void)
{
	expect(asynctimer_stop(subject->timer) == 1);
	expect(get(subject->begun) == get(subject->ended));
	set(subject->stopped, 1);
}

static unsigned free_fire(void)
{
	enum { NEVER, BEFORE, WAITED, WITH_STOP };
	struct subject *of = make_next(on_fire);
	bool stops_too = any(4) == 0;
	unsigned ended;
	bool waits;

	expect(asynctimer_start_after(of->timer, 0) == 1);
	await_stage();
	/* A stop that waits may see the timer go, one that has yet to begin may not. */
	if (stops_too) {
		engage();
		eventually(get(of->waiting) || get(of->stopped));
	}
	waits = get(of->waiting) && !get(of->stopped);
	act();
	ended = get(of->ended);
	asynctimer_free(of->timer);
	set(of->freed, 1);
	expect(get(of->begun) == get(of->ended));
	if (stops_too)
		disengage();
	expect(get(of->released) == 1);
	hesitate();
	if (waits)
		return WITH_STOP;
	if (get(of->begun) == 0)
		return NEVER;
	return ended ? BEFORE : WAITED;
}

OWN_AND_SHARED(free_releases_once_when_nothing_runs, "free/fire", HOUR, on_fire, .trial = free_fire,
	       .opponent = stop_before_free, .opponents = 1, .pollers = 1, .observe = observe,
	       .outcomes = { "never fired", "fired before", "waited for", "a stop waits too" })

static int on_deferred(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct subject *of = data;
	int held = get(holds);

	(void)timer;
	begin(of);
	if (get(of->begun) > 1)
		expect(get(of->completing));
	set(of->completing, 0);
	set(of->completed, 0);
	set(of->number, tick->number);
	for (unsigned i = held ? 100 : 0; i && !get(of->completed); i--)
		sched_yield();
	hesitate();
	end(of);
	return ASYNCTIMER_PENDING;
}

static void on_failure(struct asynctimer *timer, int error, void *data)
{
	struct subject *of = data;

	(void)timer;
	expect(error == -EIO);
	expect(!get(of->freed));
	add(of->handling);
	linger();
	add(of->handled);
}

static void complete_opponent(void)
{
	int result = any(2) ? 0 : -EIO;

	hesitate();
	set(subject->completing, 1);
	expect(asynctimer_complete(subject->timer, get(subject->number), result) == 0);
	set(subject->completed, 1);
}

/* Not at all, or until its handler is called, or until it has led to that. */
#define AWAIT_COMPLETION(of, that)                                                                 \
	do {                                                                                       \
		unsigned until_ = any(4);                                                          \
                                                                                                   \
		if (until_ == 1)                                                                   \
			eventually(get((of)->handling) || get((of)->completed) || (that));         \
		set(acting, 1);                                                                    \
		if (until_ == 0)                                                                   \
			eventually(that);                                                          \
		hesitate();                                                                        \
	} while (0)

static unsigned free_complete(void)
{
	enum { COMPLETE_LAST, FREE_LAST };
	struct subject *of = make_next(on_deferred);

	expect(asynctimer_set_error_handler(of->timer, on_failure) == 1);
	expect(asynctimer_start_after(of->timer, 0) == 1);
	eventually(get(of->number));
	engage();
	AWAIT_COMPLETION(of, get(of->completed));
	frees = true;
	asynctimer_free(of->timer);
	frees = false;
	expect(get(of->begun) == get(of->ended));
	expect(get(of->handling) == get(of->handled));
	set(of->freed, 1);
	expect(get(of->completing) || !get(of->released));
	disengage();
	expect(get(of->released) == 1);
	return of->result ? FREE_LAST : COMPLETE_LAST;
}

OWN_AND_SHARED(free_and_complete_release_once, "free/complete", HOUR, on_fire,
	       .trial = free_complete, .opponent = complete_opponent, .opponents = 1, .pollers = 1,
	       .observe = observe,
	       .outcomes = { "released by complete", "released by free" })

/* complete, twice, perhaps before the callback returned; each tick is a trial */

static uint64_t completed_number;

/* 1 if this call ended the tick. */
static int try_complete(void)
{
	int r = asynctimer_complete(subject->timer, completed_number, 0);

	if (r == 0)
		set(subject->completed, 1);
	expect(r == 0 || r == -EALREADY);
	return r == 0;
}

static int opponent_completed;

static void complete_too(void)
{
	hesitate();
	opponent_completed = try_complete();
}

static unsigned complete_complete(void)
{
	unsigned ended;
	int completed, held;

	if (completed_number == 0) {
		reset(subject);
		set(acting, 1);
		expect(asynctimer_start_after(subject->timer, 0) == 1);
	}
	eventually(get(subject->number) > completed_number);
	held = get(holds);
	set(holds, (int)any(2));
	completed_number = get(subject->number);
	set(subject->completed, 0);
	expect(asynctimer_complete(subject->timer, completed_number - 1, 0) == -EALREADY);
	expect(asynctimer_complete(subject->timer, completed_number + 1, 0) == -EALREADY);
	if (!held)
		eventually(get(subject->inside) == 0);
	ended = get(subject->inside) == 0;
	set(subject->completing, 1);
	engage();
	hesitate();
	completed = try_complete();
	disengage();
	expect(completed + opponent_completed == 1);
	return 2 * ended + (unsigned)completed;
}

OWN_AND_SHARED(one_complete_ends_one_tick, "complete/return", US, on_deferred,
	       .trial = complete_complete, .opponent = complete_too, .opponents = 1, .pollers = 1,
	       .observe = observe,
	       .outcomes = { "while it ran, the one", "while it ran, the other",
			     "after it ended, the one", "after it ended, the other" })

/* complete/stop */

static unsigned complete_stop(void)
{
	enum { STOPPED_FIRST, FIRED_AGAIN, HANDLING };
	struct subject *of = subject;
	uint64_t number;
	bool handling;

	asynctimer_set_error_handler(of->timer, on_failure);
	reset(of);
	expect(asynctimer_start_after(of->timer, 0) == 1);
	eventually(get(of->number));
	number = get(of->number);
	engage();
	AWAIT_COMPLETION(of, get(of->number) != number);
	handling = get(of->handling) != get(of->handled);
	expect(asynctimer_stop(of->timer) == 1);
	set(of->forbidden, 1);
	expect(get(of->begun) == get(of->ended));
	if (handling)
		expect(get(of->handled));
	disengage();
	hesitate();
	if (get(of->number) == number)
		return handling ? HANDLING : STOPPED_FIRST;
	/* The tick that came in between is open. */
	expect(asynctimer_complete(of->timer, number, 0) == -EALREADY);
	expect(asynctimer_complete(of->timer, get(of->number), 0) == 0);
	return FIRED_AGAIN;
}

OWN_AND_SHARED(stop_holds_against_complete, "complete/stop", US, on_deferred,
	       .trial = complete_stop, .opponent = complete_opponent, .opponents = 1, .pollers = 1,
	       .observe = observe,
	       .outcomes = { "stopped first", "fired again first", "its handler was waited for" })

/* start/start */

static int start_result;
static uint64_t start_delay_ns;

static void start_too(void)
{
	hesitate();
	start_result = asynctimer_start_after(subject->timer, 2 * start_delay_ns);
}

static unsigned start_start(void)
{
	bool at_once = any(2);
	uint64_t before_ns, due_ns;
	int r;

	start_delay_ns = at_once ? 0 : HOUR;
	reset(subject);
	set(acting, 1);
	before_ns = now_mono();
	engage();
	hesitate();
	r = asynctimer_start_after(subject->timer, start_delay_ns);
	disengage();
	expect(r + start_result == 1 && r * start_result == 0);
	if (at_once) {
		eventually(get(subject->ended));
		hesitate();
	} else {
		due_ns = asynctimer_next_due_ns(subject->timer);
		due_ns -= r ? start_delay_ns : 2 * start_delay_ns;
		expect(due_ns >= before_ns && due_ns <= now_mono());
	}
	stop_for_good(subject, 1);
	expect(get(subject->begun) == at_once);
	return 2 * at_once + (r == 1);
}

OWN_AND_SHARED(one_of_two_starts_counts, "start/start", 2 * HOUR, on_fire, .trial = start_start,
	       .opponent = start_too, .opponents = 1, .pollers = 1, .observe = observe,
	       .outcomes = { "the other, to come", "the one, to come", "the other, fired",
			     "the one, fired" })

/* set_interval/fire */

#define OLD_NS UINT64_C(20000)
#define NEW_NS UINT64_C(29989)

static struct asynctimer_tick last;
static uint64_t set_call_ns;		/* the clock when set_interval was called, NONE before */
static uint64_t set_return_ns;
static int regridded;

/*
 * The grid of NEW_NS has its anchor at the last point, delivered or skipped,
 * before the call; the tick's skips are counted from its first point after.
 */
static bool is_on_new_grid(const struct asynctimer_tick *tick)
{
	uint64_t first_ns = tick->due_ns - (tick->skipped_busy + tick->skipped_late) * NEW_NS;
	uint64_t return_ns = get(set_return_ns);
	uint64_t point_ns = last.due_ns;

	while (point_ns < first_ns && (first_ns - point_ns) % NEW_NS)
		point_ns += OLD_NS;
	return point_ns < first_ns && point_ns <= return_ns && first_ns > get(set_call_ns) &&
	       first_ns - NEW_NS <= return_ns;
}

static int on_grid(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct subject *of = data;
	uint64_t points = 1 + tick->skipped_busy + tick->skipped_late;

	begin(of);
	expect(tick->due_ns <= tick->now_ns && tick->now_ns <= asynctimer_now_ns(timer));
	expect(tick->number == last.number + points);
	if (get(of->begun) > 1) {
		uint64_t advance_ns = tick->due_ns - last.due_ns;

		if (regridded) {
			expect(advance_ns == points * NEW_NS);
		} else if (advance_ns != points * OLD_NS) {
			expect(get(set_call_ns) != NONE);
			/* A first tick that was claimed after the call is on the new grid. */
			expect(is_on_new_grid(tick) || (get(of->begun) == 2 &&
				last.now_ns >= get(set_call_ns) && advance_ns == points * NEW_NS));
			regridded = 1;
		} else {
			/* Claimed before it was called, or at the latest meanwhile. */
			expect(tick->now_ns <= get(set_return_ns));
		}
	}
	last = *tick;
	linger_at(CALLED);
	end(of);
	return ASYNCTIMER_DONE;
}

static unsigned set_interval_fire(void)
{
	enum { BEFORE_A_TICK, WHILE_CLAIMED, WHILE_RUNNING, AFTER_A_TICK };
	static const unsigned outcome[STAGES] = { BEFORE_A_TICK, BEFORE_A_TICK, WHILE_CLAIMED,
						  WHILE_RUNNING, AFTER_A_TICK };
	unsigned at, begun;

	regridded = 0;
	set(set_call_ns, NONE);
	set(set_return_ns, NONE);
	expect(asynctimer_set_interval(subject->timer, OLD_NS) == 1);
	reset(subject);
	expect(asynctimer_start_after(subject->timer, 0) == 1);
	await_stage();
	act();
	at = (unsigned)get(stage);
	set(set_call_ns, now_mono());
	expect(asynctimer_set_interval(subject->timer, NEW_NS) == 1);
	set(set_return_ns, now_mono());
	begun = get(subject->begun);
	eventually(get(subject->begun) >= begun + 2);
	stop_for_good(subject, 1);
	return outcome[at];
}

OWN_AND_SHARED(set_interval_moves_the_grid_once, "set_interval/fire", NEW_NS, on_grid,
	       .trial = set_interval_fire, .pollers = 1, .observe = observe,
	       .outcomes = { "before a tick", "while it was claimed", "while it ran", "after it" })

/* reactor_stop/run */

enum { OUTSIDE, WAITING, AT_THE_EVENTFD, IN_A_CALLBACK };
static int entering;		/* threads that have yet to call run */
static int at_eventfd;
static unsigned arrivals;	/* there */
static int stop_returned;
static unsigned begun_after;
static __thread unsigned begun_here;
#define TICKING 6

static struct subject ticking[TICKING];	/* two of them own */
static unsigned ticking_inside;		/* callbacks of theirs */
static unsigned ticking_begun;

static void observe_eventfd(enum asynctimer__test_point point, struct asynctimer *timer)
{
	(void)timer;
	if (point == ASYNCTIMER__TAKES_WAKE) {
		set(at_eventfd, 1);
		add(arrivals);
		if (get(awaited) == AT_THE_EVENTFD)
			linger();
	}
	if (point == ASYNCTIMER__TOOK_WAKE)
		set(at_eventfd, 0);
	/* To wait with nothing left there, in case the other thread has read it. */
	if (point == ASYNCTIMER__WAITS && get(awaited) == AT_THE_EVENTFD)
		for (unsigned i = any(2) * 100; i && !(get(acting) && !get(at_eventfd)); i--)
			sched_yield();
}

static int on_ticking(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct subject *of = data;

	(void)timer;
	(void)tick;
	if (get(stop_returned))
		add(begun_after);
	begun_here++;
	begin(of);
	add(ticking_inside);
	add(ticking_begun);
	if (get(awaited) == IN_A_CALLBACK)
		linger();
	subtract(ticking_inside);
	end(of);
	return ASYNCTIMER_DONE;
}

static void run_once(void)
{
	bool late;

	hesitate();
	begun_here = 0;
	late = get(stop_returned);
	subtract(entering);
	expect(asynctimer_reactor_run(reactor) == 0);
	expect(!late || begun_here == 0);
}

/* A thread meets the eventfd; or did, and has yet to read it. */
static void lure_to_eventfd(void)
{
	unsigned before = get(arrivals);

	if (get(at_eventfd))
		return;
	expect(asynctimer_reactor_restart(reactor) == 0);
	eventually(get(arrivals) != before);
}

/* Of several that are due. */
static void lure_to_callback(void)
{
	unsigned begun = get(ticking_begun);

	for (unsigned i = 0; i < TICKING; i++)
		expect(asynctimer_start_after(ticking[i].timer, 0) == 1);
	eventually(get(ticking_begun) != begun);
}

/* Where the threads are found in the moment in which the reactor is stopped. */
static unsigned approach(void)
{
	unsigned where = any(4);

	set(acting, 0);
	set(awaited, (int)where);
	if (where != OUTSIDE)
		eventually(get(entering) == 0);
	if (where == AT_THE_EVENTFD)
		lure_to_eventfd();
	if (where == IN_A_CALLBACK)
		lure_to_callback();
	act();
	if (get(entering))
		return OUTSIDE;
	if (get(at_eventfd))
		return AT_THE_EVENTFD;
	return get(ticking_inside) ? IN_A_CALLBACK : WAITING;
}

static unsigned reactor_stop_run(void)
{
	unsigned where;

	set(entering, 2);
	set(begun_after, 0);
	set(stop_returned, 0);
	engage();
	where = approach();
	asynctimer_reactor_stop(reactor);
	set(stop_returned, 1);
	disengage();
	/* One in each thread, of a tick that it had taken already. */
	expect(get(begun_after) <= 2);
	expect(asynctimer_reactor_restart(reactor) == 1);
	/* What is left due would wake a thread that the next trial's stop has missed. */
	for (unsigned i = 0; i < TICKING; i++)
		must(asynctimer_stop(ticking[i].timer));
	return where;
}

START_TEST(reactor_stop_reaches_every_thread)
{
	static const struct hammer hammer = {
		.name = "reactor_stop/run", .trial = reactor_stop_run, .opponent = run_once,
		.opponents = 2, .observe = observe_eventfd,
		.outcomes = { "before run", "waiting", "at the eventfd", "in a callback" },
	};

	for (unsigned i = 0; i < TICKING; i++) {
		shared = i >= 2;
		make(&ticking[i], HOUR, on_ticking);
	}
	hammer_run(&hammer);
	for (unsigned i = 0; i < TICKING; i++)
		asynctimer_free(ticking[i].timer);
}
END_TEST

/* several threads in run, with a slow callback */

static struct subject slow[2], quick[2];	/* of each: own, shared */
static struct subject *quick_one;		/* that the slow callback waits for */
static bool starts_inside;
static pthread_t quick_by;

static int on_quick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	quick_by = pthread_self();
	return on_fire(timer, tick, data);
}

static int on_slow(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct subject *of = data;
	struct subject *other = quick_one;
	bool ran_before = get(other->begun);

	(void)timer;
	(void)tick;
	begin(of);
	if (starts_inside)
		expect(asynctimer_start_after(other->timer, any(2) * 10 * US) == 1);
	eventually(get(other->ended));
	expect(ran_before || !pthread_equal(quick_by, pthread_self()));
	of->number = ran_before;
	end(of);
	return ASYNCTIMER_DONE;
}

static unsigned run_run(void)
{
	enum { BEFORE, STARTED_OUTSIDE, STARTED_INSIDE };
	struct subject *of = &slow[any(2)];
	bool first = any(2);

	quick_one = &quick[any(2)];
	starts_inside = any(4) == 0;
	reset(of);
	reset(quick_one);
	set(acting, 1);
	if (!starts_inside && first) {
		expect(asynctimer_start_after(quick_one->timer, any(2) * 10 * US) == 1);
		if (any(2))
			eventually(get(quick_one->begun));
	}
	expect(asynctimer_start_after(of->timer, 0) == 1);
	if (!starts_inside && !first) {
		hesitate();
		expect(asynctimer_start_after(quick_one->timer, any(2) * 10 * US) == 1);
	}
	eventually(get(of->ended));
	stop_for_good(of, 1);
	stop_for_good(quick_one, 1);
	expect(get(of->begun) == 1 && get(quick_one->begun) == 1);
	if (starts_inside)
		return STARTED_INSIDE;
	return of->number ? BEFORE : STARTED_OUTSIDE;
}

START_TEST(a_slow_callback_delays_no_other_timer)
{
	static const struct hammer hammer = {
		.name = "run/run slow callback", .trial = run_run, .runners = 2,
		.outcomes = { "ran before it", "ran meanwhile", "ran meanwhile, started in it" },
	};

	for (unsigned i = 0; i < 2; i++) {
		shared = i;
		make(&slow[i], HOUR, on_slow);
		make(&quick[i], HOUR, on_quick);
	}
	hammer_run(&hammer);
	for (unsigned i = 0; i < 2; i++) {
		asynctimer_free(slow[i].timer);
		asynctimer_free(quick[i].timer);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS("races", stop_means_stopped_own, stop_means_stopped_shared,
			 stop_does_not_touch_a_restart_own, stop_does_not_touch_a_restart_shared,
			 of_two_callbacks_that_stop_each_other_one_is_told,
			 free_releases_once_when_nothing_runs_own,
			 free_releases_once_when_nothing_runs_shared,
			 free_and_complete_release_once_own, free_and_complete_release_once_shared,
			 one_complete_ends_one_tick_own, one_complete_ends_one_tick_shared,
			 stop_holds_against_complete_own, stop_holds_against_complete_shared,
			 one_of_two_starts_counts_own, one_of_two_starts_counts_shared,
			 set_interval_moves_the_grid_once_own,
			 set_interval_moves_the_grid_once_shared,
			 reactor_stop_reaches_every_thread, a_slow_callback_delays_no_other_timer);
}

/* SPDX-License-Identifier: MIT */
/*
 * Each guarantee between threads, with the threads hammering at it. A trial
 * asks only for what is promised of every interleaving; what it awaits are
 * stages that come whatever the load, so each outcome comes up on any machine.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "hammer.h"

#define NONE UINT64_MAX
#define RING 64

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
	uint64_t first_number;	/* of the trial's first tick, */
	uint64_t number;	/* and of the last */
	uint64_t due_ns;
	uint64_t restarted_ns;	/* the clock before a start that crosses a stop was called, */
	uint64_t anew_ns;	/* and after it came second */
	int result;
};

static struct subject *subject;	/* the one whose stages are observed */
static bool shared;		/* what kind it is */
static int policy;
static int outer_fd = -1;	/* a host's epoll, if it has one */

/* How far its tick has come. */
enum { NOWHERE, HARVESTED, CLAIMED, CALLED, RETURNED, STAGES };
static int stage;
static int awaited;		/* the stage at which the trial acts */
static int acting;		/* it does */
static int is_due;		/* what the trial has started at once: who looks now may find it */
static __thread bool may_find;
static int holds;		/* the deferred callback completes its tick itself */

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
	if (any(4))
		briefly(get(acting));
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

	if (point == ASYNCTIMER__WAITS)
		may_find = get(is_due);
	if (point == ASYNCTIMER__HARVESTED && may_find)
		linger_at(HARVESTED);
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
	set(is_due, 1);
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
	set(is_due, 0);
	set(awaited, (int)any(STAGES));
	set(holds, (int)any(2));
}

static void make(struct subject *of, uint64_t interval_ns, asynctimer_callback callback)
{
	struct asynctimer *timer;

	if (shared)
		must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, interval_ns, policy, 0,
					   callback, of, &timer));
	else
		must(asynctimer_new(reactor, CLOCK_MONOTONIC, interval_ns, policy, callback, of,
				    &timer));
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
	policy = hammer->policy;
	subject = &at;
	make(&at, interval_ns, callback);
	hammer_run(hammer);
	asynctimer_stop(at.timer);
	asynctimer_complete(at.timer, at.number, 0);
	asynctimer_free(at.timer);
	if (outer_fd >= 0)
		close(outer_fd);
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
	if (any(2))
		briefly(get(other->begun));
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
	if (any(2))
		eventually(get(pair[first].begun));
	hesitate();
	expect(asynctimer_start_after(pair[!first].timer, 0) == 1);
	set(both_started, 1);
	if (any(2))
		briefly(has_won(&pair[0]) || has_won(&pair[1]));
	for (unsigned spins = 1; !has_won(&pair[0]) && !has_won(&pair[1]); spins++) {
		must(asynctimer_reactor_dispatch(reactor, 0));
		eventually_at(spins, "one of them stops the other");
	}
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
		.name = "stop/stop crossing", .trial = stop_stop, .pollers = 1,
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
	enum { NEVER, BEFORE, WAITED };
	struct subject *of = make_next(on_fire);
	unsigned ended;

	expect(asynctimer_start_after(of->timer, 0) == 1);
	await_stage();
	act();
	ended = get(of->ended);
	asynctimer_free(of->timer);
	set(of->freed, 1);
	expect(get(of->begun) == get(of->ended));
	expect(get(of->released) == 1);
	hesitate();
	if (get(of->begun) == 0)
		return NEVER;
	return ended ? BEFORE : WAITED;
}

OWN_AND_SHARED(free_releases_once_when_nothing_runs, "free/fire", HOUR, on_fire, .trial = free_fire,
	       .pollers = 1, .observe = observe,
	       .outcomes = { "never fired", "fired before", "waited for" })

/* free/stop: one that waits may see the timer go, one that has yet to begin may not */

enum { STOP_RETURNED, STOP_WAITS };

/* Which of them it is, with the trial about to free the timer. */
static unsigned engage_stop(struct subject *of)
{
	bool waits;

	expect(asynctimer_start_after(of->timer, 0) == 1);
	await_stage();
	engage();
	eventually(get(of->waiting) || get(of->stopped));
	waits = get(of->waiting) && !get(of->stopped);
	act();
	return waits ? STOP_WAITS : STOP_RETURNED;
}

static unsigned free_stop(void)
{
	struct subject *of = make_next(on_fire);
	unsigned outcome = engage_stop(of);

	asynctimer_free(of->timer);
	set(of->freed, 1);
	expect(get(of->begun) == get(of->ended));
	disengage();
	expect(get(of->released) == 1);
	hesitate();
	return outcome;
}

OWN_AND_SHARED(free_leaves_a_stop_that_waits_the_timer, "free/stop", HOUR, on_fire,
	       .trial = free_stop, .opponent = stop_before_free, .opponents = 1, .pollers = 1,
	       .observe = observe, .outcomes = { "the stop has returned", "the stop waits" })

/*
 * free/complete. The callback is called in the opponent's thread, which completes
 * its first tick: in there, or when it has returned and the trial engages it.
 */

static void complete_opponent(void)
{
	int result = any(2) ? 0 : -EIO;

	hesitate();
	set(subject->completing, 1);
	expect(asynctimer_complete(subject->timer, get(subject->number), result) == 0);
	set(subject->completed, 1);
}

static int on_deferred(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct subject *of = data;
	bool first = get(of->begun) == 0;

	(void)timer;
	begin(of);
	expect(first || get(of->completing));
	set(of->completing, 0);
	set(of->completed, 0);
	set(of->due_ns, tick->due_ns);
	if (first)
		set(of->first_number, tick->number);
	set(of->number, tick->number);
	if (first && get(holds)) {
		linger();
		complete_opponent();
	}
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

static void start_deferred(struct subject *of)
{
	expect(asynctimer_start_after(of->timer, 0) == 1);
	eventually(get(of->number));
	if (!get(holds))
		engage();
}

static void disengage_deferred(void)
{
	if (!get(holds))
		disengage();
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

/* Frees a timer whose tick the opponent completes. */
static struct subject *free_by(void (*free_timer)(struct asynctimer *timer))
{
	struct subject *of = make_next(on_deferred);

	expect(asynctimer_set_error_handler(of->timer, on_failure) == 1);
	start_deferred(of);
	AWAIT_COMPLETION(of, get(of->completed));
	frees = true;
	free_timer(of->timer);
	frees = false;
	return of;
}

static unsigned free_complete(void)
{
	enum { COMPLETE_LAST, FREE_LAST };
	struct subject *of = free_by(asynctimer_free);

	expect(get(of->begun) == get(of->ended));
	expect(get(of->handling) == get(of->handled));
	set(of->freed, 1);
	expect(get(of->completing) || !get(of->released));
	disengage_deferred();
	expect(get(of->released) == 1);
	return of->result ? FREE_LAST : COMPLETE_LAST;
}

OWN_AND_SHARED(free_and_complete_release_once, "free/complete", HOUR, on_fire,
	       .trial = free_complete, .opponent = complete_opponent, .opponents = 1,
	       .opponents_poll = true, .observe = observe,
	       .outcomes = { "released by complete", "released by free" })

/* complete, twice, perhaps before the callback returned; each tick is a trial */

static uint64_t completing_number;	/* the trial completes that, and others may */
static uint64_t completions;		/* that ended a tick, */
static uint64_t attempts;		/* of so many */

static bool try_complete(void)
{
	int r;

	hesitate();
	set(subject->completing, 1);
	r = asynctimer_complete(subject->timer, get(completing_number), 0);
	expect(r == 0 || r == -EALREADY);
	if (r == 0)
		add(completions);
	add(attempts);
	return r == 0;
}

static void complete_too(void)
{
	try_complete();
}

static int on_completing(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct subject *of = data;
	bool itself = any(2);

	(void)timer;
	begin(of);
	expect(get(of->begun) == 1 || get(of->completing));
	set(of->completing, 0);
	set(holds, itself);
	set(of->number, tick->number);
	if (itself) {
		eventually(get(completing_number) == tick->number || is_over());
		set(acting, 1);
		try_complete();
	}
	hesitate();
	end(of);
	return ASYNCTIMER_PENDING;
}

static unsigned complete_complete(void)
{
	uint64_t number = completing_number;
	uint64_t ended = completions;
	bool running, one;

	if (number == 0) {
		reset(subject);
		expect(asynctimer_start_after(subject->timer, 0) == 1);
	}
	eventually(get(subject->number) > number);
	running = get(holds);
	number = get(subject->number);
	expect(asynctimer_complete(subject->timer, number - 1, 0) == -EALREADY);
	expect(asynctimer_complete(subject->timer, number + 1, 0) == -EALREADY);
	set(acting, 0);
	set(completing_number, number);
	if (!running)
		engage();
	else if (any(2))
		briefly(get(acting));
	one = try_complete();
	if (!running)
		disengage();
	eventually(get(attempts) == 2 * (ended + 1));
	expect(get(completions) == ended + 1);
	return 2 * !running + one;
}

OWN_AND_SHARED(one_complete_ends_one_tick, "complete/return", US, on_completing,
	       .trial = complete_complete, .opponent = complete_too, .opponents = 1,
	       .opponents_poll = true, .observe = observe,
	       .outcomes = { "while it ran, the other", "while it ran, the one",
			     "after it ended, the other", "after it ended, the one" })

/* complete/stop */

static unsigned complete_stop(void)
{
	enum { STOPPED_FIRST, FIRED_AGAIN, HANDLING };
	struct subject *of = subject;
	uint64_t number;
	bool handling;

	asynctimer_set_error_handler(of->timer, on_failure);
	reset(of);
	start_deferred(of);
	number = get(of->first_number);
	AWAIT_COMPLETION(of, get(of->number) != number);
	handling = get(of->handling) != get(of->handled);
	expect(asynctimer_stop(of->timer) == 1);
	set(of->forbidden, 1);
	expect(get(of->begun) == get(of->ended));
	if (handling)
		expect(get(of->handled));
	disengage_deferred();
	hesitate();
	if (get(of->number) == number)
		return handling ? HANDLING : STOPPED_FIRST;
	/* The tick that came in between is open. */
	expect(asynctimer_complete(of->timer, number, 0) == -EALREADY);
	expect(asynctimer_complete(of->timer, get(of->number), 0) == 0);
	return FIRED_AGAIN;
}

OWN_AND_SHARED(stop_holds_against_complete, "complete/stop", US, on_deferred,
	       .trial = complete_stop, .opponent = complete_opponent, .opponents = 1,
	       .opponents_poll = true, .observe = observe,
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
	       .opponent = start_too, .opponents = 1,
	       .opponents_poll = true, .observe = observe,
	       .outcomes = { "the other, to come", "the one, to come", "the other, fired",
			     "the one, fired" })

/* start/fire and stop/fire of ASYNCTIMER_ONCE, which is stopped when its tick is claimed */

static unsigned once_start(void)
{
	enum { IN_VAIN, WHILE_OPEN, AFTER };
	unsigned ended;
	int r;

	reset(subject);
	expect(asynctimer_start_after(subject->timer, 0) == 1);
	await_stage();
	act();
	ended = get(subject->ended);
	r = asynctimer_start_after(subject->timer, any(2) * US);
	expect(r == 1 || (r == 0 && !ended));
	eventually(get(subject->ended) == 1 + (unsigned)r);
	stop_for_good(subject, 0);
	expect(get(subject->begun) == 1 + (unsigned)r);
	if (r == 0)
		return IN_VAIN;
	return ended ? AFTER : WHILE_OPEN;
}

OWN_AND_SHARED(each_start_that_counts_has_one_tick, "start/fire once", HOUR, on_fire,
	       .trial = once_start, .pollers = 1, .policy = ASYNCTIMER_ONCE, .observe = observe,
	       .outcomes = { "started in vain", "started while open", "started after it" })

static unsigned once_stop(void)
{
	enum { NEVER, BEFORE, WAITED };
	unsigned ended;
	int r;

	reset(subject);
	expect(asynctimer_start_after(subject->timer, 0) == 1);
	await_stage();
	act();
	ended = get(subject->ended);
	r = asynctimer_stop(subject->timer);
	set(subject->forbidden, 1);
	expect(r == 0 || r == 1);
	expect(get(subject->begun) == (r == 0) && get(subject->ended) == (r == 0));
	hesitate();
	if (r == 1)
		return NEVER;
	return ended ? BEFORE : WAITED;
}

OWN_AND_SHARED(a_stop_is_told_whether_the_one_tick_ran, "stop/fire once", HOUR, on_fire,
	       .trial = once_stop, .pollers = 1, .policy = ASYNCTIMER_ONCE, .observe = observe,
	       .outcomes = { "never fired", "fired before", "waited for" })

/* set_interval/fire */

#define OLD_NS UINT64_C(8000)
#define NEW_NS UINT64_C(11987)

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

/* restart/stop: each restart comes before the stop, or finds the timer stopped */

static void stop_for_good_too(void)
{
	hesitate();
	stop_result = asynctimer_stop(subject->timer);
	set(subject->forbidden, 1);
	expect(get(subject->begun) == get(subject->ended));
	set(subject->stopped, 1);
}

static unsigned restart_stop(void)
{
	bool under_way = any(2);
	bool late;
	int r;

	reset(subject);
	expect(asynctimer_start_after(subject->timer, under_way ? 0 : HOUR) == 1);
	if (under_way)
		await_stage();
	engage();
	act();
	late = get(subject->stopped);
	r = asynctimer_restart_after(subject->timer, any(2) * US);
	expect(r == 0 || (r == 1 && !late));
	disengage();
	expect(stop_result == 1);
	expect(!asynctimer_is_started(subject->timer));
	expect(get(subject->begun) == get(subject->ended));
	hesitate();
	stop_for_good(subject, 0);
	return 2 * under_way + (r == 1);
}

OWN_AND_SHARED(a_stop_wins_against_a_restart, "restart/stop", HOUR, on_fire, .trial = restart_stop,
	       .opponent = stop_for_good_too, .opponents = 1, .pollers = 1, .observe = observe,
	       .outcomes = { "to come, stopped first", "to come, restarted first",
			     "under way, stopped first", "under way, restarted first" })

/* restart/fire: when it has returned, nothing is claimed but the tick that it asked for */

#define MOVED_NS UINT64_C(20000)

static uint64_t moved_number;		/* of the last tick */
static uint64_t moved_ns;		/* the clock before the last (re)start; NONE: far away */

static void observe_claims(enum asynctimer__test_point point, struct asynctimer *timer)
{
	if (point == ASYNCTIMER__DUE && timer == subject->timer && get(moved_ns) == NONE)
		violation("claimed though it was moved far away");
	observe(point, timer);
}

/* One that was claimed before a restart may begin after it. What is skipped is of its own grid. */
static int on_moved(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	uint64_t skipped = tick->skipped_busy + tick->skipped_late;
	uint64_t last_moved_ns = get(moved_ns);
	struct subject *of = data;

	begin(of);
	expect(tick->due_ns <= tick->now_ns && tick->now_ns <= asynctimer_now_ns(timer));
	expect(tick->number == moved_number + 1 + skipped);
	expect(tick->due_ns < last_moved_ns || tick->due_ns - skipped * MOVED_NS >= last_moved_ns);
	moved_number = tick->number;
	set(of->due_ns, tick->due_ns);
	linger_at(CALLED);
	end(of);
	return ASYNCTIMER_DONE;
}

static unsigned restart_fire(void)
{
	enum { BEFORE_A_TICK, WHILE_CLAIMED, WHILE_RUNNING, AFTER_A_TICK };
	static const unsigned outcome[STAGES] = { BEFORE_A_TICK, BEFORE_A_TICK, WHILE_CLAIMED,
						  WHILE_RUNNING, AFTER_A_TICK };
	uint64_t before_ns = now_mono(), due_ns;
	unsigned at;

	reset(subject);
	set(moved_ns, before_ns);
	expect(asynctimer_start_after(subject->timer, 0) == 1);
	await_stage();
	act();
	at = (unsigned)get(stage);
	before_ns = now_mono();
	expect(asynctimer_restart_after(subject->timer, HOUR) == 1);
	set(moved_ns, NONE);
	due_ns = asynctimer_next_due_ns(subject->timer);
	expect(due_ns >= before_ns + HOUR && due_ns <= now_mono() + HOUR);
	hesitate();
	before_ns = now_mono();
	set(moved_ns, before_ns);
	expect(asynctimer_restart_after(subject->timer, any(2) * US) == 1);
	eventually(get(subject->due_ns) >= before_ns);
	stop_for_good(subject, 1);
	return outcome[at];
}

OWN_AND_SHARED(a_restart_moves_the_tick_in_one_step, "restart/fire", MOVED_NS, on_moved,
	       .trial = restart_fire, .pollers = 1, .observe = observe_claims,
	       .outcomes = { "before a tick", "while it was claimed", "while it ran", "after it" })

/* restart/restart: the tick comes when the later one says */

static uint64_t other_delay_ns;
static int other_restarted;

static void restart_too(void)
{
	hesitate();
	other_restarted = asynctimer_restart_after(subject->timer, other_delay_ns);
}

static unsigned restart_restart(void)
{
	bool at_once = any(2);
	uint64_t delay_ns = at_once ? 0 : HOUR;
	uint64_t before_ns, due_ns, now_ns;
	bool one, other;

	reset(subject);
	set(acting, 1);
	other_delay_ns = 2 * HOUR;
	expect(asynctimer_start_after(subject->timer, HOUR) == 1);
	before_ns = now_mono();
	engage();
	hesitate();
	expect(asynctimer_restart_after(subject->timer, delay_ns) == 1);
	disengage();
	expect(other_restarted == 1);
	due_ns = asynctimer_next_due_ns(subject->timer);
	now_ns = now_mono();
	other = due_ns >= before_ns + other_delay_ns && due_ns <= now_ns + other_delay_ns;
	one = due_ns >= before_ns + delay_ns && due_ns <= now_ns + delay_ns;
	/* Or that has ticked already. */
	if (at_once && due_ns >= before_ns + 3 * HOUR && due_ns <= now_ns + 3 * HOUR)
		one = true;
	expect(one != other);
	if (at_once && one)
		eventually(get(subject->ended));
	stop_for_good(subject, 1);
	expect(get(subject->begun) <= at_once);
	return 2 * at_once + one;
}

OWN_AND_SHARED(of_two_restarts_the_later_counts, "restart/restart", 3 * HOUR, on_fire,
	       .trial = restart_restart, .opponent = restart_too, .opponents = 1,
	       .opponents_poll = true, .observe = observe,
	       .outcomes = { "to come, the other last", "to come, the one last",
			     "at once, the other last", "at once, the one last" })

/* restart/complete: of a deferred tick, or the one after it */

/* What comes meanwhile is deferred too, and completed, until the tick comes that was asked for. */
static void complete_until(struct subject *of, uint64_t due_ns)
{
	for (unsigned spins = 1; get(of->due_ns) < due_ns; spins++) {
		uint64_t number = get(of->number);
		int r;

		set(of->completing, 1);
		r = asynctimer_complete(of->timer, number, 0);
		expect(r == 0 || r == -EALREADY);
		eventually_at(spins, "the tick that was asked for");
	}
}

static unsigned restart_complete(void)
{
	struct subject *of = subject;
	bool far = any(2), completed;
	uint64_t number, before_ns;
	int r;

	asynctimer_set_error_handler(of->timer, on_failure);
	reset(of);
	start_deferred(of);
	number = get(of->first_number);
	AWAIT_COMPLETION(of, get(of->completed) || get(of->number) != number);
	completed = get(of->completed) || get(of->number) != number;
	before_ns = now_mono();
	expect(asynctimer_restart_after(of->timer, far ? HOUR : 0) == 1);
	disengage_deferred();
	/* With its tick completed. */
	eventually(get(of->ended));
	if (far) {
		uint64_t due_ns = asynctimer_next_due_ns(of->timer);

		expect(due_ns >= before_ns + HOUR && due_ns <= now_mono() + HOUR);
	} else {
		complete_until(of, before_ns);
	}
	stop_for_good(of, 1);
	r = asynctimer_complete(of->timer, get(of->number), 0);
	expect(r == 0 || r == -EALREADY);
	return 2 * far + completed;
}

OWN_AND_SHARED(a_restart_holds_through_a_completion, "restart/complete", US, on_deferred,
	       .trial = restart_complete, .opponent = complete_opponent, .opponents = 1,
	       .opponents_poll = true, .observe = observe,
	       .outcomes = { "at once, while open", "at once, completed", "far, while open",
			     "far, completed" })

/* restart/free: in its own callback, while another thread frees it */

static unsigned restarts_refused;

static int on_restarting(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct subject *of = data;

	(void)tick;
	begin(of);
	linger_at(CALLED);
	for (unsigned i = 0; i < 3; i++) {
		bool waits = get(of->waiting);
		int r = asynctimer_restart_after(timer, any(2) * HOUR);

		expect(r == 1 || (r == -EINVAL && get(of->stopped)));
		expect(r != 1 || (!waits && !get(restarts_refused)));
		if (r != 1)
			add(restarts_refused);
		hesitate();
	}
	end(of);
	return ASYNCTIMER_DONE;
}

/* Says so before, in stopped; either way. */
static void free_somehow(struct subject *of, bool waits)
{
	set(of->stopped, 1);
	if (waits) {
		asynctimer_free(of->timer);
		set(of->freed, 1);
		expect(get(of->begun) == get(of->ended));
		expect(get(of->released) == 1);
	} else {
		asynctimer_free_nowait(of->timer);
	}
	eventually(get(of->released));
}

static unsigned restart_free(void)
{
	enum { NEVER, RESTARTED, REFUSED };
	struct subject *of = make_next(on_restarting);

	set(restarts_refused, 0);
	expect(asynctimer_start_after(of->timer, 0) == 1);
	await_stage();
	act();
	free_somehow(of, any(2));
	hesitate();
	if (get(of->begun) == 0)
		return NEVER;
	return get(restarts_refused) ? REFUSED : RESTARTED;
}

OWN_AND_SHARED(freed_it_is_not_restarted, "restart/free", HOUR, on_fire, .trial = restart_free,
	       .pollers = 1, .observe = observe,
	       .outcomes = { "never fired", "restarted", "refused" })

/* free_nowait/fire and free_nowait/stop, under a lock that the callback wants */

static pthread_mutex_t wanted = PTHREAD_MUTEX_INITIALIZER;

static int on_wanting(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct subject *of = data;

	(void)timer;
	(void)tick;
	begin(of);
	linger_at(CALLED);
	pthread_mutex_lock(&wanted);
	pthread_mutex_unlock(&wanted);
	end(of);
	return ASYNCTIMER_DONE;
}

/* Whether it was released by that very call. */
static bool free_nowait_locked(struct subject *of)
{
	bool at_once;

	pthread_mutex_lock(&wanted);
	asynctimer_free_nowait(of->timer);
	at_once = get(of->released);
	hesitate();
	pthread_mutex_unlock(&wanted);
	eventually(get(of->released));
	hesitate();
	return at_once;
}

static unsigned free_nowait_fire(void)
{
	enum { NEVER, BEFORE, LATER };
	struct subject *of = make_next(on_wanting);
	bool at_once;

	expect(asynctimer_start_after(of->timer, 0) == 1);
	await_stage();
	act();
	at_once = free_nowait_locked(of);
	expect(get(of->begun) == get(of->ended) && get(of->released) == 1);
	if (!at_once)
		return LATER;
	return get(of->begun) ? BEFORE : NEVER;
}

OWN_AND_SHARED(free_nowait_releases_once_and_after_the_callback, "free_nowait/fire", HOUR, on_fire,
	       .trial = free_nowait_fire, .pollers = 1, .observe = observe,
	       .outcomes = { "never fired", "fired before", "released later" })

static unsigned free_nowait_stop(void)
{
	struct subject *of = make_next(on_wanting);
	unsigned outcome = engage_stop(of);

	free_nowait_locked(of);
	disengage();
	expect(get(of->begun) == get(of->ended) && get(of->released) == 1);
	return outcome;
}

OWN_AND_SHARED(free_nowait_leaves_a_stop_that_waits_the_timer, "free_nowait/stop", HOUR, on_fire,
	       .trial = free_nowait_stop, .opponent = stop_before_free, .opponents = 1,
	       .pollers = 1, .observe = observe,
	       .outcomes = { "the stop has returned", "the stop waits" })

/* free_nowait/complete */

static unsigned free_nowait_complete(void)
{
	enum { COMPLETE_LAST, FREE_LAST };
	struct subject *of = free_by(asynctimer_free_nowait);

	expect(get(of->completing) || !get(of->released));
	disengage_deferred();
	eventually(get(of->released));
	hesitate();
	expect(get(of->released) == 1 && get(of->begun) == 1);
	return of->result ? FREE_LAST : COMPLETE_LAST;
}

OWN_AND_SHARED(free_nowait_and_complete_release_once, "free_nowait/complete", HOUR, on_fire,
	       .trial = free_nowait_complete, .opponent = complete_opponent, .opponents = 1,
	       .opponents_poll = true, .observe = observe,
	       .outcomes = { "released by complete", "released by free" })

/* list/fire: one that is freed is listed while its tick is open, and no longer */

static bool find_listed(const struct subject *of, struct asynctimer_info *ret)
{
	struct asynctimer_info infos[2];
	int count = asynctimer_reactor_list(reactor, 2, sizeof(infos[0]), infos);

	/* The other one is the hammer's own, which is not started here. */
	expect(count == 1 || count == 2);
	for (int i = 0; i < count; i++)
		if (infos[i].data == of) {
			*ret = infos[i];
			return true;
		}
	return false;
}

static unsigned list_fire(void)
{
	enum { OPEN, RELEASED };
	struct subject *of = make_next(on_fire);
	struct asynctimer *timer = of->timer;
	struct asynctimer_info info;
	bool at_once, released, listed;

	expect(asynctimer_start_after(timer, 0) == 1);
	await_stage();
	expect(find_listed(of, &info) && info.timer == timer && info.started);
	expect((info.open == 1) == (info.stats.busy_since_ns != 0));
	act();
	asynctimer_free_nowait(timer);
	at_once = get(of->released);
	/* Looks at once, soon, or when the tick has ended, for chance would leave one of them out. */
	switch (any(4)) {
	case 0:
		hesitate();
		break;
	case 1:
		eventually(get(of->released));
		break;
	}
	released = get(of->released);
	listed = find_listed(of, &info);
	expect(!(listed && released));
	if (listed)
		expect(info.timer == timer && !info.started && info.open == 1 && info.number == 1);
	eventually(get(of->released));
	expect(!find_listed(of, &info));
	return at_once ? RELEASED : OPEN;
}

OWN_AND_SHARED(freed_it_is_listed_while_its_tick_is_open, "list/fire", HOUR, on_fire,
	       .trial = list_fire, .pollers = 1, .observe = observe,
	       .outcomes = { "freed while open", "released at once" })

/* get_info/set_name: a copy is of one moment */

static const char *const names[] = { "", "one-name-of-31-letters.........",
				     "another-name-that-has-31-letter" };
static unsigned named;

static void rename_too(void)
{
	if (any(2))
		briefly(get(acting));
	hesitate();
	expect(asynctimer_set_name(subject->timer, names[named]) == 1);
}

static unsigned info_name(void)
{
	enum { OLD_NAME, OLD_NAME_OPEN, NEW_NAME, NEW_NAME_OPEN };
	unsigned before = named;
	struct asynctimer_info info;
	bool renamed;

	reset(subject);
	named = (named + 1 + any(2)) % 3;
	engage();
	expect(asynctimer_start_after(subject->timer, 0) == 1);
	if (any(2))
		await_stage();
	act();
	expect(asynctimer_get_info(subject->timer, sizeof(info), &info) == 0);
	disengage();
	renamed = strcmp(info.name, names[named]) == 0;
	expect(renamed || strcmp(info.name, names[before]) == 0);
	expect(info.timer == subject->timer && info.data == subject && info.started);
	expect((info.open == 1) == (info.stats.busy_since_ns != 0));
	eventually(get(subject->ended));
	stop_for_good(subject, 1);
	return 2 * renamed + (info.open == 1);
}

OWN_AND_SHARED(a_copy_is_of_one_moment, "get_info/set_name", HOUR, on_fire, .trial = info_name,
	       .opponent = rename_too, .opponents = 1, .pollers = 1, .observe = observe,
	       .outcomes = { "old name", "old name, tick open", "new name", "new name, tick open" })

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
	if (point == ASYNCTIMER__WAITS && get(awaited) == AT_THE_EVENTFD && any(2))
		briefly(get(acting) && !get(at_eventfd));
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

/* a crowd, of which some hang: those due behind them run elsewhere */

#define CROWD 8

static struct subject crowd[CROWD];
static unsigned crowd_count;		/* that take part in the trial */
static unsigned crowd_first;		/* this many begin, and then */
static unsigned crowd_hanging;		/* this many hang until the others have ended */
static unsigned crowd_to_start;	/* how many are left to the first that hangs */
static unsigned crowd_begun;
static unsigned crowd_ended;

static void start_crowd(unsigned from, unsigned until, unsigned apart_us)
{
	for (unsigned i = from; i < until; i++)
		expect(asynctimer_start_after(crowd[i].timer, any(4) * apart_us * US) == 1);
}

static int on_crowd(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct subject *of = data;
	unsigned begun = add(crowd_begun);

	(void)timer;
	(void)tick;
	begin(of);
	if (begun == crowd_first + 1)
		start_crowd(crowd_count - crowd_to_start, crowd_count, any(2) * 10);
	if (begun > crowd_first && begun <= crowd_first + crowd_hanging)
		eventually(get(crowd_ended) >= crowd_count - crowd_hanging);
	end(of);
	add(crowd_ended);
	return ASYNCTIMER_DONE;
}

static void make_crowd(void)
{
	struct asynctimer *timer;

	/* With own timers another thread is told by what shared ones have, or without it. */
	if (any(2)) {
		must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, HOUR, SCHEDULE, 0, on_crowd,
					   NULL, &timer));
		asynctimer_free(timer);
	}
	for (unsigned i = 0; i < CROWD; i++)
		make(&crowd[i], HOUR, on_crowd);
}

/* hanging: as many as there are threads, but one. host: has the calling thread take part. */
static unsigned hand_over(unsigned hanging, void (*host)(void))
{
	enum { TOGETHER, APART, STARTED_INSIDE };
	unsigned when = any(3);

	if (!crowd[0].timer)
		make_crowd();
	crowd_hanging = hanging;
	crowd_count = 2 * hanging + any(CROWD - 2 * hanging) + 1;
	crowd_first = any(2) * any(crowd_count - hanging);
	crowd_to_start = when == STARTED_INSIDE ? crowd_count - crowd_first - 1 : 0;
	set(crowd_begun, 0);
	set(crowd_ended, 0);
	for (unsigned i = 0; i < crowd_count; i++)
		reset(&crowd[i]);
	start_crowd(0, crowd_count - crowd_to_start, when == APART ? 10 : 0);
	for (unsigned spins = 1; get(crowd_ended) < crowd_count; spins++) {
		if (host)
			host();
		eventually_at(spins, "all of the crowd have run");
	}
	for (unsigned i = 0; i < crowd_count; i++) {
		expect(get(crowd[i].begun) == 1);
		stop_for_good(&crowd[i], 1);
	}
	return when;
}

static unsigned hand_over_to_a_second(void)
{
	return hand_over(1, NULL);
}

static unsigned hand_over_to_a_third(void)
{
	return hand_over(2, NULL);
}

static void dispatch_when_readable(void)
{
	if (is_readable(reactor))
		must(asynctimer_reactor_dispatch(reactor, 0));
}

static unsigned hand_over_to_a_host(void)
{
	return hand_over(1, dispatch_when_readable);
}

static void dispatch_at_an_edge(void)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	if (outer_fd < 0) {
		/* If it is readable already, that is an edge. */
		outer_fd = must(epoll_create1(EPOLL_CLOEXEC));
		must(epoll_ctl(outer_fd, EPOLL_CTL_ADD, asynctimer_reactor_fd(reactor), &event));
	}
	if (must(epoll_wait(outer_fd, &event, 1, 0)) == 1)
		must(asynctimer_reactor_dispatch(reactor, 0));
}

static unsigned hand_over_to_an_edge_triggered_host(void)
{
	return hand_over(1, dispatch_at_an_edge);
}

#define HANDED_OVER .outcomes = { "due together", "due one by one", "started in it" }
OWN_AND_SHARED(of_two_runners_one_never_waits_for_the_other, "hand-over, 2 runners", HOUR, on_fire,
	       .trial = hand_over_to_a_second, .runners = 2, HANDED_OVER)
OWN_AND_SHARED(of_three_runners_one_never_waits_for_the_others, "hand-over, 3 runners", HOUR, on_fire,
	       .trial = hand_over_to_a_third, .runners = 3, HANDED_OVER)
OWN_AND_SHARED(a_host_never_waits_for_a_runner, "hand-over, 1 runner and a host", HOUR, on_fire,
	       .trial = hand_over_to_a_host, .runners = 1, HANDED_OVER)
OWN_AND_SHARED(an_edge_triggered_host_never_waits_for_a_runner, "hand-over, 1 runner, edges", HOUR,
	       on_fire, .trial = hand_over_to_an_edge_triggered_host, .runners = 1, HANDED_OVER)

/* shutdown/fire and shutdown/complete: a reactor per trial, for one that is shut down stays so */

static struct subject shut;

/* From here on `reactor` is the trial's. */
static struct asynctimer_reactor *begin_reactor(asynctimer_callback callback)
{
	struct asynctimer_reactor *kept = reactor;

	must(asynctimer_reactor_new(&reactor));
	/* No hook may look at a timer that is gone. */
	set(shut.timer, NULL);
	reset(&shut);
	set(subject, &shut);
	make(&shut, HOUR, callback);
	return kept;
}

static void end_reactor(struct asynctimer_reactor *kept)
{
	expect(asynctimer_start(shut.timer) == -ESHUTDOWN);
	disengage();
	expect(!asynctimer_is_started(shut.timer));
	expect(asynctimer_reactor_shutdown(reactor, -1) == 0);
	expect(get(shut.begun) == get(shut.ended));
	expect(get(shut.handling) == get(shut.handled));
	set(shut.timer, NULL);
	expect(asynctimer_reactor_free(reactor) == 0);
	reactor = kept;
}

/* Mostly until it ends, sometimes less: the ticks that are open then. */
static int shut_down(void)
{
	int64_t timeout_ns = any(2) ? -1 : any(2) * (int64_t)any(20 * US);
	int open = asynctimer_reactor_shutdown(reactor, timeout_ns);

	expect(open == 0 || (open == 1 && timeout_ns >= 0));
	if (open == 0) {
		set(shut.forbidden, 1);
		expect(get(shut.begun) == get(shut.ended));
		expect(get(shut.handling) == get(shut.handled));
	}
	return open;
}

static void run_until_shut(void)
{
	expect(asynctimer_reactor_run(reactor) == 0);
}

static unsigned shutdown_fire(void)
{
	enum { NEVER, BEFORE, WAITED, GAVE_UP };
	struct asynctimer_reactor *kept = begin_reactor(on_fire);
	unsigned begun, ended;
	int open;

	engage();
	expect(asynctimer_start_after(shut.timer, 0) == 1);
	await_stage();
	act();
	ended = get(shut.ended);
	open = shut_down();
	begun = get(shut.begun);
	end_reactor(kept);
	if (open)
		return GAVE_UP;
	if (begun == 0)
		return NEVER;
	return ended ? BEFORE : WAITED;
}

OWN_AND_SHARED(shutdown_waits_for_what_runs_and_nothing_runs_after_it, "shutdown/fire", HOUR, on_fire,
	       .trial = shutdown_fire, .opponent = run_until_shut, .opponents = 1,
	       .observe = observe,
	       .outcomes = { "never fired", "fired before", "waited for", "gave up" })

static unsigned shutdown_complete(void)
{
	enum { BEFORE, WAITED, GAVE_UP };
	struct asynctimer_reactor *kept = begin_reactor(on_deferred);
	bool completed;
	int open;

	set(holds, 0);
	expect(asynctimer_set_error_handler(shut.timer, on_failure) == 1);
	expect(asynctimer_start_after(shut.timer, 0) == 1);
	expect(asynctimer_reactor_dispatch(reactor, -1) == 1);
	engage();
	AWAIT_COMPLETION(&shut, get(shut.completed));
	completed = get(shut.completed);
	open = shut_down();
	if (open == 0)
		expect(get(shut.completing));
	end_reactor(kept);
	if (open)
		return GAVE_UP;
	return completed ? BEFORE : WAITED;
}

OWN_AND_SHARED(shutdown_waits_for_the_completion, "shutdown/complete", HOUR, on_fire,
	       .trial = shutdown_complete, .opponent = complete_opponent, .opponents = 1,
	       .observe = observe,
	       .outcomes = { "completed before", "waited for", "gave up" })

/* shutdown/start: it is refused, or stopped, and nothing fires after that */

static bool restarts;
static int shut_result;

static void start_until_shut(void)
{
	bool late;

	hesitate();
	late = get(shut.forbidden);
	shut_result = restarts ? asynctimer_restart_after(shut.timer, any(2) * HOUR)
			       : asynctimer_start_after(shut.timer, any(2) * HOUR);
	expect(shut_result == -ESHUTDOWN || (shut_result == 1 && !late));
	must(asynctimer_reactor_dispatch(reactor, 0));
}

static unsigned shutdown_start(void)
{
	enum { REFUSED, STOPPED, FIRED };
	struct asynctimer_reactor *kept = begin_reactor(on_fire);

	restarts = any(2);
	if (restarts)
		expect(asynctimer_start_after(shut.timer, HOUR) == 1);
	set(acting, 1);
	engage();
	if (any(2))
		briefly(get(shut.begun));
	hesitate();
	shut_down();
	end_reactor(kept);
	if (shut_result != 1)
		return REFUSED;
	return get(shut.begun) ? FIRED : STOPPED;
}

OWN_AND_SHARED(shut_down_it_starts_nothing, "shutdown/start", HOUR, on_fire,
	       .trial = shutdown_start, .opponent = start_until_shut, .opponents = 1,
	       .observe = observe,
	       .outcomes = { "refused", "started, stopped", "started, fired" })

/* advance/advance, on a virtual clock: one of two that meet is refused, and no tick is lost */

static uint64_t advanced_ns;		/* by those that were not refused */

static int advance(void)
{
	uint64_t by_ns = any(4);
	int r;

	hesitate();
	r = asynctimer_reactor_advance(reactor, by_ns);
	expect(r >= 0 || r == -EBUSY);
	if (r >= 0)
		__atomic_add_fetch(&advanced_ns, by_ns, __ATOMIC_SEQ_CST);
	return r;
}

static int advance_result;

static void advance_too(void)
{
	advance_result = advance();
}

static unsigned advance_advance(void)
{
	enum { BOTH, THE_ONE, THE_OTHER };
	int r;

	engage();
	r = advance();
	disengage();
	expect(r >= 0 || advance_result >= 0);
	expect(asynctimer_now_ns(subject->timer) == advanced_ns);
	expect(get(subject->begun) == advanced_ns && get(subject->ended) == advanced_ns);
	if (r >= 0 && advance_result >= 0)
		return BOTH;
	return r >= 0 ? THE_ONE : THE_OTHER;
}

START_TEST(of_two_that_advance_one_is_refused)
{
	static const struct hammer hammer = {
		.name = "advance/advance", .trial = advance_advance, .opponent = advance_too,
		.opponents = 1, .observe = observe,
		.outcomes = { "both", "the one alone", "the other alone" },
	};
	struct asynctimer_reactor *kept = reactor;
	struct subject at = { .timer = NULL };

	must(asynctimer_reactor_new_virtual(&reactor));
	shared = true;
	subject = &at;
	make(&at, 1, on_fire);
	expect(asynctimer_start(at.timer) == 1);
	set(acting, 1);
	hammer_run(&hammer);
	must(asynctimer_reactor_free(reactor));
	reactor = kept;
}
END_TEST

int main(void)
{
	return RUN_TESTS("races", stop_means_stopped_own, stop_means_stopped_shared,
			 stop_does_not_touch_a_restart_own, stop_does_not_touch_a_restart_shared,
			 of_two_callbacks_that_stop_each_other_one_is_told,
			 free_releases_once_when_nothing_runs_own,
			 free_releases_once_when_nothing_runs_shared,
			 free_leaves_a_stop_that_waits_the_timer_own,
			 free_leaves_a_stop_that_waits_the_timer_shared,
			 free_and_complete_release_once_own, free_and_complete_release_once_shared,
			 one_complete_ends_one_tick_own, one_complete_ends_one_tick_shared,
			 stop_holds_against_complete_own, stop_holds_against_complete_shared,
			 one_of_two_starts_counts_own, one_of_two_starts_counts_shared,
			 set_interval_moves_the_grid_once_own,
			 set_interval_moves_the_grid_once_shared,
			 each_start_that_counts_has_one_tick_own,
			 each_start_that_counts_has_one_tick_shared,
			 a_stop_is_told_whether_the_one_tick_ran_own,
			 a_stop_is_told_whether_the_one_tick_ran_shared,
			 a_stop_wins_against_a_restart_own,
			 a_stop_wins_against_a_restart_shared,
			 a_restart_moves_the_tick_in_one_step_own,
			 a_restart_moves_the_tick_in_one_step_shared,
			 of_two_restarts_the_later_counts_own,
			 of_two_restarts_the_later_counts_shared,
			 a_restart_holds_through_a_completion_own,
			 a_restart_holds_through_a_completion_shared,
			 freed_it_is_not_restarted_own,
			 freed_it_is_not_restarted_shared,
			 free_nowait_releases_once_and_after_the_callback_own,
			 free_nowait_releases_once_and_after_the_callback_shared,
			 free_nowait_leaves_a_stop_that_waits_the_timer_own,
			 free_nowait_leaves_a_stop_that_waits_the_timer_shared,
			 free_nowait_and_complete_release_once_own,
			 free_nowait_and_complete_release_once_shared,
			 freed_it_is_listed_while_its_tick_is_open_own,
			 freed_it_is_listed_while_its_tick_is_open_shared,
			 a_copy_is_of_one_moment_own, a_copy_is_of_one_moment_shared,
			 reactor_stop_reaches_every_thread, a_slow_callback_delays_no_other_timer,
			 of_two_runners_one_never_waits_for_the_other_own,
			 of_two_runners_one_never_waits_for_the_other_shared,
			 of_three_runners_one_never_waits_for_the_others_own,
			 of_three_runners_one_never_waits_for_the_others_shared,
			 a_host_never_waits_for_a_runner_own, a_host_never_waits_for_a_runner_shared,
			 an_edge_triggered_host_never_waits_for_a_runner_own,
			 an_edge_triggered_host_never_waits_for_a_runner_shared,
			 shutdown_waits_for_what_runs_and_nothing_runs_after_it_own,
			 shutdown_waits_for_what_runs_and_nothing_runs_after_it_shared,
			 shutdown_waits_for_the_completion_own,
			 shutdown_waits_for_the_completion_shared,
			 shut_down_it_starts_nothing_own, shut_down_it_starts_nothing_shared,
			 of_two_that_advance_one_is_refused);
}

/* SPDX-License-Identifier: MIT */
/*
 * All sequences of public calls up to a number of steps, on one, two and three timers
 * of a virtual reactor, against the fuzzer's model (fuzz/fuzz_both.h): breadth first,
 * with states recognised again.
 *
 * A step is a call, or the return of a callback, handler or release. Calls made in
 * there are steps as well: two at most in a callback, one in a handler or release.
 * Each sequence is run from its beginning on a reactor of its own, for a state of the
 * library can't be copied. After its last step, also where that is in a callback, all
 * that can be asked is compared. Then callbacks return, what is open is completed and
 * all is freed, and this is compared as well. From a state that was seen before the
 * search does not go on. So a difference is shown with a shortest sequence.
 *
 * Two states are the same if the model's are (model_state), the callbacks on the
 * stack, and of the library's own state the flags and times of each timer and what
 * explains lateness; all times are counted from now. It is taken for granted that
 * nothing else decides what comes: not what was counted, unless a sum is near its end;
 * not how the queue is laid out; not times in a stopped timer; and what the clocks show
 * only in setups that say so. For short sequences that is looked at: where two lead to
 * the same state, each next step must lead to the same state again.
 *
 * On a virtual reactor own timers are shared ones, so timerfds are not looked at; the
 * first timer, if it has no slack, is made by asynctimer_new, and the others by
 * asynctimer_new_shared. There is one thread. ASYNCTIMER_LONG_TESTS=1 goes farther,
 * in some minutes.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuzz/fuzz_both.h"
#include "internal.h"

#define DEEPEST 3		/* a callback's complete's handler's release only returns */
#define MOST_TIMERS 3
#define LONGEST 64		/* sequence */
#define TOO_FAR -1		/* made unsigned, it is refused as an advance */

/*
 * What is explored.
 */

enum kind {
	NEW, START, START_AFTER, START_AT_PAST, START_AT_0, STOP, RESTART, SET_INTERVAL, FREE,
	FREE_NOWAIT, COMPLETE, COMPLETE_OLD,
	ADVANCE, SET_REALTIME, SET_BOOTTIME, REACTOR_STOP, REACTOR_RESTART, REACTOR_FREE, SHUTDOWN,
	RETURN,
};

/* To be taken in some states. */
struct step {
	uint8_t kind;
	uint8_t timer;
	int argument;
};

struct recipe {
	int policy;
	int clock;
	uint64_t interval_ns;
	uint64_t other_ns;		/* interval that set_interval changes to, and back */
	uint64_t slack_ns;
};

/* One timer begins stopped, several begin started. The first has a handler and a release. */
struct setup {
	struct recipe recipe[MOST_TIMERS];
	uint64_t begin_ns;		/* what the clocks show then */
	bool exact;			/* what the clocks show tells states apart */
};

#define SCHEDULE ASYNCTIMER_FIXED_SCHEDULE
#define DELAY ASYNCTIMER_FIXED_DELAY
#define ONCE ASYNCTIMER_ONCE
#define MONOTONIC CLOCK_MONOTONIC
#define BOOTTIME CLOCK_BOOTTIME
#define REALTIME CLOCK_REALTIME
#define FAR_NS 1000
#define BEFORE_A_SPOT_NS (ASYNCTIMER_MILLISECOND - 5)
#define BEFORE_THE_END_NS ((UINT64_C(1) << 63) - 3)

static const struct setup one_timer[] = {
	{ { { SCHEDULE, MONOTONIC, 2, 3, 0 } }, FAR_NS, false },
	{ { { DELAY, MONOTONIC, 2, 3, 0 } }, FAR_NS, false },
	{ { { ONCE, MONOTONIC, 2, 3, 0 } }, FAR_NS, false },
	{ { { SCHEDULE, REALTIME, 2, 3, 0 } }, FAR_NS, false },
	{ { { ONCE, REALTIME, 2, 3, 0 } }, FAR_NS, false },
	{ { { SCHEDULE, BOOTTIME, 3, 2, 0 } }, FAR_NS, false },
	{ { { DELAY, BOOTTIME, 3, 2, 0 } }, FAR_NS, false },
	{ { { SCHEDULE, REALTIME, 3, 5, 0 } }, 0, true },
	{ { { ONCE, REALTIME, 3, 5, 0 } }, 0, true },
	{ { { ONCE, REALTIME, 3, 2, 1 } }, FAR_NS, false },
	{ { { SCHEDULE, MONOTONIC, 4, 5, 3 } }, BEFORE_A_SPOT_NS, true },
	{ { { SCHEDULE, REALTIME, 2, 3, 0 } }, BEFORE_THE_END_NS, true },
	{ { { ONCE, BOOTTIME, 2, 3, 0 } }, BEFORE_THE_END_NS, true },
};

static const struct setup two_timers[] = {
	{ { { SCHEDULE, MONOTONIC, 2, 3, 0 }, { SCHEDULE, MONOTONIC, 3, 2, 0 } }, FAR_NS, false },
	{ { { SCHEDULE, MONOTONIC, 2, 3, 0 }, { DELAY, MONOTONIC, 2, 3, 0 } }, FAR_NS, false },
	{ { { DELAY, MONOTONIC, 2, 3, 0 }, { ONCE, MONOTONIC, 2, 3, 0 } }, FAR_NS, false },
	{ { { SCHEDULE, MONOTONIC, 2, 3, 0 }, { SCHEDULE, REALTIME, 2, 3, 0 } }, FAR_NS, false },
	{ { { ONCE, REALTIME, 2, 3, 0 }, { SCHEDULE, BOOTTIME, 2, 3, 0 } }, FAR_NS, false },
	{ { { SCHEDULE, MONOTONIC, 2, 3, 0 }, { SCHEDULE, MONOTONIC, 3, 4, 1 } }, FAR_NS, false },
	{ { { SCHEDULE, REALTIME, 4, 3, 2 }, { ONCE, REALTIME, 3, 2, 1 } },
	  BEFORE_A_SPOT_NS, true },
};

/* Which of two others explains that a third one is late. */
static const struct setup three_timers[] = {
	{ { { SCHEDULE, MONOTONIC, 1, 3, 0 }, { ONCE, MONOTONIC, 2, 3, 0 },
	    { DELAY, MONOTONIC, 3, 2, 0 } }, FAR_NS, false },
};

static const struct setup *setup;
static unsigned timers;			/* of it */
static struct step steps[64];		/* that can be taken at all */
static unsigned step_count;

static void add(enum kind kind, unsigned timer, int argument)
{
	steps[step_count++] = (struct step){ (uint8_t)kind, (uint8_t)timer, argument };
}

static bool has_clock(int clock)
{
	for (unsigned i = 0; i < timers; i++)
		if (setup->recipe[i].clock == clock)
			return true;
	return false;
}

static void list_steps_of(unsigned i)
{
	add(RESTART, i, 1);
	add(FREE, i, 0);
	if (timers > 2 && setup->recipe[i].policy == ONCE)
		add(START_AT_PAST, i, 3);
	if (timers > 2)
		return;
	add(NEW, i, 0);
	add(START, i, 0);
	add(STOP, i, 0);
	add(SET_INTERVAL, i, 0);
	add(COMPLETE, i, 0);
	if (i == 0)
		add(COMPLETE, i, -EIO);
	if (timers > 1)
		return;
	add(START_AFTER, i, 0);
	add(START_AFTER, i, 1);
	add(START_AT_PAST, i, 3);
	add(RESTART, i, 0);
	add(FREE_NOWAIT, i, 0);
	add(COMPLETE, i, 1);
	add(COMPLETE_OLD, i, 0);
	if (setup->begin_ns == BEFORE_THE_END_NS)
		add(START_AT_0, i, 0);
}

/* With several timers no more than what may be different then. */
static void list_steps(void)
{
	step_count = 0;
	for (unsigned i = 0; i < timers; i++)
		list_steps_of(i);
	add(ADVANCE, 0, 0);
	add(ADVANCE, 0, 1);
	add(ADVANCE, 0, 3);
	add(ADVANCE, 0, TOO_FAR);
	if (has_clock(REALTIME)) {
		add(SET_REALTIME, 0, 3);
		add(SET_REALTIME, 0, -2);
	}
	if (has_clock(BOOTTIME))
		add(SET_BOOTTIME, 0, 3);
	add(REACTOR_STOP, 0, 0);
	add(REACTOR_RESTART, 0, 0);
	if (timers == 1) {
		add(ADVANCE, 0, 7);
		add(REACTOR_FREE, 0, 0);
		add(SHUTDOWN, 0, 0);
		add(RETURN, 0, 1);
	}
	add(RETURN, 0, ASYNCTIMER_DONE);
	if (timers > 2)
		return;
	add(RETURN, 0, ASYNCTIMER_PENDING);
	add(RETURN, 0, -EIO);
}

/*
 * One sequence.
 */

struct frame {
	enum { CALLBACK, HANDLER, RELEASE } kind;
	unsigned timer;
	unsigned steps;			/* taken in it */
};

static const uint8_t *sequence;		/* places in steps */
static unsigned length;
static unsigned taken;			/* of it so far */
static bool over;			/* and what it came to is known */
static struct frame stack[LONGEST];

struct state {
	uint64_t hash[2];
	uint64_t possible;	/* of steps, as bits */
};
static struct state reached;

/* Of a freed timer whose tick is deferred no more may be named than that tick. */
static bool can_be_named(const struct model_timer *timer)
{
	return timer->alive && (!timer->freed || timer->running);
}

/* Refused, or without effect: tried with one timer, and not for each state of others. */
static bool does_nothing(const struct model_timer *timer, enum kind kind)
{
	switch (kind) {
	case START:
	case START_AFTER:
	case START_AT_PAST:
	case START_AT_0:
		return timer->started || timer->freed;
	case STOP:
	case RESTART:
		return !timer->started;
	case COMPLETE:
	case COMPLETE_OLD:
		return !timer->open || timer->ended;
	case SET_INTERVAL:
		return timer->freed;
	default:
		return false;
	}
}

static bool is_possible_for(const struct model_timer *timer, enum kind kind)
{
	if (timers > 1 && does_nothing(timer, kind))
		return false;
	switch (kind) {
	case NEW:
		return !timer->alive;
	case COMPLETE:
	case COMPLETE_OLD:
		return timer->alive && (can_be_named(timer) || kind == COMPLETE);
	case FREE:
	case FREE_NOWAIT:
		return can_be_named(timer) && !timer->freed;
	default:
		return can_be_named(timer);
	}
}

static bool is_to_return(const struct frame *frame)
{
	static const unsigned most_steps[] = { [CALLBACK] = 2, [HANDLER] = 1, [RELEASE] = 1 };

	return both.depth == DEEPEST || frame->steps == most_steps[frame->kind];
}

static bool is_possible(const struct step *step)
{
	const struct frame *frame = both.depth ? &stack[both.depth] : NULL;

	if (step->kind == RETURN)
		return frame && (frame->kind == CALLBACK || step->argument == ASYNCTIMER_DONE);
	if (frame && is_to_return(frame))
		return false;
	switch (step->kind) {
	case ADVANCE:
		return !(both.model.inside && step->argument == 0);
	case SET_REALTIME:
	case SET_BOOTTIME:
	case SHUTDOWN:
		return true;
	case REACTOR_STOP:
		return !both.model.stopped && (frame || timers == 1);
	case REACTOR_RESTART:
		return both.model.stopped;
	case REACTOR_FREE:
		return both.model.inside || both.model.timer[0].open;
	default:
		return is_possible_for(&both.model.timer[step->timer], step->kind);
	}
}

static void make(unsigned i)
{
	const struct recipe *recipe = &setup->recipe[i];
	struct model_timer *timer = &both.model.timer[i];

	both_new(timer, recipe->clock, recipe->interval_ns, recipe->policy,
		 i > 0 || recipe->slack_ns > 0, recipe->slack_ns);
	if (!timer->alive || i > 0)
		return;
	both_set_error_handler(timer, 1);
	both_set_release(timer, true);
}

static void start_at_past(struct model_timer *timer, uint64_t ago_ns)
{
	uint64_t now_ns = model_now_ns(&both.model, timer);

	both_start_at(timer, now_ns > ago_ns ? now_ns - ago_ns : 0);
}

static void set_clock(int clock, int by_ns)
{
	uint64_t now_ns = both.model.now_ns[clock == REALTIME ? MODEL_REALTIME : MODEL_BOOTTIME];

	if (by_ns < 0 && now_ns < (uint64_t)-by_ns)
		both_set_clock(clock, 0);
	else
		both_set_clock(clock, now_ns + (uint64_t)by_ns);
}

static void set_interval(struct model_timer *timer, const struct recipe *recipe)
{
	both_set_interval(timer, timer->interval_ns == recipe->interval_ns ? recipe->other_ns :
									     recipe->interval_ns);
}

static void take_on_timer(enum kind kind, unsigned i, int argument)
{
	struct model_timer *timer = &both.model.timer[i];

	switch (kind) {
	case NEW:
		make(i);
		break;
	case START:
		both_start(timer);
		break;
	case START_AFTER:
		both_start_after(timer, (uint64_t)argument);
		break;
	case START_AT_PAST:
		start_at_past(timer, (uint64_t)argument);
		break;
	case START_AT_0:
		both_start_at(timer, 0);
		break;
	case STOP:
		both_stop(timer);
		break;
	case RESTART:
		both_restart_after(timer, (uint64_t)argument);
		break;
	case SET_INTERVAL:
		set_interval(timer, &setup->recipe[i]);
		break;
	case FREE:
		both_free(timer);
		break;
	case FREE_NOWAIT:
		both_free_nowait(timer);
		break;
	case COMPLETE:
		both_complete(timer, timer->number, argument);
		break;
	default:
		both_complete(timer, timer->number - 1, argument);
	}
}

static void take(const struct step *step)
{
	switch ((enum kind)step->kind) {
	case ADVANCE:
		both_advance((uint64_t)(int64_t)step->argument);
		break;
	case SET_REALTIME:
		set_clock(REALTIME, step->argument);
		break;
	case SET_BOOTTIME:
		set_clock(BOOTTIME, step->argument);
		break;
	case REACTOR_STOP:
		both_reactor_stop();
		break;
	case REACTOR_RESTART:
		both_reactor_restart();
		break;
	case REACTOR_FREE:
		both_reactor_free();
		break;
	case SHUTDOWN:
		both_shutdown(0);
		break;
	default:
		take_on_timer((enum kind)step->kind, step->timer, step->argument);
	}
	both_expect_no_call();
}

/*
 * What a sequence comes to.
 */

static uint64_t index_of(const struct asynctimer *timer)
{
	for (unsigned i = 0; timer && i < timers; i++)
		if (both.model.timer[i].alive && both.timer[i] == timer)
			return i + 1;
	return timer ? MODEL_NEVER : 0;
}

static size_t lag_state(const struct lag *lag, uint64_t *ret)
{
	const struct lag_callback callbacks[] = { lag->last, lag->last_other, lag->longest,
						  lag->longest_other };
	size_t n = 0;

	ret[n++] = lag->begun | lag->waited << 1 | lag->last_is_old << 2 | lag->other_is_old << 3;
	if (!lag->begun)
		return n;
	ret[n++] = lag->clock;
	ret[n++] = lag->base_ns - both.model.now_ns[lag->clock];
	ret[n++] = lag->longest_ns;
	ret[n++] = lag->longest_other_ns;
	for (unsigned i = 0; i < 4; i++) {
		ret[n++] = index_of(callbacks[i].timer);
		ret[n++] = callbacks[i].end_ns - both.model.now_ns[lag->clock];
	}
	return n;
}

/* What the library knows of the timer and the model may not. */
static size_t library_state(const struct model_timer *timer, const struct asynctimer *real,
			    uint64_t *ret)
{
	const struct schedule *schedule = &real->schedule;
	size_t n = 0;

	ret[n++] = real->tick | real->life << 2 | real->started << 4 | schedule->before_first << 5 |
		   schedule->anchor_is_tick << 6 | schedule->was_busy << 7;
	if (!real->started)
		return n;
	if (schedule->node.due_ns != ASYNCTIMER__NEVER)
		ret[n++] = schedule->node.due_ns - model_now_ns(&both.model, timer);
	if (schedule->before_first)
		ret[n++] = schedule->anchor_ns - model_now_ns(&both.model, timer);
	else if (schedule->was_busy)
		ret[n++] = schedule->skipped_busy;
	return n;
}

#define LAG_WORDS 16
#define STATE_WORDS                                                                                \
	(MODEL_STATE_WORDS(MOST_TIMERS) + DEEPEST + MODEL_CLOCKS + MOST_TIMERS * 4 +               \
	 (DEEPEST + 2) * LAG_WORDS)

static size_t all_state(uint64_t *ret)
{
	const struct thread_memory *memory = both.reactor->remembered;
	size_t n = model_state(&both.model, ret);

	for (unsigned i = 1; i <= both.depth; i++)
		ret[n++] = stack[i].kind | stack[i].timer << 2 | stack[i].steps << 4;
	for (unsigned i = 0; i < MODEL_CLOCKS && setup->exact; i++)
		ret[n++] = both.model.now_ns[i];
	for (unsigned i = 0; i < timers; i++) {
		const struct model_timer *timer = &both.model.timer[i];

		if (!timer->alive)
			continue;
		n += library_state(timer, both.timer[i], ret + n);
		/* One more can be too much. */
		ret[n++] = timer->stats.lateness_sum_ns >> 63;
	}
	if (memory->thread)
		n += lag_state(&memory->lag, ret + n);
	for (const struct call *call = both.reactor->calls; call; call = call->next)
		n += lag_state(&call->lag, ret + n);
	return n;
}

static void hash(const uint64_t *words, size_t count, uint64_t ret[2])
{
	ret[0] = count;
	ret[1] = 0;
	for (size_t i = 0; i < count; i++) {
		ret[0] = (ret[0] ^ words[i]) * UINT64_C(0x9E3779B97F4A7C15);
		ret[0] ^= ret[0] >> 32;
		ret[1] = (ret[1] + words[i]) * UINT64_C(0xD6E8FEB86659FD93);
		ret[1] ^= ret[1] >> 29;
	}
}

/* After the last step, perhaps in a callback. */
static void arrive(void)
{
	uint64_t words[STATE_WORDS];
	size_t count;

	over = true;
	for (unsigned i = 0; i < timers; i++)
		if (can_be_named(&both.model.timer[i]))
			both_ask(&both.model.timer[i]);
	both_list(timers, BOTH_LARGEST);
	both_list(timers - 1, 0);
	both_reactor_get_stats(0);
	if (length == 0)
		both_refused(&both.model.timer[0]);
	count = all_state(words);
	hash(words, count, reached.hash);
	reached.possible = 0;
	for (unsigned i = 0; i < step_count; i++)
		reached.possible |= (uint64_t)is_possible(&steps[i]) << i;
}

/* Takes the next steps until one returns from here: to that. */
static int take_steps(void)
{
	while (taken < length) {
		const struct step *step = &steps[sequence[taken++]];

		if (step->kind == RETURN)
			return step->argument;
		stack[both.depth].steps++;
		take(step);
	}
	if (!over)
		arrive();
	return ASYNCTIMER_DONE;
}

static int take_steps_in(struct frame frame)
{
	stack[both.depth] = frame;
	return take_steps();
}

int both_callback(unsigned timer)
{
	return take_steps_in((struct frame){ CALLBACK, timer, 0 });
}

void both_handler(unsigned timer)
{
	take_steps_in((struct frame){ HANDLER, timer, 0 });
}

void both_release(unsigned timer)
{
	take_steps_in((struct frame){ RELEASE, timer, 0 });
}

static struct state run(const uint8_t *steps_to_take, unsigned count)
{
	sequence = steps_to_take;
	length = count;
	taken = 0;
	over = false;
	both_begin(timers);
	if (setup->begin_ns)
		both_advance(setup->begin_ns);
	for (unsigned i = 0; i < timers; i++)
		make(i);
	for (unsigned i = 0; i < timers && timers > 1; i++)
		both_start(&both.model.timer[i]);
	take_steps();
	both_end();
	return reached;
}

/*
 * The search.
 */

struct found {
	struct state state;
	uint32_t from;		/* the place of the state before the step */
	uint8_t step;
};

struct search {
	const struct setup *setup;
	struct found *found;
	uint32_t count;
	uint32_t room;
	uint32_t *table;	/* hashed, twice the room: a state's place in found + 1; 0: free */
	uint32_t next;		/* the first state whose steps were not taken yet */
};

struct depths {
	unsigned steps;		/* in a sequence */
	unsigned compared;	/* in those that lead to a known state, to be compared */
};

/* What is searched side by side. */
struct group {
	const char *name;
	const struct setup *setups;
	unsigned setup_count;
	unsigned timers;
	struct depths depths;
	struct depths long_depths;
	uint64_t states;
	uint64_t sequences;
	uint64_t compared;	/* steps after two ways to one state */
	unsigned depth;
};

/* Another depth is begun within so much CPU: under valgrind, say, the last would take too long. */
#define BEGINS_S 5
#define LONG_BEGINS_S 600

static bool is_long;
static struct group *group;	/* being searched */

static uint32_t *look_up(const struct search *search, const uint64_t key[2])
{
	uint32_t mask = 2 * search->room - 1;
	uint32_t i = (uint32_t)key[0] & mask;

	while (search->table[i] &&
	       memcmp(search->found[search->table[i] - 1].state.hash, key, 2 * sizeof(*key)) != 0)
		i = (i + 1) & mask;
	return &search->table[i];
}

static void make_room(struct search *search)
{
	search->room = search->room ? 2 * search->room : 1 << 10;
	free(search->table);
	search->table = calloc(2 * (size_t)search->room, sizeof(*search->table));
	search->found = realloc(search->found, search->room * sizeof(*search->found));
	if (!search->table || !search->found) {
		perror("memory for the states");
		exit(99);
	}
	for (uint32_t i = 0; i < search->count; i++)
		*look_up(search, search->found[i].state.hash) = i + 1;
}

static void report(unsigned differences)
{
	const char *path = getenv("ASYNCTIMER_TABLE");
	FILE *table;

	printf("%s: %s: %u setups, %" PRIu64 " states, %" PRIu64
	       " sequences of up to %u steps, %" PRIu64
	       " steps compared after two ways to one state, %u differences\n",
	       differences ? "FAILED" : "ok", group->name, group->setup_count, group->states,
	       group->sequences, group->depth, group->compared, differences);
	if (!path || !*path)
		return;
	table = fopen(path, "a");
	if (!table || fprintf(table, "explorer\t%s, %u steps\t%" PRIu64 "\t%u\n", group->name,
			      group->depth, group->sequences, differences) < 0 ||
	    fclose(table) != 0) {
		perror(path);
		exit(1);
	}
}

static void report_and_exit(void)
{
	report(1);
	exit(1);
}

/* The steps that lead to a state, into ret: returns how many. */
static unsigned steps_to(const struct search *search, uint32_t i, uint8_t ret[])
{
	unsigned count = 0;

	if (i == 0)
		return 0;
	count = steps_to(search, search->found[i].from, ret);
	ret[count] = search->found[i].step;
	return count + 1;
}

/* Keeps what the sequence leads to, or says where it was kept before. */
static const struct found *keep(struct search *search, const struct state *state, uint32_t from,
				uint8_t step)
{
	uint32_t *place;

	if (search->count == search->room)
		make_room(search);
	place = look_up(search, state->hash);
	if (*place)
		return &search->found[*place - 1];
	search->found[search->count] = (struct found){ *state, from, step };
	*place = ++search->count;
	return NULL;
}

static void begin(struct search *search, const struct setup *setup_of_it)
{
	struct state first;

	search->setup = setup_of_it;
	setup = setup_of_it;
	list_steps();
	first = run(NULL, 0);
	keep(search, &first, 0, 0);
}

static const struct depths *depths(void)
{
	return is_long ? &group->long_depths : &group->depths;
}

/* The sequence leads to a state found before: each step leads to the same from here and there. */
static void expect_alike(const struct search *search, const uint8_t taken_steps[], unsigned count,
			 const struct found *found)
{
	uint8_t sequences[2][LONGEST];
	uint32_t place = (uint32_t)(found - search->found);
	unsigned counts[2] = { count, steps_to(search, place, sequences[1]) };

	memcpy(sequences[0], taken_steps, count);
	for (uint64_t possible = found->state.possible; possible; possible &= possible - 1) {
		struct state state[2];

		for (unsigned i = 0; i < 2; i++) {
			sequences[i][counts[i]] = (uint8_t)__builtin_ctzll(possible);
			state[i] = run(sequences[i], counts[i] + 1);
		}
		group->compared++;
		if (memcmp(&state[0], &state[1], sizeof(*state)) == 0)
			continue;
		both_print();
		run(sequences[0], counts[0] + 1);
		both_print();
		fprintf(stderr, "the last step leads to two states, from what was one\n");
		report_and_exit();
	}
}

/* Goes one step farther from each state that was found last. */
static void go_deeper(struct search *search)
{
	uint32_t end = search->count;
	uint8_t steps_taken[LONGEST];

	setup = search->setup;
	list_steps();
	for (; search->next < end; search->next++) {
		uint64_t possible = search->found[search->next].state.possible;
		unsigned count = steps_to(search, search->next, steps_taken) + 1;

		for (; possible; possible &= possible - 1) {
			const struct found *found;
			struct state state;

			steps_taken[count - 1] = (uint8_t)__builtin_ctzll(possible);
			state = run(steps_taken, count);
			group->sequences++;
			found = keep(search, &state, search->next, steps_taken[count - 1]);
			if (found && count <= depths()->compared)
				expect_alike(search, steps_taken, count, found);
		}
	}
}

static double cpu_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Of an assertion in the library, say: the last operation printed did not return. */
static void report_signal(int signal_number)
{
	signal(signal_number, SIG_DFL);
	both_print();
	report(1);
	fflush(stdout);
	raise(signal_number);
}

static void explore(struct group *it)
{
	struct search *searches = calloc(it->setup_count, sizeof(*searches));
	double end_s = cpu_s() + (is_long ? LONG_BEGINS_S : BEGINS_S);

	if (!searches) {
		perror("memory for the searches");
		exit(99);
	}
	group = it;
	timers = it->timers;
	for (unsigned i = 0; i < it->setup_count; i++)
		begin(&searches[i], &it->setups[i]);
	while (it->depth < depths()->steps && cpu_s() < end_s) {
		it->depth++;
		it->states = 0;
		for (unsigned i = 0; i < it->setup_count; i++) {
			go_deeper(&searches[i]);
			it->states += searches[i].count;
		}
	}
	report(0);
	for (unsigned i = 0; i < it->setup_count; i++) {
		free(searches[i].found);
		free(searches[i].table);
	}
	free(searches);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What takes longest comes last. */
static struct group groups[] = {
	{ "three timers", three_timers, COUNT(three_timers), 3, { 7, 2 }, { 8, 4 }, 0, 0, 0, 0 },
	{ "one timer", one_timer, COUNT(one_timer), 1, { 6, 1 }, { 8, 4 }, 0, 0, 0, 0 },
	{ "two timers", two_timers, COUNT(two_timers), 2, { 6, 2 }, { 7, 4 }, 0, 0, 0, 0 },
};

int main(void)
{
	is_long = getenv("ASYNCTIMER_LONG_TESTS") != NULL;
	both_differs = report_and_exit;
	signal(SIGABRT, report_signal);
	signal(SIGSEGV, report_signal);
	for (unsigned i = 0; i < COUNT(groups); i++)
		explore(&groups[i]);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Walks every state of lib/schedule.c, with times of WIDTH bits in place of 64:
 * what wraps around at 64 bits does so at WIDTH bits.
 *
 * The walk begins with a new timer. In each state that the public calls lead to
 * it makes every call, with every argument and at every reading of the clock;
 * the last reading is half the range, as the library allows it. An oracle goes
 * along. It counts grid points one by one, in plain integers, and must agree
 * after each call. States are visited in the order in which they are found, so
 * a failure is shown with a shortest way that leads there.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef WIDTH
typedef unsigned _BitInt(WIDTH) narrow;
typedef signed _BitInt(WIDTH) signed_narrow;
#else /* Only for tools that read this, and do not know _BitInt. */
#define WIDTH 7
typedef uint8_t narrow;
typedef int8_t signed_narrow;
#endif

/* The schedule sees these types, and no more of a queue's node than it uses. */
#define uint64_t narrow
#define int64_t signed_narrow
#undef UINT64_MAX
#define UINT64_MAX ((narrow)-1)
#define ASYNCTIMER_QUEUE_H
struct node {
	uint64_t due_ns;
};
#include "schedule.c"
#undef uint64_t
#undef int64_t

enum {
	LAST_NS = 1 << (WIDTH - 1),	/* reading of the clock: 2^63 */
	LATEST_ANCHOR_NS = LAST_NS - 1,
	LONGEST_NS = 1 << (WIDTH - 2),	/* interval or delay: 2^62 */
	NONE = UINT8_MAX,		/* ASYNCTIMER__NEVER: a tick of FIXED_DELAY is open */
	NUMBER = 3,			/* of the last tick, in every state */
};

/* A field that means nothing at the moment is 0, so that equal states are equal bytes. */
struct oracle {
	uint8_t policy;
	uint8_t interval_ns;
	uint8_t next_ns;
	uint8_t from_ns;	/* first: the anchor; FIXED_DELAY, not asked: the delay's begin; ONCE: both */
	uint8_t busy;		/* points skipped since the last claim */
	bool first;		/* FIXED_SCHEDULE: no point has been delivered or skipped since the start */
	bool asked;		/* the start said when the first tick is due */
};

static bool is_delay(const struct oracle *oracle)
{
	return oracle->policy == ASYNCTIMER_FIXED_DELAY;
}

static bool is_once(const struct oracle *oracle)
{
	return oracle->policy == ASYNCTIMER_ONCE;
}

static bool is_schedule(const struct oracle *oracle)
{
	return oracle->policy == ASYNCTIMER_FIXED_SCHEDULE;
}

static void oracle_start(struct oracle *oracle, int now_ns)
{
	oracle->first = is_schedule(oracle);
	oracle->asked = false;
	oracle->busy = 0;
	oracle->from_ns = now_ns;
	oracle->next_ns = now_ns + oracle->interval_ns;
}

/* Before the first tick: the first point after now_ns of the grid that begins at the anchor. */
static uint8_t first_after(const struct oracle *oracle, int now_ns)
{
	int ns = oracle->from_ns;

	/* A start's own moment is no tick. */
	if (!oracle->asked)
		ns += oracle->interval_ns;
	while (ns <= now_ns)
		ns += oracle->interval_ns;
	return ns;
}

static void oracle_start_at(struct oracle *oracle, int anchor_ns, int now_ns)
{
	oracle->first = is_schedule(oracle);
	oracle->asked = true;
	oracle->busy = 0;
	oracle->from_ns = is_delay(oracle) ? 0 : anchor_ns;
	if (anchor_ns >= now_ns)
		oracle->next_ns = anchor_ns;
	else if (!is_schedule(oracle))
		oracle->next_ns = now_ns;
	else
		oracle->next_ns = first_after(oracle, now_ns);
}

/* What is told: ONCE, asked for a time that was past, is ready later than it is due. */
static int oracle_due_ns(const struct oracle *oracle, bool open)
{
	if (open && is_delay(oracle))
		return NONE;
	return is_once(oracle) && oracle->asked ? oracle->from_ns : oracle->next_ns;
}

static void oracle_stop(struct oracle *oracle)
{
	*oracle = (struct oracle){ .policy = oracle->policy, .interval_ns = oracle->interval_ns };
}

static void under_way(struct oracle *oracle)
{
	oracle->first = false;
	oracle->asked = false;
	oracle->from_ns = 0;
}

/* Returns how many points are skipped late. */
static int oracle_claim(struct oracle *oracle, int reached_ns, int *ret)
{
	int due_ns = oracle_due_ns(oracle, false);
	int late = 0;

	*ret = due_ns;
	if (is_once(oracle)) {
		oracle_stop(oracle);
		return 0;
	}
	while (!is_delay(oracle) && due_ns + oracle->interval_ns <= reached_ns) {
		due_ns += oracle->interval_ns;
		late++;
	}
	oracle->next_ns = is_delay(oracle) ? NONE : due_ns + oracle->interval_ns;
	oracle->busy = 0;
	under_way(oracle);
	*ret = due_ns;
	return late;
}

/* Set back, it shows a time before points that are not delivered yet: the first of these is the next tick. */
static void oracle_clock_set(struct oracle *oracle, int now_ns)
{
	if (is_once(oracle)) {
		/* It may have been ready because its time was past at the start: now that is to come. */
		if (oracle->asked && oracle->next_ns > now_ns)
			oracle->next_ns = oracle->from_ns > now_ns ? oracle->from_ns : now_ns;
		return;
	}
	if (is_delay(oracle))
		return;
	if (oracle->first) {
		int first_ns = first_after(oracle, now_ns);

		if (first_ns < oracle->next_ns)
			oracle->next_ns = first_ns;
		return;
	}
	while (oracle->next_ns - oracle->interval_ns > now_ns)
		oracle->next_ns -= oracle->interval_ns;
}

static void oracle_complete(struct oracle *oracle, int reached_ns, int now_ns)
{
	int least_ns = now_ns + oracle->interval_ns;

	if (is_delay(oracle)) {
		if (oracle->next_ns == NONE || oracle->next_ns < least_ns) {
			oracle->next_ns = least_ns;
			oracle->from_ns = now_ns;
			oracle->asked = false;
		}
		return;
	}
	if (is_once(oracle) || oracle->next_ns > reached_ns) {
		oracle_clock_set(oracle, now_ns);
		return;
	}
	under_way(oracle);
	for (; oracle->next_ns <= reached_ns; oracle->next_ns += oracle->interval_ns)
		oracle->busy++;
}

static void oracle_set_interval(struct oracle *oracle, int interval_ns, int now_ns)
{
	int ns = oracle->next_ns - oracle->interval_ns;

	oracle->interval_ns = interval_ns;
	if (is_delay(oracle)) {
		if (oracle->next_ns != NONE && !oracle->asked)
			oracle->next_ns = oracle->from_ns + interval_ns;
		return;
	}
	if (is_once(oracle)) {
		if (!oracle->asked)
			oracle->next_ns = oracle->from_ns + interval_ns;
		oracle_clock_set(oracle, now_ns);
		return;
	}
	oracle->busy = 0;
	if (oracle->first) {
		oracle->next_ns = first_after(oracle, now_ns);
		return;
	}
	while (ns > now_ns)
		ns -= interval_ns;
	while (ns <= now_ns)
		ns += interval_ns;
	oracle->next_ns = ns;
}

struct state {
	struct schedule schedule;
	struct oracle oracle;
	uint8_t now_ns;		/* the last reading; 0 where the clock may be set: any may follow */
	bool started;
	bool open;
};

_Static_assert(_Alignof(struct state) == 1, "states are compared as bytes: no padding");

enum kind { NEW, TIME_PASSES, START, START_AT, RESTART, STOP, CLAIM, COMPLETE, SET_INTERVAL, CLOCK_SET };

struct call {
	uint8_t kind;
	uint8_t now_ns;
	uint8_t reached_ns;
	uint8_t argument_ns;
};

/* A state, and the call that led to it first. */
struct found {
	struct state state;
	struct call call;
	uint32_t from;		/* the place of the state in which that was made */
};

struct walk {
	const char *name;
	struct found *found;	/* in this order calls are made in them, too */
	uint32_t count;
	uint32_t room;
	uint32_t *table;	/* hashed, twice the room: a state's place in found + 1; 0: free */
	uint32_t at;		/* the place of the state in which calls are made now */
	uint64_t calls;
	bool set;		/* the clock may be set */
};

static void print_call(const struct call *call)
{
	static const char *const names[] = { "new", "time passes", "start", "start_at", "restart",
					     "stop", "claim", "complete", "set_interval", "clock_set" };

	printf("\tat %d: %s", call->now_ns, names[call->kind]);
	if (call->kind == START_AT || call->kind == RESTART || call->kind == SET_INTERVAL)
		printf(" %d", call->argument_ns);
	if (call->kind == CLAIM || call->kind == COMPLETE)
		printf(", the grid has come to %d", call->reached_ns);
	printf("\n");
}

static void print_way(const struct walk *walk, uint32_t i)
{
	const struct found *found = &walk->found[i];

	if (i > 0)
		print_way(walk, found->from);
	if (found->call.kind == NEW)
		printf("\tnew, interval %d\n", (int)found->state.oracle.interval_ns);
	else if (found->call.kind != TIME_PASSES)
		print_call(&found->call);
}

static void expect(const struct walk *walk, const struct call *call, const char *what, int is,
		   int expected)
{
	if (is == expected)
		return;
	printf("FAILED: %s: %s is %d, expected %d, after\n", walk->name, what, is, expected);
	print_way(walk, walk->at);
	print_call(call);
	exit(1);
}

static uint32_t hash(const struct state *state)
{
	uint64_t words[(sizeof(*state) + 7) / 8] = { 0 };
	uint64_t mixed = 0;

	memcpy(words, state, sizeof(*state));
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		mixed = (mixed ^ words[i]) * UINT64_C(0x9E3779B97F4A7C15);
		mixed ^= mixed >> 32;
	}
	return (uint32_t)mixed;
}

/* All there is of padding are bits of the flags' byte, and those are always 0. */
static bool is_same(const struct state *a, const struct state *b)
{
	return memcmp(a, b, sizeof(*a)) == 0; /* NOLINT(bugprone-suspicious-memory-comparison) */
}

/* Where in the table the state is, or would be. */
static uint32_t *look_up(const struct walk *walk, const struct state *state)
{
	uint32_t mask = 2 * walk->room - 1;
	uint32_t i = hash(state) & mask;

	while (walk->table[i] && !is_same(&walk->found[walk->table[i] - 1].state, state))
		i = (i + 1) & mask;
	return &walk->table[i];
}

static void make_room(struct walk *walk)
{
	walk->room = walk->room ? 2 * walk->room : 1 << 12;
	free(walk->table);
	walk->table = calloc(2 * (size_t)walk->room, sizeof(*walk->table));
	walk->found = realloc(walk->found, walk->room * sizeof(*walk->found));
	if (!walk->table || !walk->found) {
		perror("memory for the states");
		exit(99);
	}
	for (uint32_t i = 0; i < walk->count; i++)
		*look_up(walk, &walk->found[i].state) = i + 1;
}

static void reach(struct walk *walk, const struct state *state, const struct call *call)
{
	uint32_t *place;

	if (walk->count == walk->room)
		make_room(walk);
	place = look_up(walk, state);
	if (*place)
		return;
	walk->found[walk->count] = (struct found){ *state, *call, walk->at };
	*place = ++walk->count;
}

static void claim(const struct walk *walk, const struct call *call, struct state *state)
{
	struct asynctimer_tick tick;
	int busy = state->oracle.busy;
	int due_ns;
	int late = oracle_claim(&state->oracle, call->reached_ns, &due_ns);

	state->started = asynctimer__schedule_claim(&state->schedule, call->reached_ns,
						    call->now_ns, &tick);
	expect(walk, call, "started", state->started, !is_once(&state->oracle));
	expect(walk, call, "tick.due_ns", tick.due_ns, due_ns);
	expect(walk, call, "tick.now_ns", tick.now_ns, call->now_ns);
	expect(walk, call, "tick.skipped_busy", tick.skipped_busy, busy);
	expect(walk, call, "tick.skipped_late", tick.skipped_late, late);
	expect(walk, call, "tick.number", tick.number, (narrow)(NUMBER + 1 + busy + late));
	expect(walk, call, "number", state->schedule.number, tick.number);
	state->schedule.number = NUMBER;
}

/* Of a stopped timer, asynctimer_set_interval changes no more than that. */
static void set_interval(const struct call *call, struct state *state)
{
	int interval_ns = call->argument_ns;

	if (state->started) {
		asynctimer__schedule_set_interval(&state->schedule, interval_ns, call->now_ns);
		oracle_set_interval(&state->oracle, interval_ns, call->now_ns);
	} else {
		state->schedule.interval_ns = interval_ns;
		state->oracle.interval_ns = interval_ns;
	}
}

static void complete(const struct call *call, struct state *state)
{
	/* A point that has been counted is past, so the clock goes on from there. */
	if (call->reached_ns > call->now_ns)
		state->now_ns = call->reached_ns;
	state->open = false;
	if (!state->started)
		return;
	asynctimer__schedule_complete(&state->schedule, call->reached_ns, call->now_ns);
	oracle_complete(&state->oracle, call->reached_ns, call->now_ns);
}

static void apply(const struct walk *walk, const struct call *call, struct state *state)
{
	switch (call->kind) {
	case TIME_PASSES:
		state->now_ns++;
		break;
	case START:
		asynctimer__schedule_start(&state->schedule, call->now_ns);
		oracle_start(&state->oracle, call->now_ns);
		state->started = true;
		break;
	case START_AT:
	case RESTART:
		asynctimer__schedule_start_at(&state->schedule, call->argument_ns, call->now_ns);
		oracle_start_at(&state->oracle, call->argument_ns, call->now_ns);
		state->started = true;
		break;
	case STOP:
		oracle_stop(&state->oracle);
		state->started = false;
		break;
	case CLAIM:
		claim(walk, call, state);
		state->open = true;
		break;
	case COMPLETE:
		complete(call, state);
		break;
	case SET_INTERVAL:
		set_interval(call, state);
		break;
	case CLOCK_SET:
		asynctimer__schedule_clock_set(&state->schedule, call->now_ns);
		oracle_clock_set(&state->oracle, call->now_ns);
		break;
	}
}

/* Makes the call in the state that the walk is at. */
static void make(struct walk *walk, struct call call)
{
	struct state state = walk->found[walk->at].state;

	walk->calls++;
	apply(walk, &call, &state);
	if (walk->set)
		state.now_ns = 0;
	expect(walk, &call, "number", state.schedule.number, NUMBER);
	expect(walk, &call, "interval_ns", state.schedule.interval_ns, state.oracle.interval_ns);
	if (state.started) {
		expect(walk, &call, "due_ns", state.schedule.node.due_ns,
		       (narrow)state.oracle.next_ns);
		expect(walk, &call, "next_due_ns",
		       asynctimer__schedule_next_due_ns(&state.schedule, state.open),
		       (narrow)oracle_due_ns(&state.oracle, state.open));
	}
	/* What nothing reads makes no other state. */
	if (!state.schedule.before_first && !state.schedule.was_busy)
		state.schedule.skipped_busy = 0;
	reach(walk, &state, &call);
}

/* As start_at and start_after take them. */
static void make_each_start(struct walk *walk, int now_ns)
{
	int after_ns = now_ns + LONGEST_NS;
	int latest_ns = after_ns > LATEST_ANCHOR_NS ? after_ns : LATEST_ANCHOR_NS;

	make(walk, (struct call){ START, .now_ns = now_ns });
	for (int anchor_ns = 0; anchor_ns <= latest_ns; anchor_ns++)
		make(walk, (struct call){ START_AT, .now_ns = now_ns, .argument_ns = anchor_ns });
}

/* As restart_after takes them. */
static void make_each_restart(struct walk *walk, int now_ns)
{
	for (int anchor_ns = now_ns; anchor_ns <= now_ns + LONGEST_NS; anchor_ns++)
		make(walk, (struct call){ RESTART, .now_ns = now_ns, .argument_ns = anchor_ns });
}

static void make_each_call(struct walk *walk, int now_ns)
{
	const struct state state = walk->found[walk->at].state;
	struct call call;

	for (int ns = 1; ns <= LONGEST_NS; ns++) {
		call = (struct call){ SET_INTERVAL, .now_ns = now_ns, .argument_ns = ns };
		if (ns != state.oracle.interval_ns)
			make(walk, call);
	}
	if (state.started) {
		make(walk, (struct call){ STOP, .now_ns = now_ns });
		make(walk, (struct call){ CLOCK_SET, .now_ns = now_ns });
		make_each_restart(walk, now_ns);
	} else {
		make_each_start(walk, now_ns);
	}
	/* No claim is early. The grid may have come less far than the clock shows; ... */
	call = (struct call){ CLAIM, .now_ns = now_ns, .reached_ns = state.oracle.next_ns };
	if (state.started && !state.open)
		for (; call.reached_ns <= (walk->set ? LAST_NS : now_ns); call.reached_ns++)
			make(walk, call);
	/* ... and at a completion also farther. */
	call = (struct call){ COMPLETE, .now_ns = now_ns };
	if (state.open)
		for (; call.reached_ns <= LAST_NS; call.reached_ns++)
			make(walk, call);
}

static void report(const struct walk *walk)
{
	const char *path = getenv("ASYNCTIMER_TABLE");
	FILE *table;

	printf("ok: %d bits, %s: %" PRIu32 " states, %" PRIu64 " calls\n", WIDTH, walk->name,
	       walk->count, walk->calls);
	if (!path || !*path)
		return;
	table = fopen(path, "a");
	if (!table || fprintf(table, "arithmetic\t%d bits, %s\t%" PRIu64 "\t0\n", WIDTH, walk->name,
			      walk->calls) < 0 || fclose(table) != 0) {
		perror(path);
		exit(1);
	}
}

static void walk_all(const char *name, int policy, bool set)
{
	struct walk walk = { .name = name, .set = set };
	const struct state new = {
		.schedule = { .interval_ns = 1, .number = NUMBER, .policy = policy },
		.oracle = { .interval_ns = 1, .policy = policy },
	};

	reach(&walk, &new, &(struct call){ .kind = NEW });
	for (; walk.at < walk.count; walk.at++) {
		int now_ns = walk.found[walk.at].state.now_ns;

		if (set) {
			for (now_ns = 0; now_ns <= LAST_NS; now_ns++)
				make_each_call(&walk, now_ns);
		} else {
			make_each_call(&walk, now_ns);
			if (now_ns < LAST_NS)
				make(&walk, (struct call){ TIME_PASSES, .now_ns = now_ns });
		}
	}
	report(&walk);
	free(walk.table);
	free(walk.found);
}

/* There is no FIXED_DELAY on a clock that may be set. */
int main(void)
{
	walk_all("fixed delay", ASYNCTIMER_FIXED_DELAY, false);
	walk_all("fixed schedule, the clock goes forward", ASYNCTIMER_FIXED_SCHEDULE, false);
	walk_all("fixed schedule, the clock is set", ASYNCTIMER_FIXED_SCHEDULE, true);
	walk_all("once, the clock goes forward", ASYNCTIMER_ONCE, false);
	walk_all("once, the clock is set", ASYNCTIMER_ONCE, true);
	return 0;
}

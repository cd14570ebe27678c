/* SPDX-License-Identifier: MIT */
/*
 * A model of a virtual reactor and its timers: plain arrays, a search for each
 * question, and the promises taken by their letter. It shares nothing with the
 * library but the public structs. Each function takes the step that the
 * library's of that name shall take, and returns what that shall return.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asynctimer.h"

#define MODEL_TIMERS 64
#define MODEL_NEVER UINT64_MAX

enum { MODEL_MONOTONIC, MODEL_BOOTTIME, MODEL_REALTIME, MODEL_CLOCKS };

struct model_timer {
	bool alive;		/* it may be named, or at least its deferred tick be completed */
	bool freed;
	bool started;
	bool open;
	bool running;		/* its callback or handler is on the stack */
	bool ended;		/* the open tick was completed, perhaps before the callback returned */
	bool dispatched;	/* the callback that runs is one of an advance */
	int result;		/* with that */
	unsigned handler;	/* which; 0: none */
	unsigned name;
	bool release;
	int policy;
	int clock;		/* as clock_gettime knows it */
	unsigned which;		/* of the model's clocks */
	uint64_t interval_ns;
	uint64_t slack_ns;
	uint64_t order;		/* of arming */
	uint64_t number;
	uint64_t begun_ns;	/* the callback of the open tick */
	uint64_t running_ns;	/* since when it runs, or the handler of a deferred tick does */

	/*
	 * FIXED_SCHEDULE: the points are anchor + k * interval. Once a point was
	 * delivered or skipped, the grid extends both ways; before that it begins with
	 * k = first, and no set clock changes that.
	 */
	uint64_t anchor_ns;
	unsigned first;		/* 0 or 1 */
	uint64_t next_ns;	/* the next tick's point */
	uint64_t skipped_busy;	/* not yet reported */
	bool under_way;		/* since the start, a point was delivered or skipped */

	/* FIXED_DELAY and ONCE: due at the time asked for, else at from + interval. */
	uint64_t asked_ns;	/* or MODEL_NEVER */
	uint64_t from_ns;	/* the start; FIXED_DELAY: or the last completion */
	uint64_t not_before_ns;	/* ONCE, asked for a time that was past: that of the start */

	struct asynctimer_stats stats;
};

/* What the library shall call before anything else happens. */
enum model_call { MODEL_NO_CALL, MODEL_HANDLER, MODEL_RELEASE };

struct model {
	struct model_timer timer[MODEL_TIMERS];
	unsigned timers;	/* in use, of these */
	uint64_t now_ns[MODEL_CLOCKS];
	uint64_t order;
	unsigned inside;	/* calls of advance and complete on the stack */
	bool advances;		/* one of them is an advance */
	bool stopped;
	bool shut;
	bool freeing;

	/* The advance under way. */
	uint64_t target_ns;	/* where it takes CLOCK_MONOTONIC */
	uint64_t until_ns[MODEL_CLOCKS]; /* of the present wake-up: what is due by then runs in it */
	bool awake;
	bool ran_now;		/* in the present wake-up */
	int ran;

	/* The callbacks since the thread last waited or found nothing due: they explain lateness. */
	uint64_t advance;	/* counts them */
	bool begun;		/* base_ns was read */
	uint64_t base_ns[MODEL_CLOCKS]; /* the first reading since then */
	bool set_since;		/* a clock was set since then: what they explain is known only roughly */
	size_t callbacks;

	struct asynctimer_reactor_stats stats; /* the counts; the rest by a search */

	enum model_call call;
	struct model_timer *call_timer;
	int call_error;
};

/* With a timer not alive yet, the arguments but for the callback. */
int model_new(struct model *model, struct model_timer *timer, int clock, uint64_t interval_ns,
	      int policy, uint64_t slack_ns);
void model_free(struct model *model, struct model_timer *timer);
int model_set_interval(struct model *model, struct model_timer *timer, uint64_t interval_ns);
int model_set_error_handler(struct model_timer *timer, unsigned handler);
int model_set_name(struct model_timer *timer, unsigned name, bool fits);
int model_start(struct model *model, struct model_timer *timer);
int model_start_after(struct model *model, struct model_timer *timer, uint64_t delay_ns);
int model_start_at(struct model *model, struct model_timer *timer, uint64_t anchor_ns);
int model_restart_after(struct model *model, struct model_timer *timer, uint64_t delay_ns);
int model_stop(struct model_timer *timer);
uint64_t model_next_due_ns(const struct model_timer *timer);
void model_get_stats(const struct model_timer *timer, struct asynctimer_stats *ret);

/* All but the timer, its data and its name. */
void model_get_info(const struct model_timer *timer, struct asynctimer_info *ret);
uint64_t model_now_ns(const struct model *model, const struct model_timer *timer);

/* model_complete_returns once the library's has, with all that it called. */
int model_complete(struct model *model, struct model_timer *timer, uint64_t number, int result);
void model_complete_returns(struct model *model);

/*
 * MODEL_RUNS: what it returns is then what model_advance_returns says, after
 * the callbacks that model_next gives, one by one, until there is none.
 */
#define MODEL_RUNS 1
int model_advance(struct model *model, uint64_t ns);
struct model_timer *model_next(struct model *model, struct asynctimer_tick *ret);

/* As sums of times are kept: one that would be too large stays at UINT64_MAX. */
uint64_t model_sum(uint64_t sum_ns, uint64_t ns);

/*
 * A clock was set, and the tick that model_next gave has no behind_ns that could
 * be told exactly: it is that, and blamed, or NULL, is charged with it.
 */
void model_adopt_behind(struct model_timer *timer, uint64_t behind_ns, struct model_timer *blamed);
int model_advance_returns(struct model *model);

/* The callback, or the handler that was to be called, is about to return. */
void model_callback_returns(struct model *model, struct model_timer *timer, int result);
void model_handler_returns(struct model *model, struct model_timer *timer);

int model_set_clock(struct model *model, int clock, uint64_t now_ns);
int model_shutdown(struct model *model);
int model_restart(struct model *model);
void model_reactor_stats(const struct model *model, struct asynctimer_reactor_stats *ret);

/* Whether a list has the timer. */
bool model_is_listed(const struct model_timer *timer);

/* A new reactor, in place of one that was freed. */
void model_reactor_new(struct model *model);

/*
 * All that decides what is still to come, as words in ret; returns how many. Times
 * are counted from what the timer's clock shows, and orders are ranks. What is only
 * counted, as statistics and tick numbers are, is left out. Models of equal words go
 * on equally, but for those, and where a clock's beginning, end or spots are near.
 */
#define MODEL_STATE_WORDS(timers) (32 * ((timers) + 1) + 16)
size_t model_state(const struct model *model, uint64_t *ret);

/* 0: from here on every timer's release shall be called, in any order. */
int model_reactor_free(struct model *model);

#endif

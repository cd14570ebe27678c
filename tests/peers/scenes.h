/* SPDX-License-Identifier: MIT */
/*
 * The scenes: what users of timers complain about, the same for every library. A scene
 * judges by clocks and counts alone.
 */
#ifndef SCENES_H
#define SCENES_H

#include "peer.h"

struct scene {
	const char *name, *what;
	void (*play)(void);	/* in a process of its own; it ends with tell */
	unsigned limit;		/* seconds, after which the process counts as hanging */
	unsigned plays;		/* at most */
};

extern const struct scene scenes[];	/* ends with a NULL name */

/* Of several plays of a scene that one counts in which this was least. */
extern double badness;

/* Ends the scene: whether its promise was kept, and what happened, in a few words. */
_Noreturn void tell(int kept, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Ends it: this can't be seen here. */
_Noreturn void skip(const char *why);

/* Sets CLOCK_REALTIME forward by an hour, and back after lasting_ns, whatever happens. */
struct step {
	volatile uint64_t forward_ns, back_ns;	/* when it was, on CLOCK_MONOTONIC; 0: not yet */
};
const struct step *step_clock(uint64_t lasting_ns);

#define MANY 20
#define TIMES (1 << 20)

extern struct timer ticker, other, many[MANY];
extern uint64_t times[TIMES];	/* of callbacks that are noted */
extern _Atomic unsigned count;	/* of them, or of others that the scene counts */

void sleep_ns(uint64_t ns);
void busy(uint64_t ns);
void start(struct timer *timer, enum kind kind, uint64_t interval_ns, void (*on_tick)(struct timer *));
void in_thread(void *(*run)(void *), void *data);
void note(struct timer *timer);

/* The judge's word ends the scene in so many ns, whatever the loop is doing. */
void judge_in(uint64_t ns, void (*judge)(void));

void start_in_callback(void);
void start_before_loop(void);
void early(void);
void drift(void);
void phase(void);
void burst(void);
void suspend(void);
void missed(void);
void delay_leaves_gap(void);
void set_clock(void);

void stop_in_batch(void);
void free_own(void);
void free_in_batch(void);
void stop_from_thread(void);
void stop_holding_lock(void);
void stop_holding_lock_nowait(void);
void stop_crosswise(void);
void fork_stop(void);
void fork_go_on(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The library and its model, side by side on the virtual clock. Each operation is
 * done on the model, then on the library, and whatever the library returns or
 * calls must be what the model says. Who drives them says which operations, and
 * what callbacks, handlers and releases do: fuzz_timers.c, test_explore.c.
 */
#ifndef FUZZ_BOTH_H
#define FUZZ_BOTH_H

#include "fuzz_model.h"

#define BOTH_NOBODY UINT32_MAX

struct both {
	struct model model;
	struct asynctimer_reactor *reactor;
	struct asynctimer *timer[MODEL_TIMERS];	/* of the model's timers */
	unsigned depth;		/* of callbacks, handlers and releases */
	bool verbose;		/* print operations as they are done */
};

extern struct both both;

/* Called when library and model differ, after the trace was printed. Does not return. */
extern void (*both_differs)(void);

/*
 * The driver's: what a callback, handler or release of that timer does. It does
 * more operations, or none; a callback's result is returned.
 */
int both_callback(unsigned timer);
void both_handler(unsigned timer);
void both_release(unsigned timer);

/* A new reactor, and none but the first timers of the model, not alive yet. */
void both_begin(unsigned timers);

/* All that is open is completed, all is compared, and the reactor freed. */
void both_end(void);

/*
 * As the library's functions of these names, on a timer that may be named. No
 * handler is 0; there are two. Names are numbers below BOTH_NAMES. larger is by
 * how much the caller's struct is larger than the library's.
 */
#define BOTH_NAMES 6
#define BOTH_LARGEST 64
void both_new(struct model_timer *timer, int clock, uint64_t interval_ns, int policy, bool shared,
	      uint64_t slack_ns);
void both_free(struct model_timer *timer);
void both_free_nowait(struct model_timer *timer);
void both_set_interval(struct model_timer *timer, uint64_t interval_ns);
void both_set_error_handler(struct model_timer *timer, unsigned handler);
void both_set_release(struct model_timer *timer, bool release);
void both_set_name(struct model_timer *timer, unsigned name);
void both_start(struct model_timer *timer);
void both_start_after(struct model_timer *timer, uint64_t delay_ns);
void both_start_at(struct model_timer *timer, uint64_t anchor_ns);
void both_restart_after(struct model_timer *timer, uint64_t delay_ns);
void both_stop(struct model_timer *timer);
void both_stop_nowait(struct model_timer *timer);
void both_complete(struct model_timer *timer, uint64_t number, int result);
void both_get_stats(const struct model_timer *timer);
void both_ask(const struct model_timer *timer);	/* is_started and the like */
void both_get_info(const struct model_timer *timer, unsigned larger);
void both_advance(uint64_t ns);
void both_set_clock(int clock, uint64_t now_ns);
void both_reactor_stop(void);
void both_reactor_restart(void);
void both_shutdown(int64_t timeout_ns);
void both_reactor_get_stats(unsigned larger);
void both_list(unsigned room, unsigned larger);
void both_reactor_new(void);
void both_reactor_free(void);	/* both.reactor is NULL then, if that was not refused */
void both_unsupported(void);	/* run and the like, on a virtual reactor */
void both_refused(const struct model_timer *timer); /* arguments that are; timer may be NULL */

/* Prints the operations since the last both_begin, those that have not returned included. */
void both_print(void);

/* Nothing that the model waits for has been left out: so it must be after each operation. */
void both_expect_no_call(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Why a tick is late: how much of its lateness passed while the thread ran other
 * callbacks, and which timer is to blame. Pure: time is an argument.
 *
 * A thread has one struct lag per reactor. It begins anew when the thread has
 * waited or has found nothing due; base_ns is the first reading of a clock after
 * that. All times in it are of one clock, and lag_shift takes them to another.
 */
#ifndef ASYNCTIMER_LAG_H
#define ASYNCTIMER_LAG_H

#include <stdbool.h>
#include <stdint.h>

struct asynctimer;

/* A callback that has ended. */
struct lag_callback {
	struct asynctimer *timer;	/* compared, and charged; NULL: freed, or there was no callback */
	uint64_t end_ns;		/* base_ns if there was no callback */
};

struct lag {
	bool begun;			/* else nothing below means anything */
	bool waited;			/* the thread found nothing due that it knew of, and went to wait */
	bool last_is_old;		/* last ran before this call of run, dispatch or advance */
	bool other_is_old;		/* last_other did */
	unsigned clock;			/* which clock the times are of */
	uint64_t base_ns;
	struct lag_callback last;
	struct lag_callback last_other;	/* the last one of another timer than last's */
	struct lag_callback longest;
	uint64_t longest_ns;		/* its duration */
	struct lag_callback longest_other; /* the longest one of another timer than longest's */
	uint64_t longest_other_ns;
};

/*
 * A tick of timer that is due at due_ns is claimed at now_ns: returns how much of
 * this passed in callbacks of other timers, and in *ret the timer to be charged
 * with it, NULL if that is gone.
 */
uint64_t asynctimer__lag_claim(struct lag *lag, const struct asynctimer *timer, uint64_t due_ns,
			       uint64_t now_ns, struct asynctimer **ret);

/* A callback took longer than the second longest: it is one of the two now. */
void asynctimer__lag_rank(struct lag *lag, struct lag_callback callback, uint64_t duration_ns);

/* The callback of the tick that was claimed last has ended. timer: NULL if it is freed. Each tick does this. */
static inline void asynctimer__lag_ran(struct lag *lag, struct asynctimer *timer,
				       uint64_t duration_ns, uint64_t end_ns)
{
	struct lag_callback callback = { timer, end_ns };

	if (!timer || timer != lag->last.timer) {
		lag->last_other = lag->last;
		lag->other_is_old = lag->last_is_old;
	}
	lag->last = callback;
	lag->last_is_old = false;
	if (duration_ns > lag->longest_other_ns)
		asynctimer__lag_rank(lag, callback, duration_ns);
}

/* The thread calls run, dispatch or advance again: what ran two calls ago explains nothing any more. */
void asynctimer__lag_next_call(struct lag *lag);

/* From here on the times are of another clock, which shows offset_ns more. */
void asynctimer__lag_shift(struct lag *lag, unsigned clock, uint64_t offset_ns);

/* The timer is freed. */
void asynctimer__lag_forget(struct lag *lag, const struct asynctimer *timer);

#endif

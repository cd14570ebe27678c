/* SPDX-License-Identifier: MIT */
/* The two timerfds that wake up all shared timers of a clock. */
#ifndef ASYNCTIMER_PAIR_H
#define ASYNCTIMER_PAIR_H

#include <stdbool.h>
#include <stdint.h>

struct shared;

struct pair {
	uint64_t armed_ns[2];	/* what each timerfd is armed for; NEVER: nothing, or its edge was taken */
	uint64_t looked_ns;	/* when the pair was last armed, or found to be */
	uint64_t fired_for_ns;	/* the earliest wake-up since a thread waited; NEVER: none, or it was late already */
	bool early[2];		/* that is sooner than the next wake-up, for another thread to look */
	bool fired;		/* one did since the second was armed ahead */
	bool is_open;
	int fd[2];
};

/* Opens the clock's pair, unless it is open or the reactor is virtual: 0 or a negative errno. And closes it. */
int asynctimer__pair_open(struct shared *shared);
void asynctimer__pair_close(struct shared *shared);

/* Arms it for the next wake-up. True if something is due already, and no edge is coming that tells of it. */
bool asynctimer__pair_arm(struct shared *shared);

/* Arms it for the soonest that it can be, for another thread to look; and whether it still is. */
void asynctimer__pair_arm_early(struct shared *shared);
bool asynctimer__pair_is_early(const struct shared *shared);

/* epoll reported one of the two. */
void asynctimer__pair_event(struct shared *shared, unsigned which);

/*
 * A thread has waited and been woken, or has found the pair readable. How much later
 * that was than the pair had been armed for; false if this is not known.
 */
bool asynctimer__pair_was_late(struct shared *shared, uint64_t *ret);

/*
 * In how long the clock wants the next wake-up, at *until_ns; 0 if something is due; NEVER
 * if there is nothing. Sets *spins if a tick without slack is due soon enough to spin.
 */
uint64_t asynctimer__pair_next_in_ns(struct shared *shared, uint64_t *until_ns, bool *spins);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef ASYNCTIMER_LIFE_H
#define ASYNCTIMER_LIFE_H

#include "internal.h"

/*
 * Stops the timer: 1, or 0 if it was stopped. A tick that is open stays so; the
 * completion of that arms what comes next: then nothing is. With the lock held.
 */
int asynctimer__life_stop(struct asynctimer *timer);

/* The timer needs no more wake-ups and takes no more starts. With the lock held, but in a forked child. */
void asynctimer__life_retire(struct asynctimer *timer);

/* Retires the timer and calls its release function, whatever its state, where no thread can use it. Its memory stays. */
void asynctimer__life_end(struct asynctimer *timer);

/*
 * Gives the lock up, and with it the timer if nothing else holds that: then its
 * memory goes and its release function is called. False in a child that this
 * function forked.
 */
bool asynctimer__life_unlock(struct asynctimer *timer);

#endif

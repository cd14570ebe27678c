/* SPDX-License-Identifier: MIT */
/*
 * Names of timers: a tree, tsearch(3), beside them. Few timers have a name and
 * only tracers read it, so it costs the others nothing.
 */
#ifndef ASYNCTIMER_NAMES_H
#define ASYNCTIMER_NAMES_H

#define ASYNCTIMER__NAME_SIZE 32

/* Copies text, which fits and is not empty. 1; 0 if that is the timer's name; or -ENOMEM. */
int asynctimer__names_set(void **names, const void *timer, const char *text);

/* 1, or 0 if it had none. */
int asynctimer__names_remove(void **names, const void *timer);

/* "" if it has none. */
const char *asynctimer__names_find(void *const *names, const void *timer);

void asynctimer__names_free(void **names);

#endif

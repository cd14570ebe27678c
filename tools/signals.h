/* SPDX-License-Identifier: MIT */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/* Those that end this program: SIGTERM and the like. */
bool is_end_signal(int signal);

/*
 * Has them and SIGCHLD come by a non-blocking signalfd, which is returned; a
 * negative errno. Those that whoever started this ignores stay so. No handler is
 * set, so a command needs *ret_mask alone to feel signals as if it were run by
 * itself.
 */
int signals_open(sigset_t *ret_mask);

#endif

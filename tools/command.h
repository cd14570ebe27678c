/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_H
#define COMMAND_H

#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/types.h>

/* A command that is run again and again, once at a time. */
struct command {
	char **arguments;
	posix_spawnattr_t attributes;
	bool has_group;
	bool is_running;
	pid_t pid;		/* 0: its end is known */
	pid_t group;		/* 0: it has none of its own */
	int status;		/* as waitpid has it, once its end is known */
	int last_signal;	/* SIGTERM, SIGKILL: it was told to end; 0 */
};

/*
 * It will run with that signal mask. With a process group of its own, signals
 * reach all that it has started and that did not leave the group.
 */
void command_init(struct command *command, char **arguments, bool has_group, const sigset_t *mask);
void command_done(struct command *command);

/* 0, or a negative errno: why it can't be started. */
int command_start(struct command *command);

/*
 * Takes note of all children that have ended, also of those that this process has
 * inherited. True, once per run, when the run is over: the command has ended and, if it
 * was told to, so has all of its group. *ret_status is as waitpid has it.
 */
bool command_ended(struct command *command, int *ret_status);

/* To the command while it runs, and to its group if it has one. Who is stopped is continued. */
void command_signal(struct command *command, int signal);

#endif

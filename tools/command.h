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
	pid_t pid;		/* 0: it is not running */
};

/*
 * It will run with that signal mask, and with the default actions of those
 * signals; with a process group of its own, signals reach all it has started.
 */
void command_init(struct command *command, char **arguments, bool has_group,
		  const sigset_t *mask, const sigset_t *defaults);
void command_done(struct command *command);

/* 0, or a negative errno: why it can't be started. */
int command_start(struct command *command);

/* True, once, when it has ended since its start: its exit status as a shell has it. */
bool command_ended(struct command *command, int *ret_status);

/* To the command while it runs, and to its group if it has one. */
void command_signal(const struct command *command, int signal);

#endif

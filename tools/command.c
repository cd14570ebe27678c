/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"

void command_init(struct command *command, char **arguments, bool has_group, const sigset_t *mask)
{
	short flags = POSIX_SPAWN_SETSIGMASK;

	*command = (struct command){ .arguments = arguments, .has_group = has_group };
	if (has_group)
		flags |= POSIX_SPAWN_SETPGROUP;
	posix_spawnattr_init(&command->attributes);
	posix_spawnattr_setflags(&command->attributes, flags);
	posix_spawnattr_setsigmask(&command->attributes, mask);
}

void command_done(struct command *command)
{
	posix_spawnattr_destroy(&command->attributes);
}

static bool is_executable(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

/* What posix_spawnp has found; false if it is gone. */
static bool find(const char *name, char path[PATH_MAX])
{
	const char *folders = getenv("PATH");

	if (strchr(name, '/'))
		return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
	for (const char *folder = folders ? folders : "/bin:/usr/bin";; folder++) {
		size_t length = strcspn(folder, ":");

		if (snprintf(path, PATH_MAX, "%.*s/%s", length ? (int)length : 1,
			     length ? folder : ".", name) < PATH_MAX && is_executable(path))
			return true;
		folder += length;
		if (!*folder)
			return false;
	}
}

/* What the kernel takes for no program is a script for the shell, as execvp(3) has it. */
static int spawn_script(struct command *command)
{
	char path[PATH_MAX];
	size_t count = 0;
	char **arguments;
	int error;

	if (!find(command->arguments[0], path))
		return ENOENT;
	while (command->arguments[count])
		count++;
	arguments = calloc(count + 2, sizeof(arguments[0]));
	if (!arguments)
		return ENOMEM;
	arguments[0] = (char[]){ "sh" };
	arguments[1] = path;
	memcpy(arguments + 2, command->arguments + 1, count * sizeof(arguments[0]));
	error = posix_spawn(&command->pid, "/bin/sh", NULL, &command->attributes, arguments,
			    environ);
	free(arguments);
	return error;
}

int command_start(struct command *command)
{
	int error = posix_spawnp(&command->pid, command->arguments[0], NULL, &command->attributes,
				 command->arguments, environ);

	if (error == ENOEXEC)
		error = spawn_script(command);
	if (error)
		command->pid = 0;	/* which is unspecified then */
	command->is_running = !error;
	command->group = command->has_group ? command->pid : 0;
	command->last_signal = 0;
	return -error;
}

/* After SIGKILL nobody is waited for: a zombie whose parent does not wait would take for ever. */
static bool group_is_ending(const struct command *command)
{
	return command->group && command->last_signal == SIGTERM && kill(-command->group, 0) == 0;
}

bool command_ended(struct command *command, int *ret_status)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == command->pid) {
			command->pid = 0;
			command->status = status;
		}
	}
	if (!command->is_running || command->pid || group_is_ending(command))
		return false;
	command->is_running = false;
	*ret_status = command->status;
	return true;
}

/* The command may have left its group, and others may have stayed there. */
static void send(const struct command *command, int signal)
{
	if (command->group)
		kill(-command->group, signal);
	if (command->pid && (!command->group || getpgid(command->pid) != command->group))
		kill(command->pid, signal);
}

void command_signal(struct command *command, int signal)
{
	if (!command->is_running)
		return;
	if (signal == SIGTERM || signal == SIGKILL)
		command->last_signal = signal;
	send(command, signal);
	send(command, SIGCONT);
}

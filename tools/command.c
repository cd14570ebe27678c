/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "options.h"

void command_init(struct command *command, char **arguments, bool has_group,
		  const sigset_t *mask, const sigset_t *defaults)
{
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;

	*command = (struct command){ .arguments = arguments, .has_group = has_group };
	if (has_group)
		flags |= POSIX_SPAWN_SETPGROUP;
	posix_spawnattr_init(&command->attributes);
	posix_spawnattr_setflags(&command->attributes, flags);
	posix_spawnattr_setsigmask(&command->attributes, mask);
	posix_spawnattr_setsigdefault(&command->attributes, defaults);
}

void command_done(struct command *command)
{
	posix_spawnattr_destroy(&command->attributes);
}

int command_start(struct command *command)
{
	int error = posix_spawnp(&command->pid, command->arguments[0], NULL, &command->attributes,
				 command->arguments, environ);

	if (error)
		command->pid = 0;	/* which is unspecified then */
	return -error;
}

bool command_ended(struct command *command, int *ret_status)
{
	int status;

	if (!command->pid || waitpid(command->pid, &status, WNOHANG) != command->pid)
		return false;
	command->pid = 0;
	*ret_status = WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
	return true;
}

/* Its number, and its group's, can't be another's before command_ended says so. */
void command_signal(const struct command *command, int signal)
{
	if (command->pid)
		kill(command->has_group ? -command->pid : command->pid, signal);
}

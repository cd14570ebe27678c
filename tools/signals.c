/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stddef.h>
#include <sys/signalfd.h>

#include "signals.h"

/* SIGPIPE: nobody will ever read the log. Blocked, it leaves time to end in order. */
static const int end_signals[] = { SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM };

bool is_end_signal(int signal)
{
	for (size_t i = 0; i < sizeof(end_signals) / sizeof(end_signals[0]); i++) {
		if (signal == end_signals[i])
			return true;
	}
	return false;
}

int signals_open(sigset_t *ret_mask)
{
	struct sigaction inherited;
	sigset_t signals;
	int fd;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	for (size_t i = 0; i < sizeof(end_signals) / sizeof(end_signals[0]); i++) {
		sigaction(end_signals[i], NULL, &inherited);
		if (inherited.sa_handler != SIG_IGN)
			sigaddset(&signals, end_signals[i]);
	}
	sigprocmask(SIG_BLOCK, &signals, ret_mask);
	signal(SIGCHLD, SIG_DFL);	/* ignored, it would lose exit statuses */
	fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

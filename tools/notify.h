/* SPDX-License-Identifier: MIT */
/* What a service of Type=notify says to systemd, without libsystemd: sd_notify(3). */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
	int fd;			/* -1: nobody listens */
	struct sockaddr_un address;
	socklen_t length;
	uint64_t watchdog_ns;	/* there is to be a WATCHDOG=1 in each; 0: none is wanted */
};

/*
 * Takes what systemd says of it out of the environment, so that no command speaks
 * in this one's place. 0; -errno if somebody listens but can't be reached.
 */
int notify_open(struct notify *notify);
void notify_close(struct notify *notify);

/* "READY=1", ... It never blocks, and what does not arrive is lost. */
void notify_send(const struct notify *notify, const char *state);

#endif

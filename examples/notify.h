/* SPDX-License-Identifier: MIT */
/* What a Type=notify service says to systemd, without libsystemd. Any thread may call these. */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdint.h>

/*
 * Sends "READY=1" or the like, several separated by newlines (sd_notify(3)).
 * 1; 0 where nobody listens, as in a terminal; a negative errno.
 */
int notify(const char *state);

/* Half of what the watchdog allows between two "WATCHDOG=1"; 0: there is none for this process. */
uint64_t notify_watchdog_ns(void);

#endif

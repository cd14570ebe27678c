/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "notify.h"

/* A path, or an abstract name: '@' stands for the zero byte that begins it, and none ends it. */
static int set_address(struct notify *notify, const char *name)
{
	size_t length = strlen(name);

	if (name[0] != '/' && name[0] != '@')
		return -EAFNOSUPPORT;
	if (length >= sizeof(notify->address.sun_path))
		return -ENAMETOOLONG;
	notify->address.sun_family = AF_UNIX;
	memcpy(notify->address.sun_path, name, length);
	if (name[0] == '@')
		notify->address.sun_path[0] = '\0';
	notify->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	return 0;
}

/* A WATCHDOG_PID that is another's was inherited from a parent that is watched itself. */
static uint64_t wanted_watchdog_ns(void)
{
	const char *period = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");

	if (!period || (pid && strtol(pid, NULL, 10) != getpid()))
		return 0;
	return strtoull(period, NULL, 10) * 1000;
}

int notify_open(struct notify *notify)
{
	const char *name = getenv("NOTIFY_SOCKET");
	int r = 0;

	*notify = (struct notify){ .fd = -1 };
	if (name)
		r = set_address(notify, name);
	if (name && r == 0) {
		notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		r = notify->fd < 0 ? -errno : 0;
	}
	if (notify->fd >= 0)
		notify->watchdog_ns = wanted_watchdog_ns();
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return r;
}

void notify_close(struct notify *notify)
{
	if (notify->fd >= 0)
		close(notify->fd);
}

void notify_send(const struct notify *notify, const char *state)
{
	if (notify->fd >= 0)
		sendto(notify->fd, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL,
		       (const struct sockaddr *)&notify->address, notify->length);
}

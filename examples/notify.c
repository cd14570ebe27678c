/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "notify.h"

/* A path, or an abstract name: '@' stands for the zero byte that begins it, and none ends it. */
static int to_address(const char *name, struct sockaddr_un *address, socklen_t *ret_length)
{
	size_t length = strlen(name);

	if (name[0] != '/' && name[0] != '@')
		return -EAFNOSUPPORT;
	if (length >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address->sun_path, name, length);
	if (name[0] == '@')
		address->sun_path[0] = '\0';
	*ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	return 0;
}

int notify(const char *state)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address;
	socklen_t length = 0;
	ssize_t sent;
	int fd, r;

	if (!name)
		return 0;
	r = to_address(name, &address, &length);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, length);
	r = sent < 0 ? -errno : 1;
	close(fd);
	return r;
}

uint64_t notify_watchdog_ns(void)
{
	const char *period = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");

	/* Inherited from a parent that is watched itself. */
	if (!period || (pid && strtol(pid, NULL, 10) != getpid()))
		return 0;
	return strtoull(period, NULL, 10) * 1000 / 2;
}

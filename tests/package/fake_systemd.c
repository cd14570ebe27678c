/* SPDX-License-Identifier: MIT */
/*
 * What a service says to systemd: listens on the socket that NOTIFY_SOCKET would
 * name, a path or @ and an abstract name, and writes each datagram as a line
 * "TIME STATE...", the time in seconds of CLOCK_MONOTONIC; "TIME listening"
 * first. Ends with its input, when it has heard all that was said until then.
 */
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (length >= sizeof(address.sun_path) || fd < 0)
		return -1;
	memcpy(address.sun_path, name, length);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	length += offsetof(struct sockaddr_un, sun_path);
	return bind(fd, (struct sockaddr *)&address, (socklen_t)length) < 0 ? -1 : fd;
}

static void print_line(const char *text)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	printf("%lld.%09ld %s\n", (long long)now.tv_sec, now.tv_nsec, text);
	fflush(stdout);
}

static void print_datagram(int fd)
{
	char text[4096];
	ssize_t length = recv(fd, text, sizeof(text) - 1, 0);

	if (length < 0)
		return;
	text[length] = '\0';
	for (char *at = text; (at = strchr(at, '\n'));)
		*at = ' ';
	print_line(text);
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? listen_at(argv[1]) : -1;
	struct pollfd ready[] = { { .fd = fd, .events = POLLIN }, { .events = POLLIN } };

	if (fd < 0)
		return 1;
	print_line("listening");
	while (poll(ready, 2, -1) > 0 && ready[0].revents)
		print_datagram(fd);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Where standard input, output or error is closed, a new descriptor takes its
 * number. It must not keep it: a program that opens /dev/null there with dup2(2),
 * as daemons do, would close it unawares, and one that prints would write to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "descriptor.h"

int asynctimer__descriptor(int fd)
{
	int moved;
	int r;

	if (fd < 0)
		return -errno;
	if (fd > STDERR_FILENO)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	/* -EINVAL is fcntl's word for a limit of 3 descriptors or less. */
	r = moved >= 0 ? moved : errno == EINVAL ? -EMFILE : -errno;
	close(fd);
	return r;
}

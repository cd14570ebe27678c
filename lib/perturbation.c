/* SPDX-License-Identifier: MIT */
/*
 * Reads the perturbation from the boot id or, where /proc is not mounted, from the
 * machine id. Once found it is kept for the process. It is read when the first slack
 * group is made, so a process that uses no slack never opens these files.
 */
#include <fcntl.h>
#include <unistd.h>

#include "perturbation.h"
#include "spots.h"

static bool read_id(const char *path, uint64_t *ret_ns)
{
	char id[40];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, id, sizeof(id) - 1);
	close(fd);
	if (n < 0)
		return false;
	id[n] = '\0';
	return asynctimer__spots_perturbation(id, ret_ns);
}

uint64_t asynctimer__perturbation_ns(void)
{
	static uint64_t kept_ns = UINT64_MAX;	/* none yet; atomic, for each reactor has its lock */
	uint64_t ns = __atomic_load_n(&kept_ns, __ATOMIC_RELAXED);

	if (ns != UINT64_MAX)
		return ns;
	if (!read_id("/proc/sys/kernel/random/boot_id", &ns) && !read_id("/etc/machine-id", &ns))
		return 0;
	__atomic_store_n(&kept_ns, ns, __ATOMIC_RELAXED);
	return ns;
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <asynctimer.h>

#include "phase.h"

/* 32 hexadecimal digits: machine-id(5). While the system is set up it may be empty. */
static int read_machine_id(char id[33])
{
	FILE *file = fopen(MACHINE_ID_PATH, "re");
	size_t length;

	if (!file)
		return -errno;
	length = fread(id, 1, 32, file);
	fclose(file);
	id[length] = '\0';
	return strspn(id, "0123456789abcdef") == 32 ? 0 : -EINVAL;
}

int phase_of_machine(const char *key, uint64_t interval_ns, uint64_t *ret_ns)
{
	char id[33];
	char *name;
	int r = read_machine_id(id);

	if (r < 0)
		return r;
	if (asprintf(&name, "%s%s", id, key) < 0)
		return -ENOMEM;
	*ret_ns = asynctimer_splay_ns(name, interval_ns);
	free(name);
	return 0;
}

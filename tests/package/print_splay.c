/* SPDX-License-Identifier: MIT */
/* print_splay KEY INTERVAL_NS: the phase that the library gives it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <asynctimer.h>

int main(int argc, char **argv)
{
	if (argc != 3)
		return 1;
	printf("%" PRIu64 "\n", asynctimer_splay_ns(argv[1], strtoull(argv[2], NULL, 10)));
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* Steps of CLOCK_REALTIME and the way back, for the programs that set it. */
#ifndef STEP_H
#define STEP_H

#include <errno.h>
#include <sys/timex.h>
#include <unistd.h>

#include "util.h"

static int64_t *stepped_us;	/* shared with the forked tests */

static int try_step(int64_t us)
{
	int64_t seconds = us / 1000000 - (us % 1000000 < 0);
	struct timex timex = { .modes = ADJ_SETOFFSET };

	timex.time.tv_sec = seconds;
	timex.time.tv_usec = us - seconds * 1000000;
	if (clock_adjtime(CLOCK_REALTIME, &timex) < 0)
		return -errno;
	*stepped_us += us;
	return 0;
}

static void step(int64_t us)
{
	must(try_step(us));
}

static void restore(void)
{
	if (*stepped_us)
		step(-*stepped_us);
}

static void restore_and_exit(int signal)
{
	try_step(-*stepped_us);
	_exit(128 + signal);
}

#endif

/* SPDX-License-Identifier: MIT */
/* The version that the header says, and the one that the library does. */
#include <stdio.h>

#include "asynctimer.h"

int main(void)
{
	printf("%d.%d.%d\n%s\n", ASYNCTIMER_VERSION_MAJOR, ASYNCTIMER_VERSION_MINOR,
	       ASYNCTIMER_VERSION_PATCH, asynctimer_version());
	return 0;
}

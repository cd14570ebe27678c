/* SPDX-License-Identifier: MIT */
#include "probes.h"

#ifdef ASYNCTIMER_PROBES
/* The kernel writes it, so no compiler may think it is 0. */
#define SEMAPHORE __attribute__((used)) unsigned short

SEMAPHORE asynctimer_start_semaphore;
SEMAPHORE asynctimer_stop_semaphore;
SEMAPHORE asynctimer_skip_semaphore;
SEMAPHORE asynctimer_tick_start_semaphore;
SEMAPHORE asynctimer_tick_end_semaphore;
#endif

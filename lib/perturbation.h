/* SPDX-License-Identifier: MIT */
#ifndef ASYNCTIMER_PERTURBATION_H
#define ASYNCTIMER_PERTURBATION_H

#include <stdint.h>

/* Of this machine, since it booted: spots.h. 0 if neither id can be read. */
uint64_t asynctimer__perturbation_ns(void);

#endif

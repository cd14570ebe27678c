/* SPDX-License-Identifier: MIT */
#ifndef PHASE_H
#define PHASE_H

#include <stdint.h>

#define MACHINE_ID_PATH "/etc/machine-id"

/*
 * A phase below interval_ns that depends on this machine's id and key alone: the
 * same at each start, another on each machine. 0, or a negative errno: why
 * there is no id to be had.
 */
int phase_of_machine(const char *key, uint64_t interval_ns, uint64_t *ret_ns);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Spots: times at which the whole machine likes to wake up. Pure arithmetic.
 *
 * A timer with slack may run at any time from due to due + slack. To wake up at
 * the end of that window is best for one process, but each process of a machine
 * would then wake up at a time of its own. So a wake-up is moved to a time that
 * all of them can find by themselves: perturbation + k * period. The perturbation
 * is one per machine and boot, so that hosts whose clocks agree do not all act
 * at once.
 */
#ifndef ASYNCTIMER_SPOTS_H
#define ASYNCTIMER_SPOTS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * When to wake up for a timer of this slack: from due_ns to due_ns + slack_ns, which
 * is below 2^64. The perturbation is below a minute. With equal slack, what is due
 * later never wakes up earlier.
 */
uint64_t asynctimer__spots_wake_ns(uint64_t due_ns, uint64_t slack_ns, uint64_t perturbation_ns);

/*
 * The perturbation that an id gives, a boot or machine id as the text of its file.
 * False if that is none: not 32 hexadecimal digits, or all of them 0.
 */
bool asynctimer__spots_perturbation(const char *id, uint64_t *ret_ns);

#endif

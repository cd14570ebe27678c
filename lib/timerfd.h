/* SPDX-License-Identifier: MIT */
/*
 * timerfds, non-blocking and close-on-exec: the kernel's corner cases end here.
 *
 * One on CLOCK_REALTIME is on the kernel's list of those to be told when that
 * clock is set from its making to its closing, disarmed or not. So no step of
 * the clock goes unnoticed, whenever it happens: it is reported like an
 * expiration, and once, by the next take or arm_at.
 */
#ifndef ASYNCTIMER_TIMERFD_H
#define ASYNCTIMER_TIMERFD_H

#include <stdint.h>

/* A disarmed timerfd on the clock, or a negative errno. */
int asynctimer__timerfd_new(int clock);

/*
 * Arms it for due_ns of its clock and, unless interval_ns is 0, every interval
 * from there, forgetting expirations not read. What is past expires at once.
 * 0; -ECANCELED if CLOCK_REALTIME was set since the last look: it is armed all
 * the same, and that notice is gone (timerfd_create(2), NOTES); a negative errno.
 */
int asynctimer__timerfd_arm_at(int fd, int clock, uint64_t due_ns, uint64_t interval_ns);

/* Arms it, not on CLOCK_REALTIME, once for delay_ns > 0 from now. 0 or a negative errno. */
int asynctimer__timerfd_arm_in(int fd, uint64_t delay_ns);

/* Nothing stays readable. 0 or a negative errno. */
int asynctimer__timerfd_disarm(int fd, int clock);

/*
 * Takes away what is readable. *ret is how many times it expired since the last
 * take or arming: 0 if it did not, or if CLOCK_REALTIME was set back since. 0;
 * -ECANCELED if that clock was set, which leaves it disarmed; another negative
 * errno, and it may be readable still.
 */
int asynctimer__timerfd_take(int fd, uint64_t *ret);

#endif

/* SPDX-License-Identifier: MIT */
/* timerfds, non-blocking and close-on-exec: the kernel's corner cases end here. */
#ifndef ASYNCTIMER_TIMERFD_H
#define ASYNCTIMER_TIMERFD_H

#include <stdint.h>

/* A disarmed timerfd on the clock, or a negative errno. */
int asynctimer__timerfd_new(int clock);

/*
 * Arms it for due_ns of its clock and, unless interval_ns is 0, every interval
 * from there, forgetting expirations not read. What is past expires at once.
 * 0; -ECANCELED if CLOCK_REALTIME was set since the last look: it is armed all
 * the same and that notice is gone (timerfd_create(2), NOTES); a negative errno.
 */
int asynctimer__timerfd_arm_at(int fd, int clock, uint64_t due_ns, uint64_t interval_ns);

/* Arms it once for delay_ns > 0 from now. 0 or a negative errno. */
int asynctimer__timerfd_arm_in(int fd, uint64_t delay_ns);

/* Nothing stays readable. 0 or a negative errno. */
int asynctimer__timerfd_disarm(int fd);

/*
 * Takes away what is readable: 1 if expirations were; 0 if nothing was;
 * -ECANCELED if CLOCK_REALTIME was set, which leaves it disarmed; another
 * negative errno, and it may be readable still.
 */
int asynctimer__timerfd_take(int fd);

#endif

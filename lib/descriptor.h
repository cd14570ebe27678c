/* SPDX-License-Identifier: MIT */
/* Where descriptors of the library may be: each call that makes one is passed through here. */
#ifndef ASYNCTIMER_DESCRIPTOR_H
#define ASYNCTIMER_DESCRIPTOR_H

/*
 * Moves a new descriptor away from 0 to 2. fd is what the call that made it
 * returned: if that is negative, errno is the reason. The result is close-on-exec
 * as fd was, or a negative errno, and then nothing is left open. -EMFILE where
 * no number above 2 is free.
 */
int asynctimer__descriptor(int fd);

#endif

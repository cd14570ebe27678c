/* SPDX-License-Identifier: MIT */
/* The thread that is awake when a tick comes due. */
#ifndef ASYNCTIMER_SPINNER_H
#define ASYNCTIMER_SPINNER_H

#include "internal.h"

/*
 * If a tick without slack is due soon, and no other thread does this already: polls the
 * clock until that is due, or what comes before it, or the thread shall look again. The caller, which has come back from waiting, holds
 * the lock, and still holds it afterwards. False, without the lock, in a forked child.
 */
bool asynctimer__spin(struct call *call);

#endif

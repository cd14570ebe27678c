/* SPDX-License-Identifier: MIT */
#include "probes.h"

#ifdef ASYNCTIMER_PROBES
volatile unsigned short asynctimer_start_semaphore;
volatile unsigned short asynctimer_stop_semaphore;
volatile unsigned short asynctimer_skip_semaphore;
volatile unsigned short asynctimer_tick_start_semaphore;
volatile unsigned short asynctimer_tick_end_semaphore;
#endif

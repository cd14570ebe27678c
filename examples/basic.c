/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <time.h>

#include <asynctimer.h>

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)data;
	printf("tick %d\n", (int)tick->number);
	if (tick->number == 3)
		asynctimer_reactor_stop(asynctimer_get_reactor(timer));
	return ASYNCTIMER_DONE;
}

int main(void)
{
	struct asynctimer_reactor *reactor;
	struct asynctimer *timer;

	if (asynctimer_reactor_new(&reactor) < 0)
		return 1;
	if (asynctimer_new(reactor, CLOCK_MONOTONIC, 20 * ASYNCTIMER_MILLISECOND,
			   ASYNCTIMER_FIXED_SCHEDULE, on_tick, NULL, &timer) < 0 ||
	    asynctimer_start(timer) < 0 || asynctimer_reactor_run(reactor) < 0)
		return 1;
	return asynctimer_reactor_free(reactor) < 0;
}

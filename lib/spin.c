/* SPDX-License-Identifier: MIT */
#include "spin.h"

/* In balance, 1 of LATER_ONE_OF wake-ups is later than the estimate. */
#ifndef LATER_ONE_OF
#define LATER_ONE_OF 20
#endif
#define STEPS_OF_ESTIMATE 20		/* a step is this part of the estimate */
#define FIRST_NS UINT64_C(30000)	/* what many machines come to */
#define LEAST_NS UINT64_C(1000)		/* below that no step would be left of it */

static uint64_t within(uint64_t ns, uint64_t limit_ns)
{
	if (ns > limit_ns)
		ns = limit_ns;
	return ns < LEAST_NS ? LEAST_NS : ns;
}

void asynctimer__spin_set_limit(struct spin *spin, uint64_t limit_ns)
{
	spin->limit_ns = limit_ns;
	if (!spin->estimate_ns)
		spin->estimate_ns = FIRST_NS;
}

void asynctimer__spin_note(struct spin *spin, uint64_t late_ns)
{
	uint64_t part_ns;

	/* It would have been late all the same. */
	if (late_ns > spin->limit_ns)
		return;
	part_ns = spin->estimate_ns / (STEPS_OF_ESTIMATE * LATER_ONE_OF);

	if (late_ns > spin->estimate_ns)
		spin->estimate_ns += part_ns * (LATER_ONE_OF - 1);
	else
		spin->estimate_ns -= part_ns;
	spin->estimate_ns = within(spin->estimate_ns, spin->limit_ns);
}

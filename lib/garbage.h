/* SPDX-License-Identifier: MIT */
/*
 * Memory that is no longer used, until no lock is held: free(3) may give memory
 * back to the kernel, and that takes time.
 */
#ifndef ASYNCTIMER_GARBAGE_H
#define ASYNCTIMER_GARBAGE_H

#include <stdlib.h>

struct garbage {
	void *first;		/* each begins with a pointer to the next */
};

/* memory is of malloc(3), with room for a pointer; or NULL. */
static inline void asynctimer__garbage_add(struct garbage *garbage, void *memory)
{
	if (!memory)
		return;
	*(void **)memory = garbage->first;
	garbage->first = memory;
}

static inline void asynctimer__garbage_free(struct garbage garbage)
{
	while (garbage.first) {
		void *memory = garbage.first;

		garbage.first = *(void **)memory;
		free(memory);
	}
}

#endif

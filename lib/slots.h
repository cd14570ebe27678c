/* SPDX-License-Identifier: MIT */
/*
 * A table that gives each entry an id of slot and generation. epoll hands out
 * ids, never pointers: an id whose entry is gone finds nothing, also when its
 * slot has been taken again.
 */
#ifndef ASYNCTIMER_SLOTS_H
#define ASYNCTIMER_SLOTS_H

#include <stdint.h>

struct slot {
	void *entry;		/* NULL: free */
	uint32_t generation;
	uint32_t next_free;
};

struct slots {
	struct slot *slot;
	uint32_t capacity;
	uint32_t first_free;
};

/* Gives entry an id below 2^63. 0 or -ENOMEM. */
int asynctimer__slots_add(struct slots *slots, void *entry, uint64_t *ret);

void asynctimer__slots_remove(struct slots *slots, uint64_t id);

/* The entry, or NULL if it was removed. */
void *asynctimer__slots_find(const struct slots *slots, uint64_t id);

#endif

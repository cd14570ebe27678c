/* SPDX-License-Identifier: MIT */
/*
 * Memory for many objects of one size, in blocks that huge pages can back.
 * What is freed is given back with the last object of its block.
 */
#ifndef ASYNCTIMER_SLAB_H
#define ASYNCTIMER_SLAB_H

#include <stddef.h>

struct block;

struct slab {
	struct block *spacious;		/* blocks with room */
	struct block *full;
	unsigned blocks;
};

/* An object of size bytes, a multiple of the cache line's, aligned to that; or NULL. */
void *asynctimer__slab_get(struct slab *slab, size_t size);

/* Gives it back. size is the same in all calls on a slab. */
void asynctimer__slab_put(struct slab *slab, size_t size, void *object);

/* Calls each for every object ever got from the blocks that there are, those put back included: zeroed. */
void asynctimer__slab_each(struct slab *slab, size_t size, void (*each)(void *object));

/* Frees all blocks. */
void asynctimer__slab_free(struct slab *slab);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Memory for many objects of one size, in blocks that huge pages can back. A block
 * goes with its last object; but the only block stays if little of it was used, so
 * that to make and free one object in turn costs no system call.
 *
 * What takes the kernel long is apart from the rest, to be done without the lock that
 * guards the slab: to make a block, to free one, and to have a huge page under it.
 */
#ifndef ASYNCTIMER_SLAB_H
#define ASYNCTIMER_SLAB_H

#include <stdbool.h>
#include <stddef.h>

struct block;

struct slab {
	struct block *spacious;		/* blocks with room */
	struct block *full;
	struct block *unused;		/* those that shall be freed */
	struct block *ripe;		/* one that a huge page would serve now, or NULL */
	unsigned blocks;		/* spacious and full ones */
};

/* Whether there is room for an object; else a block has to be added. */
static inline bool asynctimer__slab_has_room(const struct slab *slab)
{
	return slab->spacious;
}

/* Without the lock: a block, of which there is no other in the slab if it is the first; or NULL. */
struct block *asynctimer__block_new(bool first);

void asynctimer__slab_add(struct slab *slab, struct block *block);

/* Where there is room, an object of size bytes, a multiple of the cache line's, aligned to that; or NULL. */
void *asynctimer__slab_get(struct slab *slab, size_t size);

/* Gives it back. size is the same in all calls on a slab. */
void asynctimer__slab_put(struct slab *slab, size_t size, void *object);

/* The blocks that nobody needs any more; and to free them, without the lock. */
struct block *asynctimer__slab_take_unused(struct slab *slab);
void asynctimer__blocks_free(struct block *blocks);

/*
 * The block, or NULL, that has come to be worth a huge page; and to have one, without
 * the lock, by whoever holds an object of it.
 */
struct block *asynctimer__slab_take_ripe(struct slab *slab);
void asynctimer__block_make_huge(struct block *block);

/* Calls each, with data, for every object ever got from the blocks that there are, those put back included: zeroed. */
void asynctimer__slab_each(struct slab *slab, size_t size, void (*each)(void *object, void *data),
			   void *data);

/* Frees all blocks. */
void asynctimer__slab_free(struct slab *slab);

#endif

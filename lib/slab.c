/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "slab.h"

#define BLOCK_SIZE ((size_t)2 << 20)	/* and alignment: a huge page */
#define HEADER_SIZE 64
#define STEP_SIZE ((size_t)64 << 10)	/* by so much the first block becomes usable */

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

struct block {
	struct block *next;
	struct block **link;		/* what points to this one */
	struct object *free;
	size_t usable;			/* bytes, from its start; the rest is only reserved */
	unsigned used;			/* objects that were ever got */
	unsigned live;
};

struct object {
	struct object *next;
};

static unsigned capacity(size_t size)
{
	return (unsigned)((BLOCK_SIZE - HEADER_SIZE) / size);
}

static void link_to(struct block *block, struct block **list)
{
	block->next = *list;
	block->link = list;
	if (*list)
		(*list)->link = &block->next;
	*list = block;
}

static void unlink_block(struct block *block)
{
	*block->link = block->next;
	if (block->next)
		block->next->link = block->link;
}

/*
 * Straight from the kernel, so that it goes straight back. Only reserved: where
 * mlockall(2) is in force, memory is there from when it becomes usable.
 */
static void *reserve(void)
{
	size_t head;
	char *memory = mmap(NULL, 2 * BLOCK_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	head = -(uintptr_t)memory & (BLOCK_SIZE - 1);
	if (head)
		munmap(memory, head);
	munmap(memory + head + BLOCK_SIZE, BLOCK_SIZE - head);
	return memory + head;
}

/* A first block with little in it would waste a huge page. */
struct block *asynctimer__block_new(bool first)
{
	size_t usable = first ? STEP_SIZE : BLOCK_SIZE;
	struct block *block = reserve();

	if (!block)
		return NULL;
	madvise(block, BLOCK_SIZE, first ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	if (mprotect(block, usable, PROT_READ | PROT_WRITE) < 0) {
		munmap(block, BLOCK_SIZE);
		return NULL;
	}
	/* Touched here, so that what the kernel has to clear is cleared here. */
	block->usable = usable;
	return block;
}

void asynctimer__slab_add(struct slab *slab, struct block *block)
{
	link_to(block, &slab->spacious);
	slab->blocks++;
}

struct block *asynctimer__slab_take_ripe(struct slab *slab)
{
	struct block *block = slab->ripe;

	slab->ripe = NULL;
	return block;
}

/* All these are wishes. Linux 6.1 knows the last one. What is usable stays as it is noted, for others may note more. */
void asynctimer__block_make_huge(struct block *block)
{
	if (!block || mprotect(block, BLOCK_SIZE, PROT_READ | PROT_WRITE) < 0)
		return;
	madvise(block, BLOCK_SIZE, MADV_HUGEPAGE);
	madvise(block, BLOCK_SIZE, MADV_COLLAPSE);
}

static void *new_object(struct slab *slab, struct block *block, size_t size)
{
	if (HEADER_SIZE + (block->used + 1) * size > block->usable) {
		if (mprotect((char *)block + block->usable, STEP_SIZE, PROT_READ | PROT_WRITE) < 0)
			return NULL;
		block->usable += STEP_SIZE;
	}
	if (block->used == capacity(size) / 4 && block->usable < BLOCK_SIZE)
		slab->ripe = block;
	return (char *)block + HEADER_SIZE + block->used++ * size;
}

void *asynctimer__slab_get(struct slab *slab, size_t size)
{
	struct block *block = slab->spacious;
	struct object *object = block->free;

	if (object)
		block->free = object->next;
	else
		object = new_object(slab, block, size);
	if (!object)
		return NULL;
	if (++block->live == capacity(size)) {
		unlink_block(block);
		link_to(block, &slab->full);
	}
	return object;
}

void asynctimer__slab_put(struct slab *slab, size_t size, void *object)
{
	struct block *block = (void *)((uintptr_t)object & ~(BLOCK_SIZE - 1));
	struct object *freed = object;

	memset(object, 0, size);
	freed->next = block->free;
	block->free = freed;
	if (block->live-- == capacity(size)) {
		unlink_block(block);
		link_to(block, &slab->spacious);
	}
	if (block->live == 0 && (slab->blocks > 1 || block->usable > STEP_SIZE)) {
		unlink_block(block);
		slab->blocks--;
		link_to(block, &slab->unused);
	}
}

struct block *asynctimer__slab_take_unused(struct slab *slab)
{
	struct block *blocks = slab->unused;

	slab->unused = NULL;
	return blocks;
}

static void each_in(struct block *block, size_t size, void (*each)(void *object, void *data),
		    void *data)
{
	for (; block; block = block->next)
		for (unsigned i = 0; i < block->used; i++)
			each((char *)block + HEADER_SIZE + i * size, data);
}

void asynctimer__slab_each(struct slab *slab, size_t size, void (*each)(void *object, void *data),
			   void *data)
{
	each_in(slab->spacious, size, each, data);
	each_in(slab->full, size, each, data);
}

void asynctimer__blocks_free(struct block *blocks)
{
	while (blocks) {
		struct block *next = blocks->next;

		munmap(blocks, BLOCK_SIZE);
		blocks = next;
	}
}

void asynctimer__slab_free(struct slab *slab)
{
	asynctimer__blocks_free(slab->spacious);
	asynctimer__blocks_free(slab->full);
	asynctimer__blocks_free(slab->unused);
	*slab = (struct slab){ 0 };
}

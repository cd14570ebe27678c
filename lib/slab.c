/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "slab.h"

#define BLOCK_SIZE ((size_t)2 << 20)	/* and alignment: a huge page */
#define HEADER_SIZE 64

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

struct block {
	struct block *next;
	struct block **link;		/* what points to this one */
	struct object *free;
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

/* Straight from the kernel, so that it goes straight back; zeroed. */
static void *map_aligned(void)
{
	size_t head;
	char *memory = mmap(NULL, 2 * BLOCK_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	head = -(uintptr_t)memory & (BLOCK_SIZE - 1);
	if (head)
		munmap(memory, head);
	munmap(memory + head + BLOCK_SIZE, BLOCK_SIZE - head);
	return memory + head;
}

static struct block *new_block(struct slab *slab)
{
	struct block *block = map_aligned();

	if (!block)
		return NULL;
	/* All these are wishes. */
	madvise(block, BLOCK_SIZE, slab->blocks ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	link_to(block, &slab->spacious);
	slab->blocks++;
	return block;
}

static void *new_object(struct block *block, size_t size)
{
	/* A first block with little in it would waste a huge page. Linux 6.1 knows the second word. */
	if (block->used == capacity(size) / 4) {
		madvise(block, BLOCK_SIZE, MADV_HUGEPAGE);
		madvise(block, BLOCK_SIZE, MADV_COLLAPSE);
	}
	return (char *)block + HEADER_SIZE + block->used++ * size;
}

void *asynctimer__slab_get(struct slab *slab, size_t size)
{
	struct block *block = slab->spacious ? slab->spacious : new_block(slab);
	struct object *object;

	if (!block)
		return NULL;
	object = block->free;
	if (object)
		block->free = object->next;
	else
		object = new_object(block, size);
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
	if (block->live == 0) {
		unlink_block(block);
		slab->blocks--;
		munmap(block, BLOCK_SIZE);
	}
}

static void each_in(struct block *block, size_t size, void (*each)(void *object))
{
	for (; block; block = block->next)
		for (unsigned i = 0; i < block->used; i++)
			each((char *)block + HEADER_SIZE + i * size);
}

void asynctimer__slab_each(struct slab *slab, size_t size, void (*each)(void *object))
{
	each_in(slab->spacious, size, each);
	each_in(slab->full, size, each);
}

static void free_all(struct block *block)
{
	while (block) {
		struct block *next = block->next;

		munmap(block, BLOCK_SIZE);
		block = next;
	}
}

void asynctimer__slab_free(struct slab *slab)
{
	free_all(slab->spacious);
	free_all(slab->full);
	*slab = (struct slab){ 0 };
}

/* SPDX-License-Identifier: MIT */
/*
 * A reactor gets its memory straight from the kernel, and gives it back. The explorer
 * makes a million of them, one at a time, and that took four times as long as all
 * else. So here, behind the linker's --wrap, each gets what the last one had: the
 * page that tells a forked child, and the block of its timers, cleared.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

#define PAGE 4096			/* the page; of a block more is used by no two timers */
#define ALIGNMENT ((size_t)2 << 20)	/* which the library would cut out for itself */

void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *memory, size_t size);
int __wrap_munmap(void *memory, size_t size);
int __real_madvise(void *memory, size_t size, int advice);
int __wrap_madvise(void *memory, size_t size, int advice);
int __real_mprotect(void *memory, size_t size, int protection);
int __wrap_mprotect(void *memory, size_t size, int protection);

static void *page;		/* kept, or NULL */
static bool page_is_lent;
static char *block;		/* kept, or NULL */
static size_t block_size;
static bool block_is_lent;

static bool is_in_block(const void *memory)
{
	return block && (uintptr_t)memory - (uintptr_t)block < block_size;
}

static void *lend_page(void)
{
	page_is_lent = true;
	return memset(page, 0, PAGE);
}

static void *lend_block(size_t size)
{
	char *memory;

	if (!block) {
		memory = __real_mmap(NULL, size + ALIGNMENT, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			return memory;
		block = memory + (-(uintptr_t)memory & (ALIGNMENT - 1));
		block_size = size;
	}
	block_is_lent = true;
	return memset(block, 0, PAGE);
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	if (size <= PAGE && page && !page_is_lent)
		return lend_page();
	if (size > PAGE && !block_is_lent)
		return lend_block(size);
	return __real_mmap(at, size, protection, flags, fd, offset);
}

void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	return __wrap_mmap(at, size, protection, flags, fd, offset);
}

int __wrap_munmap(void *memory, size_t size)
{
	if (size <= PAGE && (!page || memory == page)) {
		page = memory;
		page_is_lent = false;
		return 0;
	}
	if (!is_in_block(memory))
		return __real_munmap(memory, size);
	block_is_lent &= memory != block;
	return 0;
}

int __wrap_madvise(void *memory, size_t size, int advice)
{
	if (is_in_block(memory) || memory == page)
		return 0;
	return __real_madvise(memory, size, advice);
}

int __wrap_mprotect(void *memory, size_t size, int protection)
{
	return is_in_block(memory) ? 0 : __real_mprotect(memory, size, protection);
}

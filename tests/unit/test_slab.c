/* SPDX-License-Identifier: MIT */
/* Memory for objects of one size. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "slab.h"
#include "util.h"

#define BLOCK (2u << 20)

static size_t mapped;
static bool mmap_fails;
static size_t off_by;	/* how far from a block's boundary mappings are, if not 0 */

/* off_t may be wider than long, and the function then another; the library's offset is 0. */
void *__real_mmap(void *at, size_t length, int protection, int flags, int fd, long offset);
void *__wrap_mmap(void *at, size_t length, int protection, int flags, int fd, long offset);
void *__wrap_mmap64(void *at, size_t length, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t length);

static void *map_off_by(size_t length)
{
	size_t width = length + 2 * BLOCK;
	char *wide = __real_mmap(NULL, width, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t head = (-(uintptr_t)wide & (BLOCK - 1)) + off_by;

	ck_assert_ptr_ne(wide, MAP_FAILED);
	__real_munmap(wide, head);
	__real_munmap(wide + head + length, width - head - length);
	return wide + head;
}

void *__wrap_mmap(void *at, size_t length, int protection, int flags, int fd, long offset)
{
	if (mmap_fails) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	mapped += length;
	if (off_by)
		return map_off_by(length);
	return __real_mmap(at, length, protection, flags, fd, offset);
}

void *__wrap_mmap64(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
	return __wrap_mmap(at, length, protection, flags, fd, (long)offset);
}

/* The part of blocks that was ever made usable. */
static size_t usable;
static bool mprotect_fails;

int __real_mprotect(void *at, size_t length, int protection);
int __wrap_mprotect(void *at, size_t length, int protection);
int __wrap_mprotect(void *at, size_t length, int protection)
{
	if (mprotect_fails) {
		errno = ENOMEM;
		return -1;
	}
	usable += length;
	return __real_mprotect(at, length, protection);
}

int __wrap_munmap(void *at, size_t length);
int __wrap_munmap(void *at, size_t length)
{
	mapped -= length;
	return __real_munmap(at, length);
}

#define COUNT 30000u	/* at 192 bytes: three blocks */

static unsigned char *objects[COUNT];

static int compare_addresses(const void *a, const void *b)
{
	const unsigned char *const *first = a;
	const unsigned char *const *second = b;

	return (*first > *second) - (*first < *second);
}

/* As the library does. */
static void *get(struct slab *slab, size_t size)
{
	if (!asynctimer__slab_has_room(slab)) {
		struct block *block = asynctimer__block_new(slab->blocks == 0);

		if (!block)
			return NULL;
		asynctimer__slab_add(slab, block);
	}
	return asynctimer__slab_get(slab, size);
}

static void *get_one(struct slab *slab)
{
	void *object = get(slab, 192);

	ck_assert_ptr_nonnull(object);
	return object;
}

static void put(struct slab *slab, size_t size, void *object)
{
	asynctimer__slab_put(slab, size, object);
	asynctimer__blocks_free(asynctimer__slab_take_unused(slab));
}

static void get_all(struct slab *slab, size_t size)
{
	for (unsigned i = 0; i < COUNT; i++) {
		objects[i] = get(slab, size);
		if (!objects[i] || (uintptr_t)objects[i] % 64)
			ck_abort_msg("object %u is at %p", i, (void *)objects[i]);
		memset(objects[i], 0xa5, size);
	}
}

static void objects_are_apart(size_t size)
{
	struct slab slab = { 0 };

	get_all(&slab, size);
	qsort(objects, COUNT, sizeof(*objects), compare_addresses);
	for (unsigned i = 1; i < COUNT; i++)
		if (objects[i] - objects[i - 1] < (ptrdiff_t)size)
			ck_abort_msg("two objects of %zu are %zd apart", size,
				     objects[i] - objects[i - 1]);
	asynctimer__slab_free(&slab);
}

START_TEST(objects_are_aligned_and_do_not_overlap)
{
	size_t before = mapped;

	objects_are_apart(64);
	objects_are_apart(192);
	objects_are_apart(256);
	ck_assert_uint_eq(mapped, before);
}
END_TEST

START_TEST(a_block_goes_with_its_last_object)
{
	struct slab slab = { 0 };
	size_t before = mapped;

	get_all(&slab, 192);
	/* Of each two MiB all but what aligns it goes back at once. */
	ck_assert_uint_eq(mapped - before, slab.blocks * BLOCK);
	ck_assert_uint_eq(slab.blocks, 3);
	for (unsigned i = 0; i < COUNT; i++) {
		put(&slab, 192, objects[i]);
		if ((mapped - before) != slab.blocks * BLOCK)
			ck_abort_msg("%zu bytes are mapped for %u blocks", mapped - before,
				     slab.blocks);
	}
	ck_assert_uint_eq(slab.blocks, 0);
	ck_assert_uint_eq(mapped, before);
	ck_assert_ptr_null(slab.spacious);
	ck_assert_ptr_null(slab.full);
}
END_TEST

/* The first block alone; from a fleet nothing is kept. */
START_TEST(the_only_block_stays_while_little_of_it_was_used)
{
	struct slab slab = { 0 };
	size_t before = mapped;

	for (unsigned i = 0; i < 1000; i++)
		put(&slab, 192, get(&slab, 192));
	ck_assert_uint_eq(mapped - before, BLOCK);
	for (unsigned i = 0; i < 1000; i++)
		objects[i] = get(&slab, 192);
	ck_assert_uint_eq(mapped - before, BLOCK);
	for (unsigned i = 0; i < 1000; i++)
		put(&slab, 192, objects[i]);
	ck_assert_uint_eq(mapped, before);
	asynctimer__slab_free(&slab);
}
END_TEST

/* Locked memory is there when it becomes usable: mlockall(2). */
START_TEST(of_the_first_block_hardly_more_is_usable_than_used)
{
	struct slab slab = { 0 };

	usable = 0;
	for (unsigned i = 0; i < (BLOCK - 64) / 192; i++) {
		get(&slab, 192);
		if (usable < 64 + (i + 1) * 192 || usable > 64 + (i + 1) * 192 + (64 << 10))
			ck_abort_msg("%zu bytes are usable for %u objects", usable, i + 1);
	}
	asynctimer__slab_free(&slab);
}
END_TEST

START_TEST(a_quarter_full_the_first_block_is_ripe_once)
{
	struct slab slab = { 0 };
	unsigned ripe = 0;

	for (unsigned i = 0; i < COUNT; i++) {
		struct block *block;

		get(&slab, 192);
		block = asynctimer__slab_take_ripe(&slab);
		ripe += block != NULL;
		ck_assert(!block || i == (BLOCK - 64) / 192 / 4);
		if (block)
			asynctimer__block_make_huge(block);
	}
	ck_assert_uint_eq(ripe, 1);
	asynctimer__slab_free(&slab);
}
END_TEST

START_TEST(what_does_not_become_usable_is_not_given)
{
	struct slab slab = { 0 };
	size_t before = mapped;
	void *object;
	unsigned count = 0;

	mprotect_fails = true;
	ck_assert_ptr_null(get(&slab, 192));
	ck_assert_uint_eq(mapped, before);
	mprotect_fails = false;
	ck_assert_ptr_nonnull(get(&slab, 192));
	mprotect_fails = true;
	while ((object = get(&slab, 192))) {
		memset(object, 0xa5, 192);
		count++;
	}
	ck_assert_uint_gt(count, 0);
	mprotect_fails = false;
	ck_assert_ptr_nonnull(get(&slab, 192));
	asynctimer__slab_free(&slab);
}
END_TEST

START_TEST(a_block_is_aligned_wherever_it_was_mapped)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const size_t offs[] = { page, BLOCK / 2, BLOCK - page, BLOCK };

	for (unsigned i = 0; i < sizeof(offs) / sizeof(*offs); i++) {
		struct slab slab = { 0 };
		size_t before = mapped;

		off_by = offs[i];
		/* What finds an object's block counts on that. */
		ck_assert_uint_lt((uintptr_t)get(&slab, 192) % BLOCK, 192);
		ck_assert_uint_eq(mapped - before, BLOCK);
		asynctimer__slab_free(&slab);
		ck_assert_uint_eq(mapped, before);
	}
}
END_TEST

START_TEST(what_is_put_back_is_used_again)
{
	struct slab slab = { 0 };

	get_all(&slab, 192);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = round % 3; i < COUNT; i += 3)
			put(&slab, 192, objects[i]);
		for (unsigned i = round % 3; i < COUNT; i += 3) {
			objects[i] = get_one(&slab);
			memset(objects[i], 0xa5, 192);
		}
		ck_assert_uint_eq(slab.blocks, 3);
	}
	qsort(objects, COUNT, sizeof(*objects), compare_addresses);
	for (unsigned i = 1; i < COUNT; i++)
		if (objects[i] - objects[i - 1] < 192)
			ck_abort_msg("two objects are %zd apart", objects[i] - objects[i - 1]);
	asynctimer__slab_free(&slab);
}
END_TEST

START_TEST(random_gets_and_puts_keep_what_is_in_use)
{
	static uint32_t value[COUNT];
	struct slab slab = { 0 };
	size_t before = mapped;

	srandom(1);
	memset(objects, 0, sizeof(objects));
	for (uint32_t i = 1; i < 1000000; i++) {
		/* Filling and draining in turn, so that blocks come and go. */
		unsigned which = (unsigned)random() % COUNT;
		bool fill = i / 100000 % 2 == 0;
		uint32_t found;

		if (!objects[which] && fill) {
			objects[which] = get_one(&slab);
			value[which] = i;
			memcpy(objects[which] + 188, &i, sizeof(i));
		} else if (objects[which] && !fill) {
			memcpy(&found, objects[which] + 188, sizeof(found));
			if (found != value[which])
				ck_abort_msg("what was put at %u is lost", which);
			put(&slab, 192, objects[which]);
			objects[which] = NULL;
		}
	}
	for (unsigned i = 0; i < COUNT; i++)
		if (objects[i])
			put(&slab, 192, objects[i]);
	ck_assert_uint_eq(slab.blocks, 0);
	ck_assert_uint_eq(mapped, before);
}
END_TEST

static unsigned in_use;
static unsigned zeroed;

static void look(void *object, void *data)
{
	unsigned *seen = data;
	const unsigned char *bytes = object;

	++*seen;
	if (bytes[191]) {
		in_use++;
		return;
	}
	/* But for the first word, which the slab uses, nothing is left of what was there. */
	for (unsigned i = sizeof(void *); i < 192; i++)
		if (bytes[i])
			ck_abort_msg("byte %u of a free object is %u", i, bytes[i]);
	zeroed++;
}

START_TEST(each_shows_every_object_and_the_free_ones_zeroed)
{
	struct slab slab = { 0 };
	unsigned seen = 0;

	asynctimer__slab_each(&slab, 192, look, &seen);
	ck_assert_uint_eq(in_use + zeroed, 0);
	get_all(&slab, 192);
	for (unsigned i = 0; i < COUNT; i += 10)
		put(&slab, 192, objects[i]);
	asynctimer__slab_each(&slab, 192, look, &seen);
	ck_assert_uint_eq(seen, COUNT);
	ck_assert_uint_eq(zeroed, COUNT / 10);
	ck_assert_uint_eq(in_use, COUNT - COUNT / 10);
	asynctimer__slab_free(&slab);
}
END_TEST

START_TEST(a_first_object_is_zeroed)
{
	struct slab slab = { 0 };
	const unsigned char *object = get_one(&slab);

	for (unsigned i = 0; i < 192; i++)
		ck_assert_uint_eq(object[i], 0);
	asynctimer__slab_free(&slab);
}
END_TEST

START_TEST(without_memory_there_is_no_object_and_nothing_changes)
{
	struct slab slab = { 0 };
	size_t before = mapped;
	void *object;

	mmap_fails = true;
	ck_assert_ptr_null(get(&slab, 192));
	ck_assert_uint_eq(slab.blocks, 0);
	mmap_fails = false;
	object = get(&slab, 192);
	ck_assert_ptr_nonnull(object);
	mmap_fails = true;
	/* The block has room: nothing is asked for until it is full. */
	for (unsigned i = 1; i < (BLOCK - 64) / 192; i++)
		if (!get(&slab, 192))
			ck_abort_msg("the block ended at %u", i);
	ck_assert_ptr_null(get(&slab, 192));
	put(&slab, 192, object);
	ck_assert_ptr_eq(get(&slab, 192), object);
	mmap_fails = false;
	ck_assert_ptr_nonnull(get(&slab, 192));
	ck_assert_uint_eq(slab.blocks, 2);
	asynctimer__slab_free(&slab);
	ck_assert_uint_eq(mapped, before);
	ck_assert_uint_eq(slab.blocks, 0);
	asynctimer__slab_free(&slab);
}
END_TEST

int main(void)
{
	return RUN_TESTS("slab", objects_are_aligned_and_do_not_overlap,
			 a_block_goes_with_its_last_object,
			 the_only_block_stays_while_little_of_it_was_used,
			 of_the_first_block_hardly_more_is_usable_than_used,
			 a_quarter_full_the_first_block_is_ripe_once,
			 what_does_not_become_usable_is_not_given,
			 a_block_is_aligned_wherever_it_was_mapped, what_is_put_back_is_used_again,
			 random_gets_and_puts_keep_what_is_in_use,
			 each_shows_every_object_and_the_free_ones_zeroed, a_first_object_is_zeroed,
			 without_memory_there_is_no_object_and_nothing_changes);
}

/* SPDX-License-Identifier: MIT */
/* The table of ids that epoll hands out. */
#include <errno.h>

#include "slots.h"
#include "util.h"

static bool out_of_memory;

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_realloc(void *memory, size_t size)
{
	return out_of_memory ? NULL : __real_realloc(memory, size);
}

START_TEST(an_id_finds_its_entry)
{
	struct slots slots = { 0 };
	int a, b;
	uint64_t id_a, id_b;

	must(asynctimer__slots_add(&slots, &a, &id_a));
	must(asynctimer__slots_add(&slots, &b, &id_b));
	ck_assert_uint_ne(id_a, id_b);
	ck_assert_ptr_eq(asynctimer__slots_find(&slots, id_a), &a);
	ck_assert_ptr_eq(asynctimer__slots_find(&slots, id_b), &b);
	free(slots.slot);
}
END_TEST

START_TEST(a_stale_id_finds_nothing_even_when_its_slot_is_taken_again)
{
	struct slots slots = { 0 };
	uint64_t stale[1000];
	int a, b;

	for (int i = 0; i < 1000; i++) {
		must(asynctimer__slots_add(&slots, &a, &stale[i]));
		asynctimer__slots_remove(&slots, stale[i]);
		ck_assert_ptr_null(asynctimer__slots_find(&slots, stale[i]));
	}
	/* All of them in one and the same slot. */
	ck_assert_uint_eq(stale[0] >> 32, stale[999] >> 32);
	must(asynctimer__slots_add(&slots, &b, &(uint64_t){ 0 }));
	for (int i = 0; i < 1000; i++)
		ck_assert_ptr_null(asynctimer__slots_find(&slots, stale[i]));
	free(slots.slot);
}
END_TEST

START_TEST(growth_keeps_every_id_and_all_are_below_2_to_63)
{
	enum { COUNT = 5000 };
	static int entries[COUNT];
	static uint64_t ids[COUNT];
	struct slots slots = { 0 };

	for (int i = 0; i < COUNT; i++) {
		must(asynctimer__slots_add(&slots, &entries[i], &ids[i]));
		ck_assert_uint_lt(ids[i], UINT64_C(1) << 63);
	}
	for (int i = 0; i < COUNT; i++)
		ck_assert_ptr_eq(asynctimer__slots_find(&slots, ids[i]), &entries[i]);
	free(slots.slot);
}
END_TEST

START_TEST(freed_slots_are_used_before_the_table_grows)
{
	enum { COUNT = 64 };
	struct slots slots = { 0 };
	uint64_t ids[COUNT];
	uint32_t capacity;
	int entry;

	for (int i = 0; i < COUNT; i++)
		must(asynctimer__slots_add(&slots, &entry, &ids[i]));
	capacity = slots.capacity;
	ck_assert_uint_eq(capacity, COUNT);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < COUNT; i++)
			asynctimer__slots_remove(&slots, ids[(i * 37 + round) % COUNT]);
		for (int i = 0; i < COUNT; i++)
			must(asynctimer__slots_add(&slots, &entry, &ids[i]));
	}
	ck_assert_uint_eq(slots.capacity, capacity);
	free(slots.slot);
}
END_TEST

START_TEST(random_adds_and_removes_find_what_is_there_and_nothing_else)
{
	enum { COUNT = 200, STALE = 4096 };
	int entries[COUNT];
	uint64_t ids[COUNT], stale[STALE];
	bool there[COUNT] = { false };
	struct slots slots = { 0 };
	int gone = 0;

	srandom(4);
	for (int round = 0; round < 20000; round++) {
		int i = (int)(random() % COUNT);

		if (!there[i]) {
			must(asynctimer__slots_add(&slots, &entries[i], &ids[i]));
		} else {
			ck_assert_ptr_eq(asynctimer__slots_find(&slots, ids[i]), &entries[i]);
			asynctimer__slots_remove(&slots, ids[i]);
			stale[gone++ % STALE] = ids[i];
		}
		there[i] = !there[i];
		if (gone)
			ck_assert_ptr_null(asynctimer__slots_find(
				&slots, stale[random() % (gone < STALE ? gone : STALE)]));
	}
	ck_assert_int_gt(gone, STALE);
	for (int i = 0; i < COUNT; i++)
		ck_assert_ptr_eq(asynctimer__slots_find(&slots, ids[i]),
				 there[i] ? &entries[i] : NULL);
	free(slots.slot);
}
END_TEST

START_TEST(without_memory_nothing_changes)
{
	struct slots slots = { 0 };
	uint64_t ids[64];
	uint64_t ret = 12345;
	int entry;
	int count = 0;

	out_of_memory = true;
	ck_assert_int_eq(asynctimer__slots_add(&slots, &entry, &ret), -ENOMEM);
	ck_assert_uint_eq(ret, 12345);
	out_of_memory = false;
	must(asynctimer__slots_add(&slots, &entry, &ids[count++]));
	out_of_memory = true;
	while (asynctimer__slots_add(&slots, &entry, &ids[count]) == 0)
		ck_assert_int_lt(++count, 63);
	out_of_memory = false;
	ck_assert_uint_eq(count, slots.capacity);
	for (int i = 0; i < count; i++)
		ck_assert_ptr_eq(asynctimer__slots_find(&slots, ids[i]), &entry);
	must(asynctimer__slots_add(&slots, &entry, &ret));
	ck_assert_ptr_eq(asynctimer__slots_find(&slots, ret), &entry);
	free(slots.slot);
}
END_TEST

START_TEST(a_table_of_2_to_31_is_full)
{
	uint32_t most = UINT32_C(1) << 31;
	struct slots slots = { .capacity = most, .first_free = most };
	uint64_t ret = 12345;
	int entry;

	ck_assert_int_eq(asynctimer__slots_add(&slots, &entry, &ret), -ENOMEM);
	ck_assert_uint_eq(ret, 12345);
	ck_assert_ptr_null(slots.slot);
	ck_assert_uint_eq(slots.capacity, most);
}
END_TEST

int main(void)
{
	return RUN_TESTS("slots", an_id_finds_its_entry,
			 a_stale_id_finds_nothing_even_when_its_slot_is_taken_again,
			 growth_keeps_every_id_and_all_are_below_2_to_63,
			 freed_slots_are_used_before_the_table_grows,
			 random_adds_and_removes_find_what_is_there_and_nothing_else,
			 without_memory_nothing_changes, a_table_of_2_to_31_is_full);
}

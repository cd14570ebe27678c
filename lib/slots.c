/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "slots.h"

#define SLOTS_MAX (UINT32_C(1) << 31)

static int grow(struct slots *slots)
{
	uint32_t capacity = slots->capacity ? 2 * slots->capacity : 8;
	struct slot *slot;

	if (slots->capacity >= SLOTS_MAX)
		return -ENOMEM;
	slot = realloc(slots->slot, capacity * sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	for (uint32_t i = slots->capacity; i < capacity; i++)
		slot[i] = (struct slot){ .next_free = i + 1 };
	slots->first_free = slots->capacity;
	slots->slot = slot;
	slots->capacity = capacity;
	return 0;
}

int asynctimer__slots_add(struct slots *slots, void *entry, uint64_t *ret)
{
	struct slot *slot;

	if (slots->first_free == slots->capacity) {
		int r = grow(slots);

		if (r < 0)
			return r;
	}
	*ret = (uint64_t)slots->first_free << 32;
	slot = &slots->slot[slots->first_free];
	*ret |= slot->generation;
	slots->first_free = slot->next_free;
	slot->entry = entry;
	return 0;
}

void asynctimer__slots_remove(struct slots *slots, uint64_t id)
{
	uint32_t index = (uint32_t)(id >> 32);
	struct slot *slot = &slots->slot[index];

	slot->entry = NULL;
	slot->generation++;
	slot->next_free = slots->first_free;
	slots->first_free = index;
}

void *asynctimer__slots_find(const struct slots *slots, uint64_t id)
{
	const struct slot *slot = &slots->slot[id >> 32];

	return slot->generation == (uint32_t)id ? slot->entry : NULL;
}

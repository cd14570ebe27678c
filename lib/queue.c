/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "queue.h"

#define LISTS_MAX 4096u		/* enough for a million nodes in random order: about 2 * sqrt(n) */
#define PLACE_HEAP LISTS_MAX		/* in the heap, place is this + how far down to the right it goes */
#define WINDOW 8u		/* lists */
#define CACHE_LINE 64

_Static_assert(PLACE_HEAP + 64 <= UINT16_MAX, "place holds any list and any depth");
_Static_assert(sizeof(struct node) <= 40, "every timer has a node");

/*
 * The tournament. An empty list is never due. No jump depends on which is the
 * earlier, but for the rare equal ones: the processor would guess wrong, at
 * the price of several rounds.
 */

static bool first_is_before(const struct queue *queue, uint32_t list_a, uint32_t list_b)
{
	return asynctimer__seq_before(queue->lists[list_a].first->arm_seq, queue->lists[list_b].first->arm_seq);
}

/* The list's first node is another now. */
static void play(struct queue *queue, uint32_t index)
{
	const struct node *first = queue->lists[index].first;
	uint64_t *tree_ns = queue->tree_ns;
	uint16_t *tree_list = queue->tree_list;
	uint64_t due_ns = first ? first->due_ns : UINT64_MAX;
	uint32_t at = queue->leaves + index;

	tree_ns[at] = due_ns;
	tree_list[at] = (uint16_t)index;
	while (at > 1) {
		uint64_t other_ns = tree_ns[at ^ 1];
		uint32_t other = tree_list[at ^ 1];
		uint64_t lost;
		/* Hardly ever are two due at the same time. */
		if (__builtin_expect(other_ns == due_ns && due_ns != UINT64_MAX, 0) &&
		    first_is_before(queue, other, index))
			index = other;
		lost = -(uint64_t)(other_ns < due_ns);
		due_ns ^= (due_ns ^ other_ns) & lost;
		index ^= (index ^ other) & (uint32_t)lost;
		at /= 2;
		tree_ns[at] = due_ns;
		tree_list[at] = (uint16_t)index;
	}
}

/* Another number of leaves, for which there is room. */
static void play_all(struct queue *queue, uint32_t leaves)
{
	queue->leaves = leaves;
	for (uint32_t at = 1; at < 2 * leaves; at++)
		queue->tree_ns[at] = UINT64_MAX;
	for (uint32_t i = 0; i < queue->lists_used; i++)
		play(queue, i);
}

/* The heap of the rest: leftist, so every way down to the right is short. */

static uint32_t depth(const struct node *node)
{
	return node ? node->list_or_rank : PLACE_HEAP;
}

static void set_depth(struct node *node)
{
	if (depth(node->next) < depth(node->prev)) {
		struct node *left = node->next;

		node->next = node->prev;
		node->prev = left;
	}
	node->list_or_rank = depth(node->prev) + 1;
}

static struct node *merge(struct node *a, struct node *b)
{
	struct node *top = a;

	if (!a || !b)
		return a ? a : b;
	if (asynctimer__node_earlier(b, a)) {
		top = b;
		b = a;
	}
	top->prev = merge(top->prev, b);
	top->prev->hint = top;
	set_depth(top);
	return top;
}

static void overflow_put(struct queue *queue, struct node *node)
{
	node->next = NULL;
	node->prev = NULL;
	set_depth(node);
	queue->overflow_heap = merge(queue->overflow_heap, node);
	queue->overflow_heap->hint = NULL;
}

static void overflow_remove(struct queue *queue, struct node *node)
{
	struct node *above = node->hint;
	struct node *below = merge(node->next, node->prev);

	if (below)
		below->hint = above;
	if (!above)
		queue->overflow_heap = below;
	else if (above->next == node)
		above->next = below;
	else
		above->prev = below;
	for (; above; above = above->hint) {
		uint32_t place = above->list_or_rank;

		set_depth(above);
		if (above->list_or_rank == place)
			break;
	}
}

/* The lists. */

/* The first list whose bound is below after_ns, or lists_used: by halving, without a jump that depends on bounds. */
static uint32_t search(const struct queue *queue, uint64_t after_ns)
{
	const uint64_t *bound = queue->bounds;

	for (uint32_t left = queue->lists_used; left > 0;) {
		uint32_t half = (left + 1) / 2;

		bound += half & -(size_t)(bound[half - 1] >= after_ns);
		left -= half;
	}
	return (uint32_t)(bound - queue->bounds);
}

/*
 * The same, among those around its last place: a periodic node tends to come
 * back near there. All of them are looked at, so there is one jump, and that
 * is guessed right.
 */
static uint32_t search_near(const struct queue *queue, uint32_t place, uint64_t after_ns)
{
	uint32_t used = queue->lists_used;
	uint32_t index = 0;
	uint32_t from;

	if (used <= WINDOW) {
		while (index < used && queue->bounds[index] >= after_ns)
			index++;
		return index;
	}
	from = place > WINDOW / 2 ? place - WINDOW / 2 : 0;
	if (from > used - WINDOW)
		from = used - WINDOW;
	index = from;
	for (uint32_t i = from; i < from + WINDOW; i++)
		index += queue->bounds[i] >= after_ns;
	if ((index == from && from > 0) || (index == from + WINDOW && index < used))
		return search(queue, after_ns);
	return index;
}

/* The list that ends latest of those that the node can be appended to, a new one, or PLACE_HEAP. */
static uint32_t find_list(struct queue *queue, const struct node *node)
{
	/* What is due at the same time goes before it, unless a later order was put already. */
	uint64_t after_ns = node->due_ns + !asynctimer__seq_before(node->arm_seq, queue->max_seq);
	uint32_t index = search_near(queue, node->list_or_rank, after_ns);

	if (index < queue->lists_used)
		return index;
	if (index == queue->lists_room)
		return PLACE_HEAP;
	queue->lists[index].first = NULL;
	if (index == queue->leaves)
		play_all(queue, 2 * queue->leaves);
	queue->lists_used++;
	return index;
}

/*
 * Memory is far: a node that is taken sets the lines of one some places behind
 * it in its list on their way. The fewer lists there are, the sooner its turn
 * comes.
 */
static void leave_hint(const struct queue *queue, struct node *ahead, struct node *node)
{
	if (ahead && queue->lists_used < 4)
		ahead = ahead->prev && ahead->prev->prev ? ahead->prev->prev : ahead;
	if (ahead)
		ahead->hint = node;
}

void asynctimer__queue_put(struct queue *queue, struct node *node)
{
	uint32_t index;
	struct list *list;

	if (!queue->lists_used && !queue->overflow_heap)
		queue->max_seq = node->arm_seq;
	index = find_list(queue, node);
	if (asynctimer__seq_before(queue->max_seq, node->arm_seq))
		queue->max_seq = node->arm_seq;
	if (index == PLACE_HEAP) {
		overflow_put(queue, node);
		return;
	}
	list = &queue->lists[index];
	queue->bounds[index] = node->due_ns;
	node->next = NULL;
	node->hint = NULL;
	node->list_or_rank = index;
	if (list->first) {
		leave_hint(queue, list->ahead, node);
		node->prev = list->last;
		list->last->next = node;
		list->ahead = list->last;
		list->last = node;
		return;
	}
	node->prev = NULL;
	list->first = node;
	list->last = node;
	list->ahead = NULL;
	play(queue, index);
}

/* An emptied list takes what the next one does, and the last ones go: their places are free for new bounds. */
static void list_emptied(struct queue *queue, uint32_t index)
{
	uint32_t leaves = queue->leaves;

	if (index + 1 < queue->lists_used) {
		queue->bounds[index] = queue->bounds[index + 1];
		return;
	}
	do
		queue->lists_used--;
	while (queue->lists_used && !queue->lists[queue->lists_used - 1].first);
	while (leaves > 1 && queue->lists_used <= leaves / 4)
		leaves /= 2;
	if (leaves < queue->leaves)
		play_all(queue, leaves);
}

/* The first node of a list goes. */
static void list_advance(struct queue *queue, uint32_t index)
{
	struct list *list = &queue->lists[index];
	struct node *next = list->first->next;

	list->first = next;
	play(queue, index);
	if (!next) {
		list_emptied(queue, index);
		return;
	}
	if (list->ahead == next->prev)
		list->ahead = NULL;
	next->prev = NULL;
}

void asynctimer__queue_remove(struct queue *queue, struct node *node)
{
	struct list *list;

	if (node->list_or_rank >= PLACE_HEAP) {
		overflow_remove(queue, node);
		return;
	}
	list = &queue->lists[node->list_or_rank];
	if (node == list->first) {
		list_advance(queue, node->list_or_rank);
		return;
	}
	node->prev->next = node->next;
	if (node->next)
		node->next->prev = node->prev;
	else
		list->last = node->prev;
	list->ahead = list->last->prev;
}

/* And the cache line before it, where the rest is of what a tick touches. Of NULL too, which may not be subtracted from. */
static void prefetch(const struct node *node)
{
	__builtin_prefetch(node, 1);
	__builtin_prefetch((const void *)((uintptr_t)node - CACHE_LINE), 1);
}

struct node *asynctimer__queue_take(struct queue *queue, uint64_t until_ns)
{
	struct node *node = asynctimer__queue_first(queue);

	if (!node || node->due_ns > until_ns)
		return NULL;
	if (node->list_or_rank >= PLACE_HEAP) {
		overflow_remove(queue, node);
		return node;
	}
	prefetch(node->hint);
	list_advance(queue, node->list_or_rank);
	/* Among many lists a hint came so long ago that it may be forgotten. */
	if (queue->lists_used > 256)
		prefetch(queue->lists[queue->tree_list[1]].first);
	return node;
}

static uint64_t min_ns(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

uint64_t asynctimer__queue_second_ns(const struct queue *queue)
{
	const struct node *first = asynctimer__queue_first(queue);
	uint64_t due_ns = UINT64_MAX;

	if (!first)
		return due_ns;
	/* In a list and in the heap those next to it; and the earliest of the other. */
	if (first->next)
		due_ns = first->next->due_ns;
	if (first->list_or_rank >= PLACE_HEAP) {
		if (first->prev)
			due_ns = min_ns(due_ns, first->prev->due_ns);
		return min_ns(due_ns, queue->tree_ns[1]);
	}
	/* It has beaten the others on its way up. */
	for (uint32_t at = queue->leaves + first->list_or_rank; at > 1; at /= 2)
		due_ns = min_ns(due_ns, queue->tree_ns[at ^ 1]);
	return queue->overflow_heap ? min_ns(due_ns, queue->overflow_heap->due_ns) : due_ns;
}

/* The array at *array with room for so many bytes, aligned to cache lines, of which used are kept. */
static int resize(void **array, size_t used, size_t room, struct garbage *garbage)
{
	void *new;

	if (posix_memalign(&new, CACHE_LINE, room))
		return -ENOMEM;
	if (used)
		memcpy(new, *array, used);
	asynctimer__garbage_add(garbage, *array);
	*array = new;
	return 0;
}

/* Whichever fails, the arrays have room for lists_room lists. */
static int resize_lists(struct queue *queue, uint32_t room, struct garbage *garbage)
{
	size_t used = queue->lists_used;
	size_t tree_slots = 2 * (size_t)queue->leaves;
	void *lists = queue->lists;
	void *bounds = queue->bounds;
	void *tree_ns = queue->tree_ns;
	void *tree_list = queue->tree_list;
	int r;

	if (room < queue->lists_room)
		queue->lists_room = room;
	r = resize(&lists, used * sizeof(*queue->lists), room * sizeof(*queue->lists), garbage);
	if (r == 0)
		r = resize(&bounds, used * sizeof(*queue->bounds), room * sizeof(*queue->bounds),
			   garbage);
	if (r == 0)
		r = resize(&tree_ns, tree_slots * sizeof(*queue->tree_ns),
			   2 * (size_t)room * sizeof(*queue->tree_ns), garbage);
	if (r == 0)
		r = resize(&tree_list, tree_slots * sizeof(*queue->tree_list),
			   2 * (size_t)room * sizeof(*queue->tree_list), garbage);
	if (r == 0)
		queue->lists_room = room;
	queue->lists = lists;
	queue->bounds = bounds;
	queue->tree_ns = tree_ns;
	queue->tree_list = tree_list;
	return r;
}

int asynctimer__queue_reserve(struct queue *queue, uint32_t count, struct garbage *garbage)
{
	uint32_t room = queue->lists_room;

	if (count > LISTS_MAX)
		count = LISTS_MAX;
	if (count > room) {
		int r;

		room = room ? 2 * room : 16;
		while (room < count)
			room *= 2;
		r = resize_lists(queue, room, garbage);
		if (r == 0 && queue->leaves == 0)
			play_all(queue, 1);
		return r;
	}
	/* What can't shrink is room enough. */
	if (count < room / 4 && room > 16 && queue->leaves <= room / 2)
		resize_lists(queue, room / 2, garbage);
	return 0;
}

void asynctimer__queue_free(struct queue *queue, struct garbage *garbage)
{
	asynctimer__garbage_add(garbage, queue->lists);
	asynctimer__garbage_add(garbage, queue->bounds);
	asynctimer__garbage_add(garbage, queue->tree_ns);
	asynctimer__garbage_add(garbage, queue->tree_list);
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "queue.h"

#define LISTS_MAX 4096u		/* enough for a million nodes in random order: about 2 * sqrt(n) */
#define LONE LISTS_MAX		/* from here on, a place is a position in the heap */
#define ROOT 3u			/* so that the four children of a heap entry share a cache line */
#define CACHE_LINE 64
#define AHEAD 8u			/* nodes between what is taken and what is prefetched */

struct list {
	struct node *first;	/* NULL: empty */
	struct node *last;
	uint32_t count;
	uint32_t puts;		/* of the last count nodes */
	struct node *recent[AHEAD]; /* the last AHEAD of them, by number of the put */
};

struct entry {
	uint64_t due_ns;
	uintptr_t what;		/* below LISTS_MAX a list, for its first node; else a node by itself */
};

static struct node *entry_node(const struct queue *queue, struct entry entry)
{
	if (entry.what < LISTS_MAX)
		return queue->lists[entry.what].first;
	return (struct node *)entry.what;
}

static bool before(uint32_t order_a, uint32_t order_b)
{
	return (int32_t)(order_a - order_b) < 0;	/* they wrap around */
}

static bool earlier(const struct queue *queue, struct entry a, struct entry b)
{
	if (a.due_ns != b.due_ns)
		return a.due_ns < b.due_ns;
	return before(entry_node(queue, a)->order, entry_node(queue, b)->order);
}

static uint32_t earliest_of_equals(const struct queue *queue, uint32_t child, uint32_t best)
{
	for (uint32_t i = 0; i < 4 && child + i < ROOT + queue->entries; i++)
		if (earlier(queue, queue->heap[child + i], queue->heap[child + best]))
			best = i;
	return best;
}

static void set_entry(struct queue *queue, uint32_t position, struct entry entry)
{
	queue->heap[position] = entry;
	if (entry.what < LISTS_MAX)
		queue->positions[entry.what] = position;
	else
		((struct node *)entry.what)->place = LONE + position;
}

static void sift_up(struct queue *queue, uint32_t position, struct entry entry)
{
	while (position > ROOT) {
		uint32_t parent = position / 4 + 2;

		if (!earlier(queue, entry, queue->heap[parent]))
			break;
		set_entry(queue, position, queue->heap[parent]);
		position = parent;
	}
	set_entry(queue, position, entry);
}

/*
 * The earliest child of the entry at position, or 0. Beyond the last entry
 * there is room for its siblings, never due: so four can be compared without a
 * jump that the processor would guess wrong.
 */
static uint32_t earliest_child(const struct queue *queue, uint32_t position)
{
	uint32_t child = 4 * position - 8;
	const struct entry *four = &queue->heap[child];
	uint32_t low, high, best;

	if (child >= ROOT + queue->entries)
		return 0;
	low = four[1].due_ns < four[0].due_ns;
	high = 2 + (four[3].due_ns < four[2].due_ns);
	best = four[high].due_ns < four[low].due_ns ? high : low;
	/* Hardly ever are two due at the same time. */
	if (((four[best].due_ns == four[0].due_ns) + (four[best].due_ns == four[1].due_ns) +
	     (four[best].due_ns == four[2].due_ns) + (four[best].due_ns == four[3].due_ns)) > 1)
		best = earliest_of_equals(queue, child, best);
	return child + best;
}

static void sift_down(struct queue *queue, uint32_t position, struct entry entry)
{
	for (;;) {
		uint32_t child = earliest_child(queue, position);

		if (!child || !earlier(queue, queue->heap[child], entry))
			break;
		set_entry(queue, position, queue->heap[child]);
		position = child;
	}
	set_entry(queue, position, entry);
}

static void heap_add(struct queue *queue, struct entry entry)
{
	if (queue->hole) {
		queue->hole = 0;
		sift_down(queue, ROOT, entry);
	} else {
		sift_up(queue, ROOT + queue->entries++, entry);
	}
}

static void heap_remove(struct queue *queue, uint32_t position)
{
	uint32_t last = ROOT + --queue->entries;
	struct entry entry = queue->heap[last];

	queue->heap[last].due_ns = UINT64_MAX;
	if (position == last)
		return;
	if (position > ROOT && earlier(queue, entry, queue->heap[position / 4 + 2]))
		sift_up(queue, position, entry);
	else
		sift_down(queue, position, entry);
}

static void close_hole(struct queue *queue)
{
	if (!queue->hole)
		return;
	queue->hole = 0;
	heap_remove(queue, ROOT);
}

/* An emptied list takes what the next one does, and the last ones go: their places are free for new bounds. */
static void list_emptied(struct queue *queue, uint32_t index)
{
	queue->lists[index].first = NULL;
	if (index + 1 < queue->lists_used) {
		queue->bounds[index] = queue->bounds[index + 1];
		return;
	}
	do
		queue->lists_used--;
	while (queue->lists_used && !queue->lists[queue->lists_used - 1].first);
}

/* The list that ends latest of those that the node can be appended to, a new one, or LONE. */
static uint32_t find_list(struct queue *queue, const struct node *node)
{
	/* What is due at the same time goes before it, unless that was put with a later order. */
	uint64_t after_ns = node->due_ns + !before(node->order, queue->newest);
	uint32_t used = queue->lists_used;
	uint32_t index = 0;

	if (used && queue->bounds[0] < after_ns)
		return 0;
	/* Of used, those from index on may take it; no jump depends on what is compared. */
	while (used > 0) {
		uint32_t half = (used + 1) / 2;

		index += queue->bounds[index + half - 1] < after_ns ? 0 : half;
		used -= half;
	}
	if (index < queue->lists_used)
		return index;
	if (index == queue->lists_room)
		return LONE;
	queue->lists[index].first = NULL;
	queue->lists_used++;
	return index;
}

/* Memory is far: the node put AHEAD before this one, when taken, sets this one's lines on their way. */
static void leave_hint(struct list *list, struct node *node)
{
	struct node **recent = &list->recent[list->puts % AHEAD];

	if (list->puts >= AHEAD)
		(*recent)->hint = node;
	*recent = node;
	list->puts++;
}

void asynctimer__queue_put(struct queue *queue, struct node *node)
{
	uint32_t index = find_list(queue, node);
	struct list *list = &queue->lists[index];

	node->next = NULL;
	node->prev = NULL;
	node->hint = NULL;
	if (!before(node->order, queue->newest))
		queue->newest = node->order;
	if (index == LONE) {
		heap_add(queue, (struct entry){ node->due_ns, (uintptr_t)node });
		return;
	}
	node->place = index;
	queue->bounds[index] = node->due_ns;
	if (list->first) {
		node->prev = list->last;
		list->last->next = node;
		list->last = node;
		list->count++;
		leave_hint(list, node);
		return;
	}
	list->first = node;
	list->last = node;
	list->count = 1;
	list->puts = 0;
	leave_hint(list, node);
	heap_add(queue, (struct entry){ node->due_ns, index });
}

/* The first node of a list goes: its entry gets the next one's time, at position. False if there is none. */
static bool list_advance(struct queue *queue, uint32_t index, uint32_t position)
{
	struct list *list = &queue->lists[index];
	struct node *next = list->first->next;

	if (!next) {
		list_emptied(queue, index);
		return false;
	}
	list->first = next;
	list->count--;
	if (list->count < AHEAD)
		list->puts = 0;
	next->prev = NULL;
	sift_down(queue, position, (struct entry){ next->due_ns, index });
	return true;
}

void asynctimer__queue_remove(struct queue *queue, struct node *node)
{
	struct list *list;

	close_hole(queue);
	if (node->place >= LONE) {
		heap_remove(queue, node->place - LONE);
		return;
	}
	list = &queue->lists[node->place];
	if (node == list->first) {
		uint32_t position = queue->positions[node->place];

		if (!list_advance(queue, node->place, position))
			heap_remove(queue, position);
		return;
	}
	list->count--;
	list->puts = 0;
	node->prev->next = node->next;
	if (node->next)
		node->next->prev = node->prev;
	else
		list->last = node->prev;
}

struct node *asynctimer__queue_first(struct queue *queue)
{
	close_hole(queue);
	return queue->entries ? entry_node(queue, queue->heap[ROOT]) : NULL;
}

void asynctimer__queue_take(struct queue *queue)
{
	struct entry entry = queue->heap[ROOT];
	const struct node *node = entry_node(queue, entry);

	__builtin_prefetch(node->hint, 1);
	__builtin_prefetch((const char *)node->hint + CACHE_LINE, 1);
	if (entry.what >= LISTS_MAX || !list_advance(queue, (uint32_t)entry.what, ROOT))
		queue->hole = 1;
}

uint64_t asynctimer__queue_second_ns(struct queue *queue)
{
	struct node *first = asynctimer__queue_first(queue);
	uint64_t due_ns = UINT64_MAX;
	uint32_t child;

	if (!first)
		return due_ns;
	child = earliest_child(queue, ROOT);
	if (child)
		due_ns = queue->heap[child].due_ns;
	if (first->next && first->next->due_ns < due_ns)
		due_ns = first->next->due_ns;
	return due_ns;
}

/* The array at *array with room for so many bytes, aligned to cache lines, of which used are kept. */
static int resize(void **array, size_t used, size_t room)
{
	void *new;

	if (posix_memalign(&new, CACHE_LINE, room))
		return -ENOMEM;
	if (used)
		memcpy(new, *array, used);
	free(*array);
	*array = new;
	return 0;
}

static int resize_heap(struct queue *queue, uint32_t room)
{
	/* And the last entry's siblings. */
	size_t end = ROOT + (size_t)room + 3;
	size_t used = queue->heap ? ROOT + queue->entries : 0;
	void *heap = queue->heap;
	int r = resize(&heap, used * sizeof(*queue->heap), end * sizeof(*queue->heap));

	if (r < 0)
		return r;
	queue->heap = heap;
	queue->heap_room = room;
	for (size_t i = used; i < end; i++)
		queue->heap[i].due_ns = UINT64_MAX;
	return 0;
}

/* Whichever fails, the arrays have room for lists_room lists. */
static int resize_lists(struct queue *queue, uint32_t room)
{
	size_t used = queue->lists_used;
	void *lists = queue->lists;
	void *bounds = queue->bounds;
	void *positions = queue->positions;
	int r;

	if (room > LISTS_MAX)
		room = LISTS_MAX;
	if (room < used)
		room = (uint32_t)used;
	if (room == queue->lists_room)
		return 0;
	if (room < queue->lists_room)
		queue->lists_room = room;
	r = resize(&lists, used * sizeof(*queue->lists), room * sizeof(*queue->lists));
	if (r == 0)
		r = resize(&bounds, used * sizeof(*queue->bounds), room * sizeof(*queue->bounds));
	if (r == 0)
		r = resize(&positions, used * sizeof(*queue->positions),
			   room * sizeof(*queue->positions));
	if (r == 0)
		queue->lists_room = room;
	queue->lists = lists;
	queue->bounds = bounds;
	queue->positions = positions;
	return r;
}

int asynctimer__queue_reserve(struct queue *queue, uint32_t count)
{
	uint32_t room = queue->heap_room;
	int r;

	if (count > room)
		room = count > room + room / 2 ? count + 16 : room + room / 2;
	else if (count < room / 4)
		room = 2 * count;
	else
		return 0;
	r = resize_lists(queue, room);
	if (r == 0)
		r = resize_heap(queue, room);
	/* What can't shrink is room enough. */
	return count <= queue->heap_room ? 0 : r;
}

void asynctimer__queue_free(struct queue *queue)
{
	free(queue->heap);
	free(queue->lists);
	free(queue->bounds);
	free(queue->positions);
}

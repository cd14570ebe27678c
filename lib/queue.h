/* SPDX-License-Identifier: MIT */
/*
 * Nodes in due order, the earliest first, equal ones by the order of their arming.
 *
 * What was just taken is due again after most others, above all after those
 * of its own interval, so it can nearly always be appended to a sorted list.
 * The queue is a number of such lists (patience sorting), whose first nodes
 * stand in a tournament: a tree in which each knot holds the earlier of the
 * two below it. A put goes to the list that ends latest of those that end no
 * later than it is due; if there is none, to a new list; if there may be no
 * more lists, to a heap of the rest (leftist, of the nodes themselves). Put,
 * remove and take are O(log n), and allocate nothing: room is made by reserve.
 */
#ifndef ASYNCTIMER_QUEUE_H
#define ASYNCTIMER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "garbage.h"

/* Fields are the queue's own, but for due_ns and arm_seq, which the user sets before a put. */
struct node {
	union {
		struct node *next;	/* in its list, or NULL; in the heap: left */
		uint64_t begun_ns;	/* the user's, while the node is in no queue */
	};
	struct node *prev;	/* right */
	struct node *hint;	/* a later one of its list, to be prefetched, never followed; above */
	uint64_t due_ns;
	/*
	 * Among equal due times the lower number goes first. They wrap around, and are
	 * told apart while less than 2^47 puts lie between them: at a million puts per
	 * second, the two nodes would have to be put more than four years apart.
	 */
	uint64_t arm_seq : 48;
	uint64_t list_or_rank : 16;	/* its list; in the heap from PLACE_HEAP: and how far down to the right it goes */
};

struct list {
	struct node *first;	/* NULL: empty */
	struct node *last;
	struct node *ahead;	/* last->prev, at hand without last's memory */
};

struct queue {
	struct list *lists;
	uint64_t *bounds;	/* per list, the latest due that may be in it: never ascending */
	uint64_t *tree_ns;	/* [1] is the earliest due; the first of list i is at [leaves + i] */
	uint16_t *tree_list;	/* whose first that is */
	struct node *overflow_heap;
	uint64_t max_seq;	/* the latest arm_seq put */
	uint32_t lists_used;
	uint32_t lists_room;
	uint32_t leaves;	/* a power of two, at least lists_used */
};

/* Makes room for count nodes in all; less than before gives room back. 0 or -ENOMEM. What was replaced is garbage. */
int asynctimer__queue_reserve(struct queue *queue, uint32_t count, struct garbage *garbage);

void asynctimer__queue_free(struct queue *queue, struct garbage *garbage);

void asynctimer__queue_put(struct queue *queue, struct node *node);
void asynctimer__queue_remove(struct queue *queue, struct node *node);

/* Of their difference only the low 48 bits count, with the highest of these as its sign. */
static inline bool asynctimer__seq_before(uint64_t a, uint64_t b)
{
	return (int64_t)((a - b) << 16) < 0;
}

static inline bool asynctimer__node_earlier(const struct node *a, const struct node *b)
{
	return a->due_ns < b->due_ns ||
	       (a->due_ns == b->due_ns && asynctimer__seq_before(a->arm_seq, b->arm_seq));
}

/* The earliest node, or NULL. */
static inline struct node *asynctimer__queue_first(const struct queue *queue)
{
	struct node *rest = queue->overflow_heap;
	struct node *first = NULL;

	if (queue->lists_used)
		first = queue->lists[queue->tree_list[1]].first;
	if (!first || (rest && asynctimer__node_earlier(rest, first)))
		return rest;
	return first;
}

/* Takes out the earliest node, if that is due at until_ns; else NULL. */
struct node *asynctimer__queue_take(struct queue *queue, uint64_t until_ns);

/* When the second earliest node is due; UINT64_MAX if there are less than two. */
uint64_t asynctimer__queue_second_ns(const struct queue *queue);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Nodes in due order, the earliest first, equal ones by their order.
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

/* Fields are the queue's own, but for due_ns and order, which the user sets before a put. */
struct node {
	struct node *next;	/* in its list, or NULL; in the heap: left */
	struct node *prev;	/* right */
	struct node *hint;	/* a later one of its list, to be prefetched, never followed; above */
	uint64_t due_ns;
	uint32_t order;		/* among equal due times; it may wrap around */
	uint32_t place;		/* its list; in the heap from LONE: and how far down to the right it goes */
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
	struct node *rest;
	uint32_t lists_used;
	uint32_t lists_room;
	uint32_t leaves;	/* a power of two, at least lists_used */
	uint32_t newest;	/* the latest order put */
};

/* Makes room for count nodes in all; less than before gives room back. 0 or -ENOMEM. */
int asynctimer__queue_reserve(struct queue *queue, uint32_t count);

void asynctimer__queue_free(struct queue *queue);

void asynctimer__queue_put(struct queue *queue, struct node *node);
void asynctimer__queue_remove(struct queue *queue, struct node *node);

/* Orders wrap around. */
static inline bool asynctimer__order_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool asynctimer__node_earlier(const struct node *a, const struct node *b)
{
	return a->due_ns < b->due_ns ||
	       (a->due_ns == b->due_ns && asynctimer__order_before(a->order, b->order));
}

/* The earliest node, or NULL. */
static inline struct node *asynctimer__queue_first(const struct queue *queue)
{
	struct node *rest = queue->rest;
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

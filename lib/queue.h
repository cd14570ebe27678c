/* SPDX-License-Identifier: MIT */
/*
 * Nodes in due order, the earliest first, equal ones by their order.
 *
 * What was just taken is due again after most others, above all after those
 * of its own interval, so it can nearly always be appended to a sorted list.
 * The queue is a number of such lists, each with its first node in a 4-ary
 * heap (patience sorting). A put goes to the list that ends latest of those
 * that end no later than it is due; if there is none, to a new list; if there
 * may be no more lists, into the heap by itself. Put, remove and take are
 * O(log n), and allocate nothing: room is made by reserve.
 */
#ifndef ASYNCTIMER_QUEUE_H
#define ASYNCTIMER_QUEUE_H

#include <stddef.h>
#include <stdint.h>

/* Fields are the queue's own, but for due_ns and order, which the user sets before a put. */
struct node {
	struct node *next;	/* in its list, or NULL */
	struct node *prev;
	struct node *hint;	/* a later one of its list: to be prefetched, never followed */
	uint64_t due_ns;
	uint32_t order;		/* among equal due times; it may wrap around */
	uint32_t place;		/* its list; of a node in the heap by itself: LONE + where */
};

struct list;
struct entry;

struct queue {
	struct entry *heap;	/* each list's first node, and the nodes by themselves */
	struct list *lists;
	uint32_t *positions;	/* per list, of its first node in the heap */
	uint64_t *bounds;	/* per list, the latest due that may be in it: never ascending */
	uint32_t entries;	/* in use of heap */
	uint32_t lists_used;
	uint32_t newest;	/* the latest order put */
	uint32_t hole;		/* 1: its root is vacant since the last take */
	uint32_t heap_room;
	uint32_t lists_room;
};

/* Makes room for count nodes in all; less than before gives room back. 0 or -ENOMEM. */
int asynctimer__queue_reserve(struct queue *queue, uint32_t count);

void asynctimer__queue_free(struct queue *queue);

void asynctimer__queue_put(struct queue *queue, struct node *node);
void asynctimer__queue_remove(struct queue *queue, struct node *node);

/* The earliest node, or NULL. */
struct node *asynctimer__queue_first(struct queue *queue);

/* Takes out the node that first gave. */
void asynctimer__queue_take(struct queue *queue);

/* When the second earliest node is due; UINT64_MAX if there are less than two. */
uint64_t asynctimer__queue_second_ns(struct queue *queue);

#endif

/* SPDX-License-Identifier: MIT */
/* Due order, against a sorted array; the queue's inside is in reach here. */
#include "queue.c"

#include "util.h"

/* Check's own asserts each write to a file: too slow to be made a million times. */
#define require(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg("line %d: " #condition, __LINE__);                            \
	} while (0)

/* The how many-th from now; 0: none. volatile: to the compiler posix_memalign touches no variable.
 */
static volatile int memalign_fails;

int __real_posix_memalign(void **ret, size_t alignment, size_t size);
int __wrap_posix_memalign(void **ret, size_t alignment, size_t size);
int __wrap_posix_memalign(void **ret, size_t alignment, size_t size)
{
	if (memalign_fails && (memalign_fails -= 1) == 0)
		return ENOMEM;
	return __real_posix_memalign(ret, alignment, size);
}

static uint64_t seed = 88172645463325252u;

static uint64_t random_below(uint64_t limit)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % limit;
}

static int reserve(struct queue *queue, uint32_t count)
{
	struct garbage garbage = { NULL };
	int r = asynctimer__queue_reserve(queue, count, &garbage);

	asynctimer__garbage_free(garbage);
	return r;
}

static void discard(struct queue *queue)
{
	struct garbage garbage = { NULL };

	asynctimer__queue_free(queue, &garbage);
	asynctimer__garbage_free(garbage);
}

#define ORDERS (UINT64_C(1) << 48)

static bool node_before(const struct node *a, const struct node *b)
{
	uint64_t a_order = a->arm_seq;
	uint64_t ahead = (b->arm_seq + ORDERS - a_order) % ORDERS;

	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : ahead != 0 && ahead < ORDERS / 2;
}

/* What is written in queue.h and in its comments, of everything in there. The nodes counted. */
static uint32_t check_list(const struct queue *queue, uint32_t index)
{
	const struct list *list = &queue->lists[index];
	const struct node *last = NULL;
	uint32_t count = 0;

	if (index)
		require(queue->bounds[index] <= queue->bounds[index - 1]);
	require(queue->tree_list[queue->leaves + index] == index);
	if (!list->first) {
		require(queue->tree_ns[queue->leaves + index] == UINT64_MAX);
		return 0;
	}
	require(queue->tree_ns[queue->leaves + index] == list->first->due_ns);
	for (const struct node *node = list->first; node; node = node->next) {
		require(node->list_or_rank == index);
		require(node->prev == last);
		require(!last || node_before(last, node));
		last = node;
		count++;
	}
	require(list->last == last);
	require(list->ahead == last->prev);
	require(last->due_ns <= queue->bounds[index]);
	return count;
}

/* Each knot holds the earlier of the two below. */
static void check_tree(const struct queue *queue)
{
	for (uint32_t at = 1; at < queue->leaves; at++) {
		const struct node *first;

		require(queue->tree_ns[at] <= queue->tree_ns[2 * at]);
		require(queue->tree_ns[at] <= queue->tree_ns[2 * at + 1]);
		if (queue->tree_ns[at] == UINT64_MAX)
			continue;
		first = queue->lists[queue->tree_list[at]].first;
		require(first->due_ns == queue->tree_ns[at]);
		for (uint32_t below = 2 * at; below <= 2 * at + 1; below++) {
			const struct node *other;

			if (queue->tree_ns[below] == UINT64_MAX)
				continue;
			other = queue->lists[queue->tree_list[below]].first;
			require(other == first || node_before(first, other));
		}
	}
}

static uint32_t check_rest(const struct node *node, const struct node *above)
{
	if (!node)
		return 0;
	require(node->hint == above);
	require(!above || node_before(above, node));
	require(depth(node->next) >= depth(node->prev));
	require(node->list_or_rank == depth(node->prev) + 1);
	return 1 + check_rest(node->next, node) + check_rest(node->prev, node);
}

static void check_queue(const struct queue *queue, uint32_t expected)
{
	uint32_t nodes = 0;

	require(queue->lists_used <= queue->leaves);
	require(queue->leaves <= queue->lists_room);
	for (uint32_t i = 0; i < queue->lists_used; i++)
		nodes += check_list(queue, i);
	for (uint32_t i = queue->lists_used; i < queue->leaves; i++)
		require(queue->tree_ns[queue->leaves + i] == UINT64_MAX);
	if (queue->lists_used)
		require(queue->lists[queue->lists_used - 1].first);
	check_tree(queue);
	nodes += check_rest(queue->overflow_heap, NULL);
	require(nodes == expected);
}

/* The model. */

struct model {
	struct node **sorted;
	uint32_t count;
};

static uint32_t model_place(const struct model *model, const struct node *node)
{
	uint32_t low = 0;
	uint32_t high = model->count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (node_before(model->sorted[middle], node))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void model_put(struct model *model, struct node *node)
{
	uint32_t place = model_place(model, node);

	memmove(&model->sorted[place + 1], &model->sorted[place],
		(model->count++ - place) * sizeof(node));
	model->sorted[place] = node;
}

static void model_remove(struct model *model, const struct node *node)
{
	uint32_t place = model_place(model, node);

	require(model->sorted[place] == node);
	memmove(&model->sorted[place], &model->sorted[place + 1],
		(--model->count - place) * sizeof(node));
}

static void check_against(struct queue *queue, const struct model *model)
{
	uint64_t second_ns = model->count > 1 ? model->sorted[1]->due_ns : UINT64_MAX;

	check_queue(queue, model->count);
	require(asynctimer__queue_first(queue) == (model->count ? model->sorted[0] : NULL));
	require(asynctimer__queue_second_ns(queue) == second_ns);
	check_queue(queue, model->count);
}

/*
 * Random operations.
 */

struct mix {
	uint32_t nodes;
	uint32_t operations;
	uint64_t first_order;
	uint64_t span_ns;	/* a put is due that long after the last one taken, at most */
	unsigned removes;	/* of 16 operations on a full queue */
	unsigned takes;
	unsigned old_orders;	/* of 16 puts: with the order that the node has already */
	unsigned look;		/* compare everything every so often */
	bool alone;		/* most nodes, for there is room for few lists */
};

static void random_operations(const struct mix *mix)
{
	struct node *nodes = calloc(mix->nodes, sizeof(*nodes));
	struct node **out = malloc(mix->nodes * sizeof(*out));
	struct model model = { malloc((mix->nodes + 1) * sizeof(struct node *)), 0 };
	struct queue queue = { 0 };
	uint64_t order = mix->first_order;
	uint32_t outside = mix->nodes;
	uint64_t now_ns = 1000;

	require(reserve(&queue, mix->alone ? 1 : mix->nodes) == 0);
	for (uint32_t i = 0; i < mix->nodes; i++) {
		nodes[i].arm_seq = order++;
		out[i] = &nodes[i];
	}
	for (uint32_t i = 0; i < mix->operations; i++) {
		unsigned choice = (unsigned)random_below(16);
		struct node *node;

		if (outside && (model.count == 0 || choice >= mix->removes + mix->takes ||
				random_below(4) == 0)) {
			uint64_t which = random_below(outside);

			node = out[which];
			out[which] = out[--outside];
			node->due_ns = now_ns + random_below(mix->span_ns);
			if (random_below(16) >= mix->old_orders)
				node->arm_seq = order++;
			model_put(&model, node);
			asynctimer__queue_put(&queue, node);
		} else if (choice < mix->removes) {
			node = model.sorted[random_below(model.count)];
			model_remove(&model, node);
			asynctimer__queue_remove(&queue, node);
			out[outside++] = node;
		} else {
			node = asynctimer__queue_first(&queue);
			require(node == model.sorted[0]);
			now_ns = node->due_ns;
			model_remove(&model, node);
			asynctimer__queue_take(&queue, UINT64_MAX);
			out[outside++] = node;
		}
		if (random_below(64) == 0 && !mix->alone) {
			/* At least what is in there, at most what there is. */
			uint32_t count = model.count + (uint32_t)random_below(outside + 1);

			require(reserve(&queue, count ? count : 1) == 0);
			require(reserve(&queue, mix->nodes) == 0);
		}
		if (i % mix->look == 0)
			check_against(&queue, &model);
	}
	while (model.count) {
		require(asynctimer__queue_first(&queue) == model.sorted[0]);
		asynctimer__queue_take(&queue, UINT64_MAX);
		model_remove(&model, model.sorted[0]);
		if (model.count % mix->look == 0)
			check_against(&queue, &model);
	}
	check_against(&queue, &model);
	discard(&queue);
	free(model.sorted);
	free(out);
	free(nodes);
}

START_TEST(random_operations_do_as_a_sorted_array)
{
	for (unsigned i = 0; i < 20; i++)
		random_operations(&(struct mix){ .nodes = 1 + 10 * i, .operations = 5000,
			.span_ns = 1000, .removes = i % 8, .takes = 8, .look = 1 });
}
END_TEST

START_TEST(ties_leave_in_armed_order)
{
	for (unsigned i = 0; i < 10; i++)
		random_operations(&(struct mix){ .nodes = 100,
						 .operations = 10000,
						 .span_ns = 1 + i,
						 .removes = 4,
						 .takes = 6,
						 .look = 1 });
}
END_TEST

START_TEST(order_wraps_around)
{
	random_operations(&(struct mix){ .nodes = 100, .operations = 20000, .span_ns = 4,
		.first_order = ORDERS - 5000, .removes = 3, .takes = 7, .look = 1 });
	random_operations(&(struct mix){ .nodes = 100, .operations = 20000, .span_ns = 4,
		.first_order = ORDERS / 2 - 5000, .removes = 3, .takes = 7, .look = 1 });
}
END_TEST

/* In lists and, where there is room for one list alone, in the heap; whichever was put first. */
static void tie(uint64_t first_order, uint64_t gap, bool reverse, uint32_t room)
{
	struct node nodes[3] = { { .due_ns = 50 }, { .due_ns = 50 }, { .due_ns = 60 } };
	struct queue queue = { 0 };

	require(reserve(&queue, room) == 0);
	if (room == 1)
		queue.lists_room = 1;
	nodes[0].arm_seq = first_order;
	nodes[1].arm_seq = first_order + gap;
	nodes[2].arm_seq = first_order;
	asynctimer__queue_put(&queue, &nodes[2]);
	asynctimer__queue_put(&queue, &nodes[reverse]);
	asynctimer__queue_put(&queue, &nodes[!reverse]);
	check_queue(&queue, 3);
	for (unsigned i = 0; i < 3; i++)
		require(asynctimer__queue_take(&queue, UINT64_MAX) == &nodes[i]);
	discard(&queue);
}

START_TEST(ties_leave_in_armed_order_however_many_armings_lie_between)
{
	static const uint64_t bases[] = { 0, INT32_MAX, UINT32_MAX, ORDERS / 2 - 1, ORDERS - 1 };
	static const uint64_t gaps[] = { 1, INT32_MAX, UINT64_C(1) << 31, UINT32_MAX,
					 UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1,
					 ORDERS / 2 - 1 };

	for (unsigned i = 0; i < sizeof(bases) / sizeof(bases[0]); i++)
		for (unsigned j = 0; j < sizeof(gaps) / sizeof(gaps[0]); j++)
			for (unsigned k = 0; k < 4; k++)
				tie(bases[i], gaps[j], k & 1, k & 2 ? 1 : 16);
}
END_TEST

START_TEST(an_old_order_goes_before_newer_ones)
{
	for (unsigned i = 0; i < 10; i++)
		random_operations(&(struct mix){ .nodes = 60, .operations = 10000, .span_ns = 3,
			.first_order = ORDERS - 2000, .removes = 4, .takes = 5,
			.old_orders = 1 + i, .look = 1 });
}
END_TEST

/* So far back that most puts need a list of their own, and then there are none left. */
START_TEST(beyond_all_lists_nodes_stand_alone)
{
	random_operations(&(struct mix){ .nodes = 30000, .operations = 100000,
		.span_ns = UINT64_C(1) << 40, .removes = 5, .takes = 5, .old_orders = 2,
		.look = 5000 });
}
END_TEST

/* In the heap, which more random puts than a test has time for would take to be reached. */
START_TEST(nodes_that_stand_alone_do_as_a_sorted_array)
{
	for (unsigned i = 0; i < 12; i++)
		random_operations(&(struct mix){ .nodes = 20 + 20 * i, .operations = 5000,
			.span_ns = i % 3 ? 1000 : 4, .removes = i % 8, .takes = 6,
			.old_orders = i % 2, .look = 1, .alone = true });
}
END_TEST

START_TEST(descending_due_times_leave_ascending)
{
	enum { COUNT = 6000 };
	static struct node nodes[COUNT];
	struct queue queue = { 0 };

	require(reserve(&queue, COUNT) == 0);
	for (uint32_t i = 0; i < COUNT; i++) {
		nodes[i] = (struct node){ .due_ns = 10 * (COUNT - i), .arm_seq = i };
		asynctimer__queue_put(&queue, &nodes[i]);
		if (i % 500 == 0)
			check_queue(&queue, i + 1);
	}
	require(queue.lists_used == LISTS_MAX);
	require(nodes[COUNT - 1].list_or_rank >= PLACE_HEAP);
	for (uint32_t i = 0; i < COUNT / 3; i++) {
		/* Two of three go by removal, from lists and from the heap itself. */
		asynctimer__queue_remove(&queue, &nodes[3 * i]);
		asynctimer__queue_remove(&queue, &nodes[3 * i + 1]);
		if (i % 100 == 0)
			check_queue(&queue, COUNT - 2 * (i + 1));
	}
	for (uint32_t i = COUNT / 3; i--;) {
		require(asynctimer__queue_first(&queue) == &nodes[3 * i + 2]);
		asynctimer__queue_take(&queue, UINT64_MAX);
		if (i % 100 == 0)
			check_queue(&queue, i);
	}
	discard(&queue);
}
END_TEST

/*
 * What a reactor does: each node taken is due again one interval later. Then
 * nothing ever goes in before what was last taken, so the order shows by itself.
 */

struct load {
	uint32_t nodes;
	uint32_t ticks;
	uint64_t base_ns;		/* interval = base + step * (which node, modulo kinds) */
	uint64_t step_ns;
	uint32_t kinds;
	unsigned restarts;		/* of 16: another node is removed and put anew */
	uint32_t lists_max;		/* no more may be in use in the end */
};

static uint64_t load_interval_ns(const struct load *load, uint32_t i)
{
	return load->base_ns + load->step_ns * (i % load->kinds);
}

static void run_load(const struct load *load)
{
	struct node *nodes = calloc(load->nodes, sizeof(*nodes));
	struct queue queue = { 0 };
	struct node last = { .due_ns = 0 };
	uint64_t order = ORDERS - load->ticks / 2;

	require(reserve(&queue, load->nodes) == 0);
	last.arm_seq = order - 1;
	for (uint32_t i = 0; i < load->nodes; i++) {
		nodes[i].due_ns = 1 + random_below(load_interval_ns(load, i));
		nodes[i].arm_seq = order++;
		asynctimer__queue_put(&queue, &nodes[i]);
	}
	for (uint32_t i = 0; i < load->ticks; i++) {
		struct node *node = asynctimer__queue_first(&queue);

		require(node_before(&last, node));
		last = *node;
		asynctimer__queue_take(&queue, UINT64_MAX);
		node->due_ns += load_interval_ns(load, (uint32_t)(node - nodes));
		node->arm_seq = order++;
		asynctimer__queue_put(&queue, node);
		if (random_below(16) < load->restarts) {
			uint32_t which = (uint32_t)random_below(load->nodes);

			asynctimer__queue_remove(&queue, &nodes[which]);
			nodes[which].due_ns = last.due_ns + load_interval_ns(load, which);
			nodes[which].arm_seq = order++;
			asynctimer__queue_put(&queue, &nodes[which]);
		}
		if (i % 4096 == 0)
			check_queue(&queue, load->nodes);
	}
	check_queue(&queue, load->nodes);
	require(queue.lists_used <= load->lists_max);
	for (uint32_t i = load->nodes; i--;) {
		struct node *node = asynctimer__queue_first(&queue);

		require(node_before(&last, node));
		last = *node;
		asynctimer__queue_take(&queue, UINT64_MAX);
	}
	check_queue(&queue, 0);
	discard(&queue);
	free(nodes);
}

START_TEST(one_interval_needs_one_list)
{
	/* The anchors were random, but after a round each is due after all others. */
	run_load(&(struct load){ 5000, 200000, 1000000, 0, 1, 0, 1 });
}
END_TEST

START_TEST(sixteen_intervals_need_few_lists)
{
	run_load(&(struct load){ 5000, 200000, 1000000, 777777, 16, 0, 16 });
}
END_TEST

START_TEST(all_intervals_different)
{
	run_load(&(struct load){ 20000, 200000, 1000000, 331, 20000, 0, LISTS_MAX });
}
END_TEST

START_TEST(endless_stop_and_start)
{
	run_load(&(struct load){ 5000, 200000, 1000000, 0, 1, 16, 1 });
	run_load(&(struct load){ 5000, 200000, 1000000, 1013, 5000, 16, LISTS_MAX });
}
END_TEST

START_TEST(stop_and_start_of_one_leaves_no_trace)
{
	struct node nodes[3] = { { .due_ns = 1000 }, { .due_ns = 2000 }, { .due_ns = 500 } };
	struct queue queue = { 0 };

	require(reserve(&queue, 3) == 0);
	for (uint32_t i = 0; i < 3; i++) {
		nodes[i].arm_seq = i;
		asynctimer__queue_put(&queue, &nodes[i]);
	}
	for (uint32_t i = 0; i < 1000000; i++) {
		struct node *node = &nodes[i % 3];

		asynctimer__queue_remove(&queue, node);
		node->arm_seq = 3 + i;
		asynctimer__queue_put(&queue, node);
		require(queue.lists_used <= 3);
	}
	check_queue(&queue, 3);
	discard(&queue);
}
END_TEST

START_TEST(lists_empty_and_fill_again)
{
	enum { COUNT = 64 };
	struct node nodes[COUNT] = { { .due_ns = 0 } };
	struct queue queue = { 0 };
	uint32_t order = 0;

	require(reserve(&queue, COUNT) == 0);
	for (unsigned round = 0; round < 500; round++) {
		uint32_t count = 1 + (uint32_t)random_below(COUNT);
		uint64_t last_ns = 0;

		/* Runs of descending and ascending times make as many lists as there are runs. */
		for (uint32_t i = 0; i < count; i++) {
			nodes[i].due_ns = 1000 + (i % 7) * 100 - (i / 7) * 10;
			nodes[i].arm_seq = order++;
			asynctimer__queue_put(&queue, &nodes[i]);
			check_queue(&queue, i + 1);
		}
		for (uint32_t i = count; i--;) {
			const struct node *node = asynctimer__queue_first(&queue);

			require(node->due_ns >= last_ns);
			last_ns = node->due_ns;
			asynctimer__queue_take(&queue, UINT64_MAX);
			check_queue(&queue, i);
		}
		require(!asynctimer__queue_first(&queue));
		require(queue.lists_used == 0);
	}
	discard(&queue);
}
END_TEST

START_TEST(an_emptied_list_takes_what_fits_before_the_next)
{
	struct node nodes[] = { { .due_ns = 100 }, { .due_ns = 50 }, { .due_ns = 70 }, { .due_ns = 60 } };
	struct queue queue = { 0 };

	require(reserve(&queue, 4) == 0);
	for (uint32_t i = 0; i < 4; i++) {
		nodes[i].arm_seq = i;
		asynctimer__queue_put(&queue, &nodes[i]);
		if (i == 1)
			asynctimer__queue_remove(&queue, &nodes[0]);
	}
	check_queue(&queue, 3);
	require(queue.lists_used == 2);
	discard(&queue);
}
END_TEST

START_TEST(the_tree_shrinks_once_a_quarter_of_it_is_used)
{
	struct node nodes[8] = { { .due_ns = 0 } };
	struct queue queue = { 0 };

	require(reserve(&queue, 8) == 0);
	for (uint32_t i = 0; i < 8; i++) {
		nodes[i].due_ns = 100 - i;
		asynctimer__queue_put(&queue, &nodes[i]);
	}
	for (uint32_t left = 8; left > 2; left--) {
		require(queue.leaves == 8 && queue.lists_used == left);
		asynctimer__queue_remove(&queue, &nodes[left - 1]);
	}
	require(queue.leaves == 4 && queue.lists_used == 2);
	check_queue(&queue, 2);
	discard(&queue);
}
END_TEST

START_TEST(an_empty_queue_has_nothing)
{
	struct queue queue = { 0 };
	struct node node = { .due_ns = 7 };

	ck_assert_ptr_null(asynctimer__queue_first(&queue));
	ck_assert_uint_eq(asynctimer__queue_second_ns(&queue), UINT64_MAX);
	ck_assert_int_eq(reserve(&queue, 1), 0);
	ck_assert_ptr_null(asynctimer__queue_first(&queue));
	asynctimer__queue_put(&queue, &node);
	ck_assert_ptr_eq(asynctimer__queue_first(&queue), &node);
	ck_assert_uint_eq(asynctimer__queue_second_ns(&queue), UINT64_MAX);
	asynctimer__queue_take(&queue, UINT64_MAX);
	ck_assert_ptr_null(asynctimer__queue_first(&queue));
	discard(&queue);
	discard(&(struct queue){ 0 });
}
END_TEST

START_TEST(reserve_gives_room_back)
{
	struct queue queue = { 0 };

	ck_assert_int_eq(reserve(&queue, 100000), 0);
	ck_assert_uint_eq(queue.lists_room, LISTS_MAX);
	for (uint32_t count = 100000; count;) {
		count /= 2;
		ck_assert_int_eq(reserve(&queue, count), 0);
		ck_assert_uint_le(queue.lists_room, 4 * count + 16);
	}
	discard(&queue);
}
END_TEST

START_TEST(room_grows_by_more_than_one_at_a_time)
{
	struct queue queue = { 0 };
	unsigned moves = 0;

	for (uint32_t count = 1; count <= 100000; count++) {
		const struct list *lists = queue.lists;

		require(reserve(&queue, count) == 0);
		moves += queue.lists != lists;
	}
	ck_assert_uint_lt(moves, 10);
	discard(&queue);
}
END_TEST

/* Each needs a list of its own, or stands alone: the earlier a node, the later its list. */
static void put_descending(struct queue *queue, struct node *nodes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		nodes[i] = (struct node){ .due_ns = count - i, .arm_seq = i };
		asynctimer__queue_put(queue, &nodes[i]);
	}
}

/* The list of the earliest. */
START_TEST(a_last_list_keeps_its_room_however_few_nodes_there_are)
{
	enum { COUNT = 40 };
	struct node nodes[COUNT];
	struct queue queue = { 0 };
	uint32_t room;

	require(reserve(&queue, COUNT) == 0);
	room = queue.lists_room;
	put_descending(&queue, nodes, COUNT);
	for (uint32_t i = 0; i < COUNT - 1; i++)
		asynctimer__queue_remove(&queue, &nodes[i]);
	require(queue.lists_used == COUNT);
	require(reserve(&queue, 1) == 0);
	require(queue.lists_room == room);
	check_queue(&queue, 1);
	require(asynctimer__queue_take(&queue, COUNT) == &nodes[COUNT - 1]);
	while (queue.lists_room > 16) {
		room = queue.lists_room;
		require(reserve(&queue, 1) == 0);
		require(queue.lists_room < room);
	}
	check_queue(&queue, 0);
	discard(&queue);
}
END_TEST

START_TEST(nodes_that_stand_alone_are_all_there_is_left)
{
	enum { COUNT = 20 };
	struct node nodes[COUNT];
	struct queue queue = { 0 };

	require(reserve(&queue, 1) == 0);
	put_descending(&queue, nodes, COUNT);
	for (uint32_t i = 0; i < queue.lists_room; i++)
		asynctimer__queue_remove(&queue, &nodes[i]);
	require(queue.lists_used == 0);
	for (uint32_t i = COUNT; i-- > queue.lists_room;) {
		require(asynctimer__queue_first(&queue) == &nodes[i]);
		require(asynctimer__queue_second_ns(&queue) ==
			(i > queue.lists_room ? nodes[i - 1].due_ns : UINT64_MAX));
		require(asynctimer__queue_take(&queue, UINT64_MAX) == &nodes[i]);
	}
	check_queue(&queue, 0);
	discard(&queue);
}
END_TEST

START_TEST(reserve_without_memory_changes_nothing)
{
	enum { COUNT = 1000 };
	static struct node nodes[COUNT];
	struct queue queue = { 0 };
	struct model model = { malloc((COUNT + 1) * sizeof(struct node *)), 0 };
	unsigned failures = 0;

	for (uint32_t count = 0; count < COUNT; count += 97) {
		/* Each call that this takes fails in turn; then none does: lists stay that have
		 * come. */
		for (int which = 1;; which++) {
			int r;

			memalign_fails = which;
			r = reserve(&queue, 3 * count + 97);
			if (memalign_fails) {
				ck_assert_int_eq(r, 0);
				break;
			}
			ck_assert_int_eq(r, -ENOMEM);
			failures++;
			check_against(&queue, &model);
		}
		memalign_fails = 0;
		for (uint32_t i = count; i < count + 97 && i < COUNT; i++) {
			nodes[i] = (struct node){ .due_ns = random_below(1000), .arm_seq = i };
			asynctimer__queue_put(&queue, &nodes[i]);
			model_put(&model, &nodes[i]);
		}
		check_against(&queue, &model);
	}
	ck_assert_uint_ge(failures, 9);
	while (model.count) {
		require(asynctimer__queue_first(&queue) == model.sorted[0]);
		asynctimer__queue_take(&queue, UINT64_MAX);
		model_remove(&model, model.sorted[0]);
		/* To give room back is no reason to fail. */
		memalign_fails = 1 + (int)random_below(3);
		require(reserve(&queue, model.count + 1) == 0);
		memalign_fails = 0;
		check_against(&queue, &model);
	}
	discard(&queue);
	free(model.sorted);
}
END_TEST

int main(void)
{
	return RUN_TESTS("queue", random_operations_do_as_a_sorted_array, ties_leave_in_armed_order,
			 order_wraps_around,
			 ties_leave_in_armed_order_however_many_armings_lie_between,
			 an_old_order_goes_before_newer_ones,
			 beyond_all_lists_nodes_stand_alone,
			 nodes_that_stand_alone_do_as_a_sorted_array,
			 descending_due_times_leave_ascending,
			 one_interval_needs_one_list, sixteen_intervals_need_few_lists,
			 all_intervals_different, endless_stop_and_start,
			 stop_and_start_of_one_leaves_no_trace, lists_empty_and_fill_again,
			 an_emptied_list_takes_what_fits_before_the_next,
			 the_tree_shrinks_once_a_quarter_of_it_is_used,
			 an_empty_queue_has_nothing, reserve_gives_room_back,
			 room_grows_by_more_than_one_at_a_time,
			 a_last_list_keeps_its_room_however_few_nodes_there_are,
			 nodes_that_stand_alone_are_all_there_is_left,
			 reserve_without_memory_changes_nothing);
}

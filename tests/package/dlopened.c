/* SPDX-License-Identifier: MIT */
/*
 * dlopened LIBRARY: loads it as a plugin would be, and has threads call a
 * function each, the first of the library that they call. What they allocate
 * meanwhile must be nothing; with glibc, what the dynamic linker allocates for
 * them counts, too.
 * dlopened LIBRARY again: loads it, uses it and unloads it many times, of which
 * each must leave the process as large as the one before.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "asynctimer.h"

/* This thread's allocations count. */
static __thread bool counts;
static unsigned allocations;

#ifdef __GLIBC__
static void count(void)
{
	if (counts)
		__atomic_add_fetch(&allocations, 1, __ATOMIC_SEQ_CST);
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
	count();
	return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
	count();
	return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size)
{
	count();
	return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	count();
	return __libc_memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
	void *memory = aligned_alloc(alignment, size);

	if (!memory)
		return ENOMEM;
	*ret = memory;
	return 0;
}
#endif

static __typeof__(asynctimer_reactor_new) *reactor_new;
static __typeof__(asynctimer_reactor_free) *reactor_free;
static __typeof__(asynctimer_reactor_run) *reactor_run;
static __typeof__(asynctimer_reactor_dispatch) *reactor_dispatch;
static __typeof__(asynctimer_reactor_restart) *reactor_restart;
static __typeof__(asynctimer_reactor_stop) *reactor_stop;
static __typeof__(asynctimer_new_shared) *new_shared;
static __typeof__(asynctimer_start_after) *start_after;
static __typeof__(asynctimer_stop) *stop;
static __typeof__(asynctimer_complete) *complete;

static void *find(void *library, const char *name)
{
	void *symbol = dlsym(library, name);

	if (!symbol) {
		puts(dlerror());
		exit(EXIT_FAILURE);
	}
	return symbol;
}

static void find_all(void *library)
{
	reactor_new = find(library, "asynctimer_reactor_new");
	reactor_free = find(library, "asynctimer_reactor_free");
	reactor_run = find(library, "asynctimer_reactor_run");
	reactor_dispatch = find(library, "asynctimer_reactor_dispatch");
	reactor_restart = find(library, "asynctimer_reactor_restart");
	reactor_stop = find(library, "asynctimer_reactor_stop");
	new_shared = find(library, "asynctimer_new_shared");
	start_after = find(library, "asynctimer_start_after");
	stop = find(library, "asynctimer_stop");
	complete = find(library, "asynctimer_complete");
}

static struct asynctimer_reactor *reactor;
static struct asynctimer *timer;
static uint64_t number;

static int defer(struct asynctimer *of, const struct asynctimer_tick *tick, void *data)
{
	(void)of;
	(void)data;
	number = tick->number;
	reactor_stop(reactor);
	return ASYNCTIMER_PENDING;
}

/* Each is the first that its thread calls; they come in this order. */

static int call_start(void)
{
	return start_after(timer, 0);
}

static int call_dispatch(void)
{
	return reactor_dispatch(reactor, 0);
}

static int call_run(void)
{
	return reactor_run(reactor);
}

static int call_complete(void)
{
	return complete(timer, number, 0);
}

static int call_stop(void)
{
	return stop(timer);
}

#define STEPS 5

static struct step {
	const char *name;
	int (*call)(void);
	int expected;
	int result;
	pthread_t thread;
	sem_t turn;
} steps[STEPS] = {
	{ .name = "start", .call = call_start, .expected = 1 },
	{ .name = "dispatch", .call = call_dispatch, .expected = 1 },
	{ .name = "run", .call = call_run, .expected = 0 },
	{ .name = "complete", .call = call_complete, .expected = 0 },
	{ .name = "stop", .call = call_stop, .expected = 1 },
};

static void *take_step(void *data)
{
	struct step *step = data;

	while (sem_wait(&step->turn) < 0)
		;
	counts = true;
	step->result = step->call();
	counts = false;
	return NULL;
}

static void begin_threads(void)
{
	for (struct step *step = steps; step < steps + STEPS; step++) {
		sem_init(&step->turn, 0, 0);
		if (pthread_create(&step->thread, NULL, take_step, step))
			exit(EXIT_FAILURE);
	}
}

static bool take_steps(const char *when)
{
	bool passed = true;

	reactor_restart(reactor);
	for (struct step *step = steps; step < steps + STEPS; step++) {
		unsigned before = allocations;

		sem_post(&step->turn);
		pthread_join(step->thread, NULL);
		printf("%s, first called in a thread that began %s: returned %d, %u allocations\n",
		       step->name, when, step->result, allocations - before);
		passed &= step->result == step->expected && allocations == before;
	}
	return passed;
}

static void *load(const char *path)
{
	void *library = dlopen(path, RTLD_NOW);

	if (!library) {
		puts(dlerror());
		exit(EXIT_FAILURE);
	}
	find_all(library);
	return library;
}

/* Of this process, in pages. */
static unsigned long mapped(void)
{
	char text[64] = "";
	int fd = open("/proc/self/statm", O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		exit(EXIT_FAILURE);
	close(fd);
	return strtoul(text, NULL, 10);
}

static int come_and_go(const char *path)
{
	unsigned long before = 0, after;

	for (unsigned i = 0; i < 200; i++) {
		void *library = load(path);

		if (reactor_new(&reactor) < 0 || reactor_free(reactor) < 0)
			return EXIT_FAILURE;
		dlclose(library);
		if (i == 20)
			before = mapped();
	}
	after = mapped();
	printf("%lu pages after 20 times, %lu after 200\n", before, after);
	return after == before ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	bool passed;

	if (argc == 3)
		return come_and_go(argv[1]);
	begin_threads();
	load(argv[1]);
	if (reactor_new(&reactor) < 0 ||
	    new_shared(reactor, CLOCK_MONOTONIC, 3600 * ASYNCTIMER_SECOND, ASYNCTIMER_FIXED_SCHEDULE,
		       0, defer, NULL, &timer) < 0)
		return EXIT_FAILURE;
	passed = take_steps("before the library came");
	begin_threads();
	passed &= take_steps("later");
	return passed ? EXIT_SUCCESS : EXIT_FAILURE;
}

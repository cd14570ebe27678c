/* SPDX-License-Identifier: MIT */
/*
 * The calls that the library makes, each of which a test can count and make
 * fail: programs that link wrap.c and the internal library with $(wrap_flags).
 */
#ifndef WRAP_H
#define WRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wrap_call {
	WRAP_NONE,
	WRAP_MALLOC,
	WRAP_CALLOC,
	WRAP_REALLOC,
	WRAP_MEMALIGN,
	WRAP_TSEARCH,
	WRAP_MMAP,
	WRAP_MUNMAP,
	WRAP_MADVISE,
	WRAP_MPROTECT,
	WRAP_ATTR_INIT,		/* of a mutex or a condition */
	WRAP_MUTEX_INIT,
	WRAP_COND_INIT,
	WRAP_COND_WAIT,		/* and timedwait */
	WRAP_EPOLL_CREATE1,
	WRAP_EPOLL_ADD,
	WRAP_EPOLL_DEL,
	WRAP_EPOLL_WAIT,
	WRAP_PPOLL,
	WRAP_EVENTFD,
	WRAP_TIMERFD_CREATE,
	WRAP_SETTIME,
	WRAP_READ,
	WRAP_WRITE,
	WRAP_CLOSE,
	WRAP_CLOCK_GETTIME,
	WRAP_FCNTL,
	WRAP_CALLS
};

/*
 * The at-th call from here on (1: the next) fails times times in a row with
 * error. 0 is no error but nothing done: no event, no bytes, a wait that ends at
 * once. happens: the call takes effect all the same.
 */
struct wrap_fault {
	enum wrap_call call;
	unsigned at;
	unsigned times;
	int error;
	bool happens;
};
void wrap_fail(struct wrap_fault fault);

/* No call fails from here on; how many did. */
unsigned wrap_end(void);

/* How many calls failed so far for wrap_fail. */
unsigned wrap_failed(void);

/* Only what a thread calls inside is the library's: Check and the tests make such calls too. */
extern __thread bool wrap_inside;

/* Of the library: calls made, and what it holds. */
extern unsigned wrap_calls[WRAP_CALLS];
extern int wrap_memory;		/* allocations, and nodes of tsearch(3) */
extern int wrap_fds;
extern size_t wrap_mapped;	/* bytes */

/* Called before the library frees memory, if set. */
extern void (*wrap_frees)(void);

const char *wrap_name(enum wrap_call call);

/* It takes memory, a descriptor or a place in the kernel: what can run out. */
bool wrap_acquires(enum wrap_call call);

#endif

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "wrap.h"

__thread bool wrap_inside;
unsigned wrap_calls[WRAP_CALLS];
int wrap_memory;
int wrap_fds;
size_t wrap_mapped;
void (*wrap_frees)(void);

static struct wrap_fault plan;
static unsigned seen;		/* of plan.call */
static unsigned failed;

#define add(counter, n) __atomic_add_fetch((counter), (n), __ATOMIC_SEQ_CST)
#define get(counter) __atomic_load_n((counter), __ATOMIC_SEQ_CST)

/* plan.call is the switch: all else is set before it and looked at after it. */
void wrap_fail(struct wrap_fault fault)
{
	plan.at = fault.at;
	plan.times = fault.times;
	plan.error = fault.error;
	plan.happens = fault.happens;
	seen = 0;
	failed = 0;
	__atomic_store_n(&plan.call, fault.call, __ATOMIC_SEQ_CST);
}

unsigned wrap_end(void)
{
	__atomic_store_n(&plan.call, WRAP_NONE, __ATOMIC_SEQ_CST);
	return get(&failed);
}

unsigned wrap_failed(void)
{
	return get(&failed);
}

const char *wrap_name(enum wrap_call call)
{
	static const char *const names[WRAP_CALLS] = {
		"none", "malloc", "calloc", "realloc", "posix_memalign", "tsearch", "mmap",
		"munmap", "madvise", "mprotect", "pthread_..attr_init",
		"pthread_mutex_init", "pthread_cond_init",
		"pthread_cond_wait", "epoll_create1", "epoll_ctl ADD",
		"epoll_ctl DEL", "epoll_wait", "ppoll", "eventfd", "timerfd_create",
		"timerfd_settime", "read", "write", "close", "clock_gettime", "fcntl",
	};

	return names[call];
}

bool wrap_acquires(enum wrap_call call)
{
	switch (call) {
	case WRAP_MALLOC:
	case WRAP_CALLOC:
	case WRAP_REALLOC:
	case WRAP_MEMALIGN:
	case WRAP_TSEARCH:
	case WRAP_MMAP:
	case WRAP_MADVISE:
	case WRAP_MPROTECT:
	case WRAP_ATTR_INIT:
	case WRAP_MUTEX_INIT:
	case WRAP_COND_INIT:
	case WRAP_EPOLL_CREATE1:
	case WRAP_EPOLL_ADD:
	case WRAP_EVENTFD:
	case WRAP_TIMERFD_CREATE:
	case WRAP_FCNTL:
		return true;
	default:
		return false;
	}
}

/* This call is to fail, with errno set. */
static bool fails(enum wrap_call call)
{
	unsigned n;

	if (!wrap_inside)
		return false;
	add(&wrap_calls[call], 1);
	if (call != get(&plan.call))
		return false;
	n = add(&seen, 1);
	if (n < plan.at || n - plan.at >= plan.times)
		return false;
	add(&failed, 1);
	errno = plan.error;
	return true;
}

/* What a call that fails returns, result being what it does else. */
#define WRAP(call, failure, result)                                                                \
	do {                                                                                       \
		if (fails(call)) {                                                                 \
			if (plan.happens) {                                                        \
				(void)!(result);                                                   \
				errno = plan.error;                                                \
			}                                                                          \
			return failure;                                                            \
		}                                                                                  \
		return result;                                                                     \
	} while (0)

#define ERRNO (plan.error ? -1 : 0)

static void *held(void *memory)
{
	if (wrap_inside && memory)
		add(&wrap_memory, 1);
	return memory;
}

static int opened(int fd)
{
	if (wrap_inside && fd >= 0)
		add(&wrap_fds, 1);
	return fd;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	WRAP(WRAP_MALLOC, NULL, held(__real_malloc(size)));
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
	WRAP(WRAP_CALLOC, NULL, held(__real_calloc(count, size)));
}

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
	WRAP(WRAP_REALLOC, NULL, memory ? __real_realloc(memory, size) : held(__real_realloc(NULL, size)));
}

int __real_posix_memalign(void **ret, size_t alignment, size_t size);
int __wrap_posix_memalign(void **ret, size_t alignment, size_t size);
int __wrap_posix_memalign(void **ret, size_t alignment, size_t size)
{
	int r;

	if (fails(WRAP_MEMALIGN))
		return plan.error;
	r = __real_posix_memalign(ret, alignment, size);
	if (r == 0)
		held(*ret);
	return r;
}

void __real_free(void *memory);
void __wrap_free(void *memory);
void __wrap_free(void *memory)
{
	if (wrap_inside && memory) {
		add(&wrap_memory, -1);
		if (wrap_frees)
			wrap_frees();
	}
	__real_free(memory);
}

/* A new key is one node more; one that is there already is found first, by tfind. */
void *__real_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *))
{
	WRAP(WRAP_TSEARCH, NULL, held(__real_tsearch(key, root, compare)));
}

void *__real_tdelete(const void *key, void **root, int (*compare)(const void *, const void *));
void *__wrap_tdelete(const void *key, void **root, int (*compare)(const void *, const void *));
void *__wrap_tdelete(const void *key, void **root, int (*compare)(const void *, const void *))
{
	void *parent = __real_tdelete(key, root, compare);

	if (wrap_inside && parent)
		add(&wrap_memory, -1);
	return parent;
}

/* off_t may be wider than long, and the function then another; the library's offset is 0. */
void *__real_mmap(void *at, size_t length, int protection, int flags, int fd, long offset);
void *__wrap_mmap(void *at, size_t length, int protection, int flags, int fd, long offset);
void *__wrap_mmap64(void *at, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t length, int protection, int flags, int fd, long offset)
{
	void *memory;

	if (fails(WRAP_MMAP))
		return MAP_FAILED;
	memory = __real_mmap(at, length, protection, flags, fd, offset);
	if (wrap_inside && memory != MAP_FAILED)
		add(&wrap_mapped, length);
	return memory;
}

void *__wrap_mmap64(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
	return __wrap_mmap(at, length, protection, flags, fd, (long)offset);
}

int __real_munmap(void *at, size_t length);
int __wrap_munmap(void *at, size_t length);

/* Pages are unmapped whole, and the length may be that of what is in them. */
static int unmap(void *at, size_t length)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (wrap_inside)
		add(&wrap_mapped, -((length + page - 1) / page * page));
	return __real_munmap(at, length);
}

int __wrap_munmap(void *at, size_t length)
{
	WRAP(WRAP_MUNMAP, -1, unmap(at, length));
}

int __real_madvise(void *at, size_t length, int advice);
int __wrap_madvise(void *at, size_t length, int advice);
int __wrap_madvise(void *at, size_t length, int advice)
{
	WRAP(WRAP_MADVISE, -1, __real_madvise(at, length, advice));
}

int __real_mprotect(void *at, size_t length, int protection);
int __wrap_mprotect(void *at, size_t length, int protection);
int __wrap_mprotect(void *at, size_t length, int protection)
{
	WRAP(WRAP_MPROTECT, -1, __real_mprotect(at, length, protection));
}

int __real_pthread_mutexattr_init(pthread_mutexattr_t *attributes);
int __wrap_pthread_mutexattr_init(pthread_mutexattr_t *attributes);
int __wrap_pthread_mutexattr_init(pthread_mutexattr_t *attributes)
{
	WRAP(WRAP_ATTR_INIT, plan.error, __real_pthread_mutexattr_init(attributes));
}

int __real_pthread_condattr_init(pthread_condattr_t *attributes);
int __wrap_pthread_condattr_init(pthread_condattr_t *attributes);
int __wrap_pthread_condattr_init(pthread_condattr_t *attributes)
{
	WRAP(WRAP_ATTR_INIT, plan.error, __real_pthread_condattr_init(attributes));
}

int __real_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
	WRAP(WRAP_MUTEX_INIT, plan.error, __real_pthread_mutex_init(mutex, attributes));
}

int __real_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes)
{
	WRAP(WRAP_COND_INIT, plan.error, __real_pthread_cond_init(cond, attributes));
}

/* Others get the mutex, so that a spurious end can't hold up what is waited for. */
int __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	if (!fails(WRAP_COND_WAIT))
		return __real_pthread_cond_wait(cond, mutex);
	pthread_mutex_unlock(mutex);
	pthread_mutex_lock(mutex);
	return plan.error;
}

int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
				  const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
				  const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
				  const struct timespec *until)
{
	if (!fails(WRAP_COND_WAIT))
		return __real_pthread_cond_timedwait(cond, mutex, until);
	pthread_mutex_unlock(mutex);
	pthread_mutex_lock(mutex);
	return plan.error;
}

int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_create1(int flags)
{
	WRAP(WRAP_EPOLL_CREATE1, -1, opened(__real_epoll_create1(flags)));
}

int __real_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags)
{
	WRAP(WRAP_EVENTFD, -1, opened(__real_eventfd(count, flags)));
}

int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags)
{
	WRAP(WRAP_TIMERFD_CREATE, -1, opened(__real_timerfd_create(clock, flags)));
}

/* The library has it make another descriptor of a file, from a number on. */
/* Counted, but never refused: the one file that the library reads may be missing. */
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	return wrap_inside ? opened(__real_open(path, flags)) : __real_open(path, flags, 0600);
}

int __wrap_open64(const char *path, int flags, ...)
{
	return __wrap_open(path, flags);
}

int __real_fcntl(int fd, int command, int from);
int __wrap_fcntl(int fd, int command, int from);
int __wrap_fcntl64(int fd, int command, int from);
int __wrap___fcntl_time64(int fd, int command, int from);
int __wrap_fcntl(int fd, int command, int from)
{
	WRAP(WRAP_FCNTL, -1, opened(__real_fcntl(fd, command, from)));
}

int __wrap_fcntl64(int fd, int command, int from)
{
	return __wrap_fcntl(fd, command, from);
}

/* Its name in 32 bits, with a 64-bit time. */
int __wrap___fcntl_time64(int fd, int command, int from)
{
	return __wrap_fcntl(fd, command, from);
}

int __real_close(int fd);
static int closed(int fd)
{
	if (wrap_inside)
		add(&wrap_fds, -1);
	return __real_close(fd);
}

int __wrap_close(int fd);
int __wrap_close(int fd)
{
	WRAP(WRAP_CLOSE, -1, closed(fd));
}

int __real_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
	enum wrap_call call = operation == EPOLL_CTL_ADD ? WRAP_EPOLL_ADD : WRAP_EPOLL_DEL;

	WRAP(call, -1, __real_epoll_ctl(epoll_fd, operation, fd, event));
}

int __real_epoll_wait(int fd, struct epoll_event *events, int count, int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int count, int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
	WRAP(WRAP_EPOLL_WAIT, ERRNO, __real_epoll_wait(fd, events, count, timeout));
}

int __real_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		 const sigset_t *mask);
int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		 const sigset_t *mask);
int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		 const sigset_t *mask)
{
	WRAP(WRAP_PPOLL, ERRNO, __real_ppoll(fds, count, timeout, mask));
}

int __real_timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *ret);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *ret);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *ret)
{
	WRAP(WRAP_SETTIME, -1, __real_timerfd_settime(fd, flags, when, ret));
}

ssize_t __real_read(int fd, void *buffer, size_t size);
ssize_t __wrap_read(int fd, void *buffer, size_t size);
ssize_t __wrap_read(int fd, void *buffer, size_t size)
{
	WRAP(WRAP_READ, ERRNO, __real_read(fd, buffer, size));
}

ssize_t __real_write(int fd, const void *buffer, size_t size);
ssize_t __wrap_write(int fd, const void *buffer, size_t size);
ssize_t __wrap_write(int fd, const void *buffer, size_t size)
{
	WRAP(WRAP_WRITE, -1, __real_write(fd, buffer, size));
}

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	WRAP(WRAP_CLOCK_GETTIME, -1, __real_clock_gettime(clock, ret));
}

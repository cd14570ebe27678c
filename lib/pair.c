/* SPDX-License-Identifier: MIT */
/*
 * The two timerfds that wake up all shared timers of a clock.
 *
 * Wake-ups are what costs, so as few of them and of the system calls around
 * them as can be. One of the pair is armed for the earliest wake-up. Once one has
 * fired, and where there is no slack, the other is armed ahead for the wake-up after
 * that: when one fires the kernel has the other queued, and settime is for a later
 * time and touches no hardware. It is never armed nearer than FLOOR_NS: a settime whose
 * time passes meanwhile costs more than that, and when due times come densely
 * the next few share a wake-up. What is due already is run, not armed for.
 * The pair is edge-triggered and not read, for settime takes the readiness away;
 * only on CLOCK_REALTIME it is read, to learn of a set clock. A stop leaves the pair
 * as it is: each of the two may then wake up once for nothing.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "internal.h"
#include "timerfd.h"
#include "wake.h"

#define FLOOR_NS (20 * ASYNCTIMER_MICROSECOND)

static uint64_t min_ns(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

static uint64_t max_ns(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns > b_ns ? a_ns : b_ns;
}

/* From that close to a due time a thread need not wait any more: never more than the limit. */
static uint64_t spin_window_ns(const struct shared *shared)
{
	const struct spin *spin = &shared->reactor->spin;

	return min_ns(asynctimer__spin_lead_ns(spin) + FLOOR_NS, spin->limit_ns);
}

/*
 * When to wake up for a tick without slack: ahead of it, if the reactor spins, and at
 * once if that is soon. The tick that a thread spins for is left to that thread.
 */
static uint64_t ahead_of_ns(const struct shared *shared, uint64_t due_ns, uint64_t now_ns)
{
	const struct asynctimer_reactor *reactor = shared->reactor;

	if (reactor->spins_for)
		return reactor->spins_for == shared && due_ns >= reactor->spins_until_ns ?
			       due_ns + FLOOR_NS : due_ns;
	if (due_ns <= now_ns + spin_window_ns(shared))
		return min_ns(due_ns, now_ns);
	return due_ns - asynctimer__spin_lead_ns(&reactor->spin);
}

/* What to arm for first. Up to now_ns: something is due, or near enough to spin. NEVER: nothing. */
static uint64_t first_wake_ns(struct shared *shared, uint64_t now_ns)
{
	uint64_t wake_ns = asynctimer__shared_wake_ns(shared);
	uint64_t exact_ns = asynctimer__shared_exact_ns(shared);

	if (!shared->reactor->spin.limit_ns || exact_ns == ASYNCTIMER__NEVER)
		return wake_ns;
	if (wake_ns == exact_ns)
		return ahead_of_ns(shared, wake_ns, now_ns);
	return min_ns(wake_ns, ahead_of_ns(shared, exact_ns, now_ns));
}

/* False where the clock turned out to have been set, and the queue is another now. */
static bool arm_fd(struct shared *shared, unsigned which, uint64_t wake_ns)
{
	int r = asynctimer__timerfd_arm_at(shared->pair.fd[which], shared->clock, wake_ns, 0);

	if (r < 0 && r != -ECANCELED) {
		asynctimer__retry(shared->reactor);
		return true;
	}
	shared->pair.armed_ns[which] = wake_ns;
	shared->pair.early[which] = false;
	if (r == 0)
		return true;
	asynctimer__shared_clock_set(shared, asynctimer__now_ns(shared->clock));
	return false;
}

/* Armed for a time that is to come, up to latest_ns. */
static bool is_armed(const struct shared *shared, unsigned which, uint64_t now_ns,
		     uint64_t latest_ns)
{
	return shared->pair.armed_ns[which] > now_ns && shared->pair.armed_ns[which] <= latest_ns;
}

/* The one of the pair to be armed: one that waits for nothing, else one that is early, else the later one. */
static unsigned to_arm(const struct shared *shared, uint64_t now_ns)
{
	for (unsigned i = 0; i < 2; i++)
		if (!is_armed(shared, i, now_ns, ASYNCTIMER__NEVER - 1))
			return i;
	if (shared->pair.early[0] != shared->pair.early[1])
		return shared->pair.early[1];
	return shared->pair.armed_ns[1] > shared->pair.armed_ns[0];
}

/* With nothing due at now_ns: arms the pair, the first for first_ns. False as arm_fd. */
static bool arm_both(struct shared *shared, uint64_t first_ns, uint64_t now_ns)
{
	uint64_t latest_ns = max_ns(first_ns, now_ns + FLOOR_NS);
	unsigned other;
	uint64_t second_ns;

	if (is_armed(shared, 0, now_ns, latest_ns) && !shared->pair.early[0]) {
		other = 1;
	} else if (is_armed(shared, 1, now_ns, latest_ns) && !shared->pair.early[1]) {
		other = 0;
	} else {
		other = !to_arm(shared, now_ns);
		if (!arm_fd(shared, !other, latest_ns))
			return false;
	}
	/* Ahead, when one has fired; and what is early takes back. */
	if (!shared->pair.early[other] &&
	    (!shared->pair.fired || is_armed(shared, other, now_ns, ASYNCTIMER__NEVER - 1)))
		return true;
	shared->pair.fired = false;
	second_ns = asynctimer__shared_second_ns(shared);
	if (second_ns == ASYNCTIMER__NEVER)
		return true;
	second_ns -= asynctimer__spin_lead_ns(&shared->reactor->spin);
	return arm_fd(shared, other, max_ns(second_ns, latest_ns + FLOOR_NS));
}

static bool edge_is_coming(const struct shared *shared, uint64_t now_ns)
{
	return shared->pair.armed_ns[0] <= now_ns || shared->pair.armed_ns[1] <= now_ns;
}

bool asynctimer__pair_arm(struct shared *shared)
{
	uint64_t first_ns, now_ns;

	do {
		now_ns = asynctimer__now_ns(shared->clock);
		shared->pair.looked_ns = now_ns;
		first_ns = first_wake_ns(shared, now_ns);
		if (first_ns == ASYNCTIMER__NEVER)
			return false;
		if (first_ns <= now_ns)
			return !edge_is_coming(shared, now_ns);
	} while (!arm_both(shared, first_ns, now_ns));
	return false;
}

void asynctimer__pair_arm_early(struct shared *shared)
{
	uint64_t now_ns = asynctimer__now_ns(shared->clock);
	uint64_t latest_ns = now_ns + FLOOR_NS;
	unsigned which;

	if (is_armed(shared, 0, now_ns, latest_ns) || is_armed(shared, 1, now_ns, latest_ns))
		return;
	which = to_arm(shared, now_ns);
	arm_fd(shared, which, latest_ns);
	/* Refused, it is as it was. */
	shared->pair.early[which] = shared->pair.armed_ns[which] == latest_ns;
}

bool asynctimer__pair_is_early(const struct shared *shared)
{
	return shared->pair.early[0] || shared->pair.early[1];
}

void asynctimer__pair_event(struct shared *shared, unsigned which)
{
	uint64_t expirations;

	if (!shared->pair.early[which] && shared->pair.armed_ns[which] > shared->pair.looked_ns)
		shared->pair.fired_for_ns = min_ns(shared->pair.fired_for_ns, shared->pair.armed_ns[which]);
	/* What had been armed is no more, so an edge that is coming is one that no thread has got yet. */
	shared->pair.armed_ns[which] = ASYNCTIMER__NEVER;
	shared->pair.early[which] = false;
	shared->pair.fired = true;
	shared->reactor->dirty |= asynctimer__dirty_bit(shared);
	if (shared->clock == CLOCK_REALTIME &&
	    asynctimer__timerfd_take(shared->pair.fd[which], &expirations) == -ECANCELED)
		asynctimer__shared_clock_set(shared, asynctimer__now_ns(shared->clock));
}

bool asynctimer__pair_was_late(struct shared *shared, uint64_t *ret)
{
	uint64_t fired_for_ns = shared->pair.fired_for_ns;
	uint64_t now_ns;

	shared->pair.fired_for_ns = ASYNCTIMER__NEVER;
	if (fired_for_ns == ASYNCTIMER__NEVER)
		return false;
	now_ns = asynctimer__now_ns(shared->clock);
	*ret = now_ns - fired_for_ns;
	/* Unless it was set back meanwhile. */
	return now_ns >= fired_for_ns;
}

uint64_t asynctimer__pair_next_in_ns(struct shared *shared, uint64_t *until_ns, bool *spins)
{
	const struct node *first = asynctimer__shared_first(shared);
	uint64_t exact_ns = asynctimer__shared_exact_ns(shared);
	uint64_t now_ns;

	if (!first)
		return ASYNCTIMER__NEVER;
	now_ns = asynctimer__now_ns(shared->clock);
	if (first->due_ns <= now_ns)
		return 0;
	*spins |= exact_ns - now_ns <= spin_window_ns(shared);
	*until_ns = min_ns(exact_ns, asynctimer__shared_wake_ns(shared));
	return *until_ns - now_ns;
}

static uint64_t pair_id(const struct shared *shared, unsigned which)
{
	return ASYNCTIMER__PAIR_ID + 2 * (uint64_t)(shared - shared->reactor->shared) + which;
}

int asynctimer__pair_open(struct shared *shared)
{
	struct asynctimer_reactor *reactor = shared->reactor;
	unsigned i;
	int r;

	if (shared->pair.is_open || reactor->virtual)
		return 0;
	for (i = 0; i < 2; i++) {
		struct epoll_event event = { .events = EPOLLIN | EPOLLET,
					     .data.u64 = pair_id(shared, i) };

		r = asynctimer__timerfd_new(shared->clock);
		if (r < 0)
			goto close_fds;
		shared->pair.fd[i] = r;
		shared->pair.armed_ns[i] = ASYNCTIMER__NEVER;
		if (epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, shared->pair.fd[i], &event) < 0) {
			r = -errno;
			close(shared->pair.fd[i]);
			goto close_fds;
		}
	}
	shared->pair.is_open = true;
	return 0;

close_fds:
	while (i--)
		close(shared->pair.fd[i]);
	return r;
}

void asynctimer__pair_close(struct shared *shared)
{
	for (unsigned i = 0; shared->pair.is_open && i < 2; i++)
		close(shared->pair.fd[i]);
}

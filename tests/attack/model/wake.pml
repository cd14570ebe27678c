/* SPDX-License-Identifier: MIT */
/*
 * How threads, and a host loop, come to know what is due: lib/lock.c, and what
 * lib/reactor.c, lib/own.c and lib/pair.c do for it, under the same names.
 * All timerfds are edge-triggered. The kernel says each thing once, to one
 * thread, so whoever has taken an edge must act on it or tell others to. An
 * atomic block is a critical section, or the part of one between two points at
 * which the kernel or asynctimer_reactor_stop could change what it sees.
 *
 * The reactor has one clock with up to two shared timers, which have the lowest
 * numbers, and up to two own timers. There are no times. A timer is due or not;
 * shared timers come due in the order of the queue; a timerfd that is armed for
 * a due point expires at some time after it.
 *
 * A lost wake-up is hardly seen as long as time goes on, for the next one makes
 * up for it. So the clock may stand still from any moment on, and whoever stops
 * or starts something may leave that. When nobody can do anything any more, what
 * is due must have been run: see at_rest.
 *
 * Left out: slack, how near a time is, frees, and stops that wait (stop.pml has
 * the last two).
 *
 * The -D's of one setting say who is there and what may happen; one more,
 * BROKEN_x, plants a bug. tests/attack/model/run has the lists.
 */
#ifndef TICKS
#define TICKS 2			/* due points of each timer */
#endif
#ifndef SHARED
#define SHARED 0
#endif
#ifndef OWN
#define OWN 0
#endif
#ifndef RUNNERS
#define RUNNERS 0		/* threads in run */
#endif
#ifndef HOSTS
#define HOSTS 0			/* loops that call dispatch(0) when the descriptor is readable */
#endif
#ifndef REFUSALS
#define REFUSALS 0		/* system calls that fail */
#endif
/*
 * Further settings:
 * EDGES		hosts watch edge-triggered
 * HANGS		a callback may take for ever
 * LEAVES		a thread may return after any turn, as from dispatch(-1)
 * STOPS=n		another thread stops the reactor and restarts it, n times
 * RESTARTS=x		another thread stops timer x and starts it again, or sets its interval
 * CALLBACK_RESTARTS=x	callbacks do
 * DEFERS		another thread may complete a tick
 * DELAY		own timers are FIXED_DELAY
 * ONE_EVENT		is what one epoll_wait has room for
 * SET_BACK		the clock may be, once
 * FORKS		a signal handler does, in a thread that is about to wait
 */
#define TIMERS (SHARED + OWN)
#define NOBODY 255
#define NONE 255

/* The promises. Spin prints the name of the one that it sees broken. */
bool what_is_due_is_run;
bool stopped_threads_leave;
bool never_twice_at_once;
bool never_early;
#define PROMISE(name, condition) assert((condition) || name)

/* Sets of timers and descriptors: timer x is bit x, and so is its own timerfd. */
#define IS_IN(x, set) (((set) >> (x)) & 1)
#define ADD(x, set) set = (set) | (1 << (x))
#define REMOVE(x, set) set = (set) & ~(1 << (x))
#define is_own(x) ((x) >= SHARED)

/* The kernel's */
#define PAIR(i) (TIMERS + (i))
#define EVENTFD 7
#define OFF 0
#define SOON 1			/* at some time */
#define FOR(x) (2 + (x))	/* when timer x, as it is queued now, comes due */
byte ready;			/* descriptors on epoll's ready list, each an edge */
byte readable;			/* own timerfds that are readable */
byte running;			/* own timerfds that will expire */
byte coming;			/* of these: that should have, and whose interrupt is on its way */
byte canceled;			/* own timerfds whose clock was set: read fails */
byte armed_for[2];		/* the pair */
bool written;			/* the eventfd is readable */
bool written_by_child;		/* with 2^32 in it */
byte outer;			/* hosts with EDGES that have one to come */
bool time_stands_still;
bool was_set_back;
byte points[TIMERS];
byte refusals;

/* struct asynctimer, struct own */
byte started;
byte open;
byte due;			/* by the clock */
byte armed;
byte listed;			/* among those that are due, whose order is left open */
byte expired;			/* and has not been read since */
byte counted;			/* a completion has read so of the point that is due */

/* struct asynctimer_reactor, struct shared */
#define CLOCK 1
#define LISTED 2		/* is what lib/ calls ASYNCTIMER__OWN */
byte holder = NOBODY;		/* of the lock */
byte first = NONE;		/* of the queue */
byte second = NONE;
byte waiting;
byte dirty;
byte awaited;			/* which of the pair are armed, or their edge has not been noted */
byte early;			/* which of them are so that another thread looks */
bool woken;
bool retry;
bool stopped;

/* what only the promises look at */
byte in_callback;
byte deferred;
byte runners;			/* in run */
byte gone;			/* from there, for good */
byte dispatches;		/* hosts in dispatch */
byte hung_runners;		/* of these, in a callback for ever */
byte hung_hosts;

#ifdef BROKEN_HOST_FORGOTTEN
#define others_wait (waiting > 0)
#else
#define others_wait (waiting > 0 || HOSTS > 0)
#endif

/* Something has become readable. Threads that wait see for themselves. */
inline tell_hosts()
{
#ifdef EDGES
	outer = (1 << HOSTS) - 1
#else
	skip
#endif
}

inline write_eventfd()
{
	written = true;
	tell_hosts()
}

/* The system call that follows: answers whether it is refused, in refused. */
inline may_be_refused()
{
	if
	:: refused = false
#if REFUSALS
	:: refusals < REFUSALS -> refused = true; refusals++
#endif
	fi
}

inline ask_for_retry()
{
	retry = true;
	woken = true;
	write_eventfd()
}

inline forget_edge(fd)
{
	REMOVE(fd, ready)
}

inline new_edge(fd)
{
	ADD(fd, ready);
	tell_hosts()
}

/* The queue of shared timers */

/* Those that are due come first; the order of the others is open. */
inline put(x)
{
	assert(first != x && second != x);
	if
	:: first == NONE -> first = x
	:: first != NONE && (IS_IN(first, due) || !IS_IN(x, due)) -> second = x
	:: first != NONE && !IS_IN(first, due) -> second = first; first = x
	fi
}

inline dequeue(x)
{
	if
	:: first == x -> first = second; second = NONE
	:: second == x -> second = NONE
	:: else
	fi;
	/* That time stays armed for. */
	if
	:: armed_for[0] == FOR(x) -> armed_for[0] = SOON
	:: else
	fi;
	if
	:: armed_for[1] == FOR(x) -> armed_for[1] = SOON
	:: else
	fi
}

/* The pair */
#if SHARED

/* of_early: its edge shall have another thread look, sooner than the clock asks for. */
inline arm_fd(i, when, of_early)
{
	may_be_refused();
	if
	:: refused -> ask_for_retry()
	:: else ->
		armed_for[i] = when;
		forget_edge(PAIR(i));
		ADD(i, awaited);
		REMOVE(i, early)
	fi;
	if
#ifdef BROKEN_TOLD_BY_A_REFUSED_CALL
	:: of_early -> ADD(i, early)
#else
	:: of_early && !refused -> ADD(i, early)
#endif
	:: else
	fi
}

/* A SOON that is left of another timer may be near enough. */
#define is_armed(i) \
	(IS_IN(i, awaited & ~early) && (armed_for[i] == FOR(first) || armed_for[i] == SOON))
#define is_surely_armed(i) (is_armed(i) && armed_for[i] == FOR(first))

/* For the first, which is not due, and perhaps the second. Which of the pair is left open. */
inline arm_pair()
{
	if
	:: is_armed(0) -> fd = 1
	:: is_armed(1) -> fd = 0
	:: !is_surely_armed(0) && !is_surely_armed(1) ->
		if
		:: fd = 0
		:: fd = 1
		fi;
		arm_fd(fd, FOR(first), false);
		fd = 1 - fd
	fi;
	if
	:: second != NONE -> arm_fd(fd, FOR(second), false)
	:: true
	fi;
	fd = 0
}

/* The edge is there, or surely on its way. */
#define edge_has_come(i) \
	(armed_for[i] == OFF || armed_for[i] >= FOR(0) && IS_IN(armed_for[i] - FOR(0), due))
/* SOON may have been a moment ago. */
#define edge_may_come(i) (IS_IN(i, awaited) && (edge_has_come(i) || armed_for[i] == SOON))
#define edge_must_come(i) (IS_IN(i, awaited) && edge_has_come(i))

/* asynctimer__shared_arm, which adds to what is due unless the kernel is about to say so itself. */
inline arm_shared()
{
	if
	:: first == NONE
	:: first != NONE && !IS_IN(first, due) ->
#ifdef BROKEN_ARMED_AFTER_THE_UNLOCK
		to_arm = first
#else
		arm_pair()
#endif
	:: first != NONE && IS_IN(first, due) && (edge_may_come(0) || edge_may_come(1))
	:: first != NONE && IS_IN(first, due) && !edge_must_come(0) && !edge_must_come(1) ->
		is_due = is_due | CLOCK
	fi
}

/* asynctimer__shared_event */
inline note_pair(i)
{
#ifndef BROKEN_EDGE_STILL_AWAITED
	REMOVE(i, awaited);
#endif
#ifndef BROKEN_STILL_EARLY
	REMOVE(i, early);
#endif
#ifndef BROKEN_NOTED_UNMARKED
	dirty = dirty | CLOCK;
#endif
	skip
}
#endif

/* lib/lock.c */

/* What is due, of what has changed, to is_due. */
inline settle()
{
	is_due = (listed -> LISTED : 0);
#if SHARED
	if
	:: (dirty & CLOCK) || early -> arm_shared()
	:: else
	fi;
#endif
#ifdef BROKEN_DIRTY_LOST
	dirty = 0
#else
	dirty = is_due
#endif
}

inline tell_now()
{
	if
	:: !woken ->
		woken = true;
		write_eventfd()
	:: else
	fi
}

inline tell_soon()
{
#ifdef BROKEN_NO_HAND_OVER
	skip
#else
#if SHARED
	if
	:: fd = 0; arm_fd(fd, SOON, true)
	:: fd = 1; arm_fd(fd, SOON, true)
	/* One is armed for a time within that. */
	:: IS_IN(0, awaited) && armed_for[0] == SOON || IS_IN(1, awaited) && armed_for[1] == SOON
	fi;
	fd = 0
#else
	tell_now()
#endif
#endif
}

#define is_told (woken || early)

/* is_outside: the calling thread is not in run or dispatch, or leaves it. */
inline unlock(waits, is_outside)
{
	assert(holder == _pid);
	is_due = 0;
	if
	:: dirty && (waits || is_outside || (others_wait && !is_told)) -> settle()
	:: else
	fi;
	if
	:: waits ->
		due_at_once = (is_due != 0);
#ifndef BROKEN_WAITING_COUNTED_LATE
		waiting = waiting + !is_due
#endif
	:: !(waits) ->
		if
		:: is_due && !stopped && is_outside -> tell_now()
		:: is_due && !stopped && !(is_outside) -> tell_soon()
		:: else
		fi;
#ifndef BROKEN_RETRY_LEFT
		if
		:: retry && (is_outside || others_wait) -> tell_now()
		:: else
		fi
#endif
	fi;
	is_due = 0;
	refused = false;
	holder = NOBODY
}

/* Some of the broken variants do this apart from the unlock. */
inline after_unlock(waits)
{
#ifdef BROKEN_ARMED_AFTER_THE_UNLOCK
	if
	:: to_arm != NONE -> atomic {
		if
		:: fd = 0
		:: fd = 1
		fi;
		arm_fd(fd, FOR(to_arm), false);
		fd = 0;
		to_arm = NONE;
		refused = false
	   }
	:: else
	fi;
#endif
#ifdef BROKEN_WAITING_COUNTED_LATE
	if
	:: waits && !due_at_once -> atomic { waiting++ }
	:: else
	fi;
#endif
	skip
}

/* Own timers */

inline settime(x)
{
	may_be_refused();
	REMOVE(x, expired);
	if
	:: refused -> REMOVE(x, armed)
	:: else ->
		ADD(x, armed);
		ADD(x, running);
		coming = (coming & ~(1 << (x))) | (due & (1 << (x)));
		REMOVE(x, readable);
		REMOVE(x, canceled);
		REMOVE(x, counted);
		forget_edge(x)
	fi
}

inline arm_or_retry(x)
{
	settime(x);
	if
	:: refused -> ask_for_retry()
	:: else
	fi
}

/* Whether it counted a point to has_read. */
inline read_timerfd(x)
{
	has_read = false;
	may_be_refused();
	if
	:: refused || !IS_IN(x, readable)
	:: !refused && IS_IN(x, readable) ->
		REMOVE(x, readable);
		forget_edge(x);
		if
		:: IS_IN(x, canceled) -> REMOVE(x, canceled); refused = true
		:: else -> has_read = true; ADD(x, running)
		fi
	fi
}

inline list(x)
{
	ADD(x, listed);
	dirty = dirty | LISTED
}

/* epoll reported its timerfd, or a child may have taken that event. */
inline look_at(x)
{
	if
#ifdef BROKEN_EVENT_OF_OPEN_FORGOTTEN
	:: IS_IN(x, open)
#endif
	:: else -> ADD(x, expired)
	fi;
	if
#ifdef BROKEN_LISTED_WHILE_OPEN
	:: IS_IN(x, started) -> list(x)
#else
	:: IS_IN(x, started) && !IS_IN(x, open) -> list(x)
#endif
	:: else
	fi
}

/* count: whether it gave something, to has_read; else the timerfd counts as not armed. */
inline count(x)
{
	read_timerfd(x);
	REMOVE(x, expired);
	if
	:: has_read -> ADD(x, armed)
	:: else -> REMOVE(x, armed)
	fi
}

/* Whether the tick can be claimed, to claims: the clock says so. */
inline claim_own(x)
{
#ifdef DELAY
	REMOVE(x, armed);
#else
	past = IS_IN(x, armed & counted & ~expired);
	count(x);
	if
	:: past && !has_read && !refused -> ADD(x, armed)
	:: else
	fi;
	past = false;
	has_read = false;
#endif
	claims = IS_IN(x, due);
#ifdef BROKEN_EVENT_IS_A_TICK
	claims = true;
#endif
	if
	:: claims -> REMOVE(x, counted)
#ifndef BROKEN_NOTHING_READ
	:: !claims && !IS_IN(x, armed) -> arm_or_retry(x)
#endif
	:: else
	fi
}

/*
 * The clock has been read: what was due by then, which past says, is skipped.
 * What is due now has come due since.
 */
inline complete_own(x)
{
#ifdef DELAY
	REMOVE(x, armed);
#endif
	if
	:: IS_IN(x, armed) && (past || IS_IN(x, expired)) ->
		past = IS_IN(x, expired);
		count(x);
		if
		/* The interrupt is still on its way. */
		:: !has_read && !refused && !past -> ADD(x, armed)
		:: has_read && IS_IN(x, due) -> ADD(x, counted)
		:: else
		fi;
		has_read = false
	:: else
	fi;
	if
#ifndef BROKEN_RESTARTED_UNARMED
	:: !IS_IN(x, armed) -> arm_or_retry(x)
#endif
	:: IS_IN(x, armed & counted) -> list(x)
	:: else
	fi
}

/* The public calls on a timer, by a thread outside of run and dispatch or not */

inline disarm(x)
{
	if
	:: !is_own(x) -> dequeue(x)
	:: else ->
		REMOVE(x, listed);
		REMOVE(x, expired);
		REMOVE(x, counted);
		REMOVE(x, armed);
		may_be_refused();
		if
		:: refused
		:: else ->
			REMOVE(x, running);
			REMOVE(x, coming);
			REMOVE(x, readable);
			REMOVE(x, canceled);
			forget_edge(x)
		fi
	fi
}

/* Whether it can be, to refused. */
inline arm(x)
{
	if
	:: !is_own(x) ->
		put(x)
#ifndef BROKEN_STARTED_UNMARKED
		; dirty = dirty | (first == x -> CLOCK : 0)
#endif
	:: else -> settime(x)
	fi
}

inline stop(x, is_outside)
{
	atomic {
		holder == NOBODY -> holder = _pid;
		REMOVE(x, started);
		REMOVE(x, due);
		disarm(x);
		unlock(false, is_outside)
	}
	after_unlock(false)
}

inline start(x, is_outside)
{
	atomic {
		holder == NOBODY -> holder = _pid;
		if
		:: IS_IN(x, started)
		:: IS_IN(x, open & ~started) -> ADD(x, started)
		:: !IS_IN(x, open | started) ->
			if
			:: true
			:: points[x] < TICKS -> points[x]++; ADD(x, due)	/* at once */
			fi;
			arm(x);
			if
			:: refused -> REMOVE(x, due)
			:: else -> ADD(x, started)
			fi
		fi;
		unlock(false, is_outside)
	}
	after_unlock(false)
}

/* asynctimer_set_interval of a started timer. */
inline set_interval(x, is_outside)
{
	atomic {
		holder == NOBODY -> holder = _pid;
		if
		:: IS_IN(x, started) ->
			REMOVE(x, due);
			disarm(x);
			refused = false;
			if
			:: !IS_IN(x, open) -> arm(x)
			:: !IS_IN(x, open) && points[x] < TICKS ->	/* at once */
				points[x]++;
				ADD(x, due);
				if
				:: is_own(x) -> list(x)
				:: else -> arm(x)
				fi
			:: IS_IN(x, open)
			fi;
			if
			:: refused -> ask_for_retry()
			:: else
			fi
		:: else
		fi;
		unlock(false, is_outside)
	}
	after_unlock(false)
}

/* A turn */

/* With the lock. */
inline begin_turn()
{
	if
	:: retry ->
		retry = false;
		dirty = CLOCK;
		x = SHARED;
		do
		:: x < TIMERS ->
			if
			:: IS_IN(x, started & ~open & ~armed & ~listed) -> arm_or_retry(x)
			:: else
			fi;
			x++
		:: else -> break
		od;
		x = 0
	:: else
	fi;
	unlock(true, false)
}

inline harvest()
{
#ifdef ONE_EVENT
	if
	:: !ready
	:: IS_IN(0, ready) -> ADD(0, got)
	:: IS_IN(1, ready) -> ADD(1, got)
	:: IS_IN(2, ready) -> ADD(2, got)
	:: IS_IN(3, ready) -> ADD(3, got)
	:: IS_IN(4, ready) -> ADD(4, got)
	:: IS_IN(5, ready) -> ADD(5, got)
	fi;
	ready = ready & ~got;
	/* With room for more the eventfd alone would not fill it. */
	filled = (got != 0);
	if
	:: !got && written -> ADD(EVENTFD, got)
	:: else
	fi
#else
	got = ready;
	ready = 0;
	if
	:: written -> ADD(EVENTFD, got)
	:: else
	fi
#endif
}

/* With the lock just taken. */
inline note()
{
	waiting = waiting - !due_at_once;
	due_at_once = false;
#ifdef BROKEN_DROPPED_WHEN_STOPPED
	if
	:: stopped -> got = got & (1 << EVENTFD)
	:: else
	fi;
#endif
	if
	:: IS_IN(EVENTFD, got) && written_by_child ->
		got = got | ((1 << (TIMERS + 2)) - (1 << SHARED));
		written_by_child = false
	:: else
	fi;
#if SHARED
	if
	:: IS_IN(PAIR(0), got) -> note_pair(0)
	:: else
	fi;
	if
	:: IS_IN(PAIR(1), got) -> note_pair(1)
	:: else
	fi;
#endif
#if OWN
	x = SHARED;
	do
	:: x < TIMERS ->
		if
		:: IS_IN(x, got) -> look_at(x)
		:: else
		fi;
		x++
	:: else -> break
	od;
	x = 0;
#endif
	got = got & (1 << EVENTFD);
	if
	:: got ->
#ifndef BROKEN_EVENTFD_UNREAD
		written = false;
#endif
#ifndef BROKEN_STILL_WOKEN
		woken = false;
#endif
		dirty = dirty | CLOCK
	:: else
	fi
}

inline note_stopped()
{
	got = 0;
#ifndef BROKEN_TOKEN_EATEN
	if
	:: stopped -> write_eventfd()
	:: else
	fi
#endif
}

/* What there is to be run in this turn. */
inline begin_to_run()
{
	until = (dirty & CLOCK -> due & ((1 << SHARED) - 1) : 0);
	x = SHARED;
	do
	:: x < TIMERS -> left = left + IS_IN(x, listed); x++
	:: else -> break
	od;
	x = 0
}

#define to_run_own (left > 0 && listed)
#define to_run_shared (first != NONE && IS_IN(first, until & due))

inline begin_callback()
{
	PROMISE(never_early, IS_IN(x, due));
	PROMISE(never_twice_at_once, !IS_IN(x, in_callback) && !IS_IN(x, deferred));
	REMOVE(x, due);
	ADD(x, open);
	ADD(x, in_callback);
#ifdef BROKEN_PUT_BACK_EARLY
	if
	:: !is_own(x) -> put(x); dirty = dirty | CLOCK
	:: else
	fi;
#endif
	unlock(false, false)
}

/* Takes one timer, and claims it if it can be. */
inline take()
{
	if
	:: to_run_own ->
		if
		:: IS_IN(SHARED, listed) -> x = SHARED
		:: IS_IN(SHARED + 1, listed) -> x = SHARED + 1
		fi;
		left--;
		REMOVE(x, listed);
		dirty = dirty | LISTED;
		claim_own(x)
	:: else ->
		x = first;
		REMOVE(x, until);
		dequeue(x);
		dirty = dirty | CLOCK;
		claims = true
	fi;
	if
	:: claims -> begin_callback()
	:: else -> x = 0
	fi;
	refused = false
}

/* With the lock. Between the two parts the clock and the kernel go on. */
inline complete(x)
{
	atomic {
		REMOVE(x, open);
		past = IS_IN(x, due);
		REMOVE(x, due)
	}
	atomic {
		if
		:: !IS_IN(x, started)
		:: IS_IN(x, started) && is_own(x) -> complete_own(x)
		:: IS_IN(x, started) && !is_own(x) ->
#ifndef BROKEN_PUT_BACK_EARLY
			put(x);
#endif
#ifndef BROKEN_PUT_UNMARKED
			dirty = dirty | CLOCK;
#endif
			skip
		fi;
		past = false;
		refused = false
	}
}

/* From the wait on; it ends with the lock. */
inline turn(waits, hung)
{
	after_unlock(true);
end_wait:
	atomic { !(waits) || due_at_once || ready || written -> harvest() }
	atomic { holder == NOBODY -> holder = _pid; note() }
	if
	:: got -> atomic { note_stopped() }
	:: else
	fi;
	atomic { begin_to_run() }
	do
	:: atomic { !stopped && (to_run_own || to_run_shared) -> take() }
		if
		:: claims ->
			after_unlock(false);
			claims = false;
			if
			:: skip
#ifdef CALLBACK_RESTARTS
			:: stop(CALLBACK_RESTARTS, false); start(CALLBACK_RESTARTS, false)
#endif
			fi;
			if
#ifdef HANGS
			:: atomic { true -> hung++ };
end_hung:			false
#endif
			:: atomic { holder == NOBODY -> holder = _pid; REMOVE(x, in_callback) };
				if
#ifdef DEFERS
				:: atomic { ADD(x, deferred) }
#endif
				:: complete(x)
				fi;
				x = 0
			fi
		:: else
		fi
	:: atomic { stopped || !(to_run_own || to_run_shared) -> left = 0; until = 0; break }
	od
}

/* With the lock, which it gives up. */
inline leave()
{
	if
#ifdef BROKEN_FULL_BUT_WOKEN
	:: filled && !stopped -> tell_now()
#else
#ifndef BROKEN_FULL_FORGOTTEN
	/* Even if woken: that event may be among those that are left. */
	:: filled && !stopped -> woken = true; write_eventfd()
#endif
#endif
	:: else
	fi;
	filled = false;
#ifdef BROKEN_LEFT_UNTOLD
	holder = NOBODY
#else
	unlock(false, true)
#endif
}

/* What a thread carries through the inlines. */
#define LOCALS \
	byte x; \
	byte got; \
	byte until; \
	byte left; \
	byte is_due; \
	byte to_arm = NONE; \
	byte fd; \
	bool due_at_once; \
	bool refused; \
	bool has_read; \
	bool claims; \
	bool past; \
	bool filled

#if RUNNERS
proctype runner()
{
	LOCALS;

again:	atomic { holder == NOBODY -> holder = _pid; runners++ }
	do
	:: atomic { !stopped -> begin_turn() };
		turn(true, hung_runners);
#ifdef LEAVES
		if
		:: true
		:: atomic { leave(); runners--; gone++ };
			after_unlock(false);
			goto returned
		fi
#endif
	:: atomic { stopped -> filled = false; leave(); runners--; break }
	od;
	after_unlock(false);
end:	atomic { !stopped -> goto again }
returned:
	skip
}
#endif

#if HOSTS
proctype host(byte which)
{
	LOCALS;

end:	do
#ifdef EDGES
	:: atomic { IS_IN(which, outer) -> REMOVE(which, outer) };
		/* Which its epoll does not report if nothing is readable by then. */
		if
		:: ready || written
		:: else -> goto end
		fi;
#else
	/* A stopped reactor stays readable, whatever its host does about it. */
	:: atomic { !stopped && (ready || written) };
#endif
		atomic { holder == NOBODY -> holder = _pid; dispatches++ }
		if
		:: atomic { !stopped -> begin_turn() };
			turn(false, hung_hosts)
		:: atomic { stopped }
		fi;
		atomic { leave(); dispatches-- }
		after_unlock(false)
	od
}
#endif

#ifdef STOPS
proctype stopper()
{
	byte times;

end:	do
	:: times < STOPS ->
		/* asynctimer_reactor_stop */
		atomic { stopped = true; times++ }
		atomic { write_eventfd() }
		if
		:: skip
		:: goto returned
		fi;
		/* asynctimer_reactor_restart */
		atomic { stopped = false }
#ifndef BROKEN_RESTART_SILENT
		atomic { write_eventfd() }
#endif
	:: break
	od;
returned:
	skip
}
#endif

#ifdef RESTARTS
proctype user(byte timer)
{
	LOCALS;

	if
	:: goto returned
	:: stop(timer, true)
	:: set_interval(timer, true); goto returned
	fi;
	if
	:: goto returned
	:: start(timer, true)
	fi;
returned:
	skip
}
#endif

#ifdef DEFERS
proctype completer()
{
	LOCALS;

end:	do
	:: atomic {
		deferred && holder == NOBODY -> holder = _pid;
		if
		:: IS_IN(0, deferred) -> x = 0
		:: IS_IN(1, deferred) -> x = 1
		:: IS_IN(2, deferred) -> x = 2
		:: IS_IN(3, deferred) -> x = 3
		fi;
		REMOVE(x, deferred)
	   };
		complete(x);
		atomic { unlock(false, true); x = 0 }
		after_unlock(false)
	od
}
#endif

#ifdef FORKS
/* The child returns from the handler and waits, once, before it knows what it is. */
proctype child()
{
end:	atomic { waiting && ready -> ready = 0 }
#ifndef BROKEN_CHILD_SILENT
	atomic { written_by_child = true; write_eventfd() }
#endif
}
#endif

/* Time and interrupts */
#ifdef DELAY
#define own_has_points(x) IS_IN(x, started & ~open)
#else
#define own_has_points(x) IS_IN(x, started)
#endif
#define can_come_due(x) (!time_stands_still && !IS_IN(x, due) && points[x] < TICKS)

inline comes_due(x)
{
	points[x]++;
	ADD(x, due);
	coming = coming | (running & (1 << (x)))
}

inline interrupt(x)
{
	REMOVE(x, coming);
	REMOVE(x, running);
	ADD(x, readable);
	new_edge(x)
}

#define pair_expires(i) \
	(armed_for[i] == SOON || armed_for[i] >= FOR(0) && IS_IN(armed_for[i] - FOR(0), due))

proctype kernel()
{
end:	do
	:: atomic { !time_stands_still -> time_stands_still = true }
#if SHARED
	:: atomic { first != NONE && can_come_due(first) -> comes_due(first) }
	:: atomic {
		second != NONE && IS_IN(first, due) && can_come_due(second) ->
		comes_due(second)
	   }
	:: atomic { pair_expires(0) -> armed_for[0] = OFF; new_edge(PAIR(0)) }
	:: atomic { pair_expires(1) -> armed_for[1] = OFF; new_edge(PAIR(1)) }
#endif
#if OWN
	:: atomic { own_has_points(SHARED) && can_come_due(SHARED) -> comes_due(SHARED) }
	:: atomic { IS_IN(SHARED, coming) -> interrupt(SHARED) }
#if OWN > 1
	:: atomic {
		own_has_points(SHARED + 1) && can_come_due(SHARED + 1) ->
		comes_due(SHARED + 1)
	   }
	:: atomic { IS_IN(SHARED + 1, coming) -> interrupt(SHARED + 1) }
#endif
#ifdef SET_BACK
	/* Which makes its timerfd readable, and read fail. */
	:: atomic {
		!time_stands_still && !was_set_back && IS_IN(SHARED, running | readable) ->
		was_set_back = true;
		points[SHARED] = points[SHARED] - IS_IN(SHARED, due);
		REMOVE(SHARED, due);
		REMOVE(SHARED, coming);
		ADD(SHARED, canceled);
		ADD(SHARED, readable);
		new_edge(SHARED)
	   }
#endif
#endif
	od
}

inline at_rest()
{
	assert(holder == NOBODY);
	if
	:: stopped ->
		PROMISE(stopped_threads_leave, runners == hung_runners && dispatches == hung_hosts)
	:: !stopped && (hung_runners + gone < RUNNERS || hung_hosts < HOSTS) ->
		PROMISE(what_is_due_is_run, !(due & started & ~open))
	:: else
	fi
}

init {
	byte i;

	atomic {
		do
		:: i < TIMERS ->
			ADD(i, started);
			if
			:: is_own(i) -> ADD(i, armed); ADD(i, running)
			:: else -> put(i)
			fi;
			i++
		:: else -> break
		od;
#if SHARED
		armed_for[0] = FOR(first);
		ADD(0, awaited);
#endif
		run kernel();
#if RUNNERS
		i = 0;
		do
		:: i < RUNNERS -> run runner(); i++
		:: else -> break
		od;
#endif
#if HOSTS
		i = 0;
		do
		:: i < HOSTS -> run host(i); i++
		:: else -> break
		od;
#endif
#ifdef STOPS
		run stopper();
#endif
#ifdef RESTARTS
		run user(RESTARTS);
#endif
#ifdef DEFERS
		run completer();
#endif
#ifdef FORKS
		run child();
#endif
		i = 0
	}
	timeout -> at_rest()
}

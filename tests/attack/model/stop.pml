/* SPDX-License-Identifier: MIT */
/*
 * What lib/timer.c, lib/tick.c, lib/life.c, lib/call.c and lib/shutdown.c do when
 * threads meet at a timer. The names are those of the C. An atomic block is a
 * critical section, or the part of one between two points where it gives the lock
 * up.
 *
 * Left out: times (an armed timer is due), forks, and the calls. The call that
 * runs a timer is unique, so its contents stand in the timer here.
 *
 * The -D's of one setting say who is there and what callbacks do; one more,
 * BROKEN_x, plants a bug. tests/attack/model/run has the lists.
 */
#ifndef TICKS
#define TICKS 2			/* of each timer */
#endif
#ifndef TIMERS
#define TIMERS 1
#endif
#ifndef REACTORS
#define REACTORS 1
#endif
#ifndef RUNNERS
#define RUNNERS 2		/* threads in run, shared out among the reactors */
#endif
#ifndef STOPPERS
#define STOPPERS 0
#endif
#ifndef STARTERS
#define STARTERS 0
#endif
#ifndef FREERS
#define FREERS 0
#endif
#ifndef COMPLETERS
#define COMPLETERS 0
#endif
#ifndef SHUTTERS
#define SHUTTERS 0		/* threads that shut a reactor down */
#endif
#if COMPLETERS
#define DEFERS
#endif
#define THREADS (1 + RUNNERS + STOPPERS + STARTERS + FREERS + COMPLETERS + SHUTTERS)
#define NOBODY 255
#define REACTOR(x) ((x) % REACTORS)
#define OTHER(x) (1 - (x))

/* What a callback returns; VOID is DONE after its number was given away. */
#define DONE 0
#define PENDING 1
#define FAILED 2
#define VOID 3

/* enum tick_state. */
#define TICK_NONE 0
#define TICK_RUNS 1
#define TICK_ENDS 2
#define TICK_DEFERRED 3

/* enum timer_life. */
#define TIMER_LIVES 0
#define TIMER_RETIRED 1
#define TIMER_ENDED 2		/* here: the memory is gone */

#define runs(x) (t[x].tick == TICK_RUNS || t[x].tick == TICK_ENDS)

/* The promises. Spin prints the name of the one that it sees broken. */
bool stop_means_stopped;
bool never_twice_at_once;
bool completes_its_own_tick;
bool answered_once;
bool no_tick_is_lost;
bool released_once;
bool memory_outlasts_its_users;
bool deadlock_is_real;
bool waits_for_one_callback;
bool shut_means_shut;
#define PROMISE(name, condition) assert((condition) || name)

typedef timer {
	/* struct asynctimer */
	bool started;
	unsigned tick : 2;
	unsigned life : 2;
	byte waiters;
	byte number;
	/* its call */
	byte thread;
	byte run_id;
	byte result;
	/* its backing */
	bool armed;
	bool new_generation;	/* of its slot */
	/* what only the promises look at */
	byte releases;
	bool free_called;
	bool free_returned;
	byte in_user_code;	/* callbacks and handlers of it that run */
	bool in_callback;
	byte starts;
	byte epoch;		/* starts, when its tick was claimed */
	byte stopped;		/* starts that a stop has taken back */
	byte returned;		/* what the open tick's callback has, or DONE */
	bool deferred;		/* its callback has returned, its work goes on */
	byte promised;		/* the number of the last tick whose callback shall return PENDING */
	byte answered;		/* the number of the last tick that a complete ended: 0 */
	byte mail;		/* a number that the callback gave away */
};
timer t[TIMERS];

byte holder[REACTORS] = NOBODY;	/* of each lock */
bool asleep[THREADS];		/* on the condition */
byte sleepers;
byte runs;
byte edge[THREADS] = NOBODY;	/* struct wait: the runner that this thread waits for, */
byte edge_timer[THREADS];	/* to leave this timer's callback */
byte edge_reactor[THREADS] = NOBODY; /* the same of a shutdown: all that run callbacks in it */
bool waits[THREADS];		/* the truth about these, for deadlock_is_real */
byte waits_run[THREADS];
byte waits_reactor[THREADS] = NOBODY;
bool shut[REACTORS];
byte shutdowns_wait[REACTORS];
bool shut_returned[REACTORS];	/* for shut_means_shut: a shutdown has, */
bool shut_ended[REACTORS];	/* and said that nothing is open */
byte finished;			/* threads that have */

/* A tick of the reactor is. */
#define tick_is_open(x, r) (REACTOR(x) == (r) && t[x].tick != TICK_NONE)
#define is_any_open(r) (tick_is_open(0, r) || tick_is_open(TIMERS - 1, r))

/* The thread runs a callback or handler of the reactor. */
#define runs_in(x, of, r) (REACTOR(x) == (r) && runs(x) && t[x].thread == (of))
#define is_inside(of, r) (runs_in(0, of, r) || runs_in(TIMERS - 1, of, r))

inline lock(x)
{
	atomic { holder[REACTOR(x)] == NOBODY -> holder[REACTOR(x)] = _pid }
}

inline unlock(x)
{
	assert(holder[REACTOR(x)] == _pid);
	holder[REACTOR(x)] = NOBODY
}

inline touch(x)
{
	assert(holder[REACTOR(x)] == _pid);
	PROMISE(memory_outlasts_its_users, t[x].life != TIMER_ENDED)
}

/* The user's part of the contract: takes the lock unless the timer may not be named any more. */
inline lock_if(x, may_name)
{
	atomic {
		holder[REACTOR(x)] == NOBODY;
		go = (may_name);
		if
		:: go -> holder[REACTOR(x)] = _pid
		:: else
		fi
	}
}

/*
 * closes_circle of call.c: whether wait, or one that it reaches, is for this thread.
 * wants(b) says that what is entered is for b, is_for(a, b) that what a waits for is.
 */
#define CLOSES_CIRCLE(wants, is_for) \
	d_step { \
		circle = false; \
		more = true; \
		do \
		:: more -> \
			more = false; \
			at = 0; \
			do \
			:: at < THREADS -> \
				go = !(reached & (1 << at)) && wants(at); \
				between = 0; \
				do \
				:: between < THREADS -> \
					go = go || (reached & (1 << between)) && \
						!(reached & (1 << at)) && is_for(between, at); \
					between++ \
				:: else -> break \
				od; \
				if \
				:: go -> \
					circle = circle || is_for(at, _pid); \
					reached = reached | (1 << at); \
					more = true \
				:: else \
				fi; \
				at++ \
			:: else -> break \
			od \
		:: else -> break \
		od; \
		at = 0; \
		between = 0; \
		reached = 0; \
		go = false \
	}

#ifdef BROKEN_LATER_ONES_FORGOTTEN
short inside_then[THREADS];	/* threads, as bits, that ran callbacks when the shutdown began */
#define is_edge_to(a, b) (inside_then[a] & (1 << (b)))
#else
#define is_edge_to(a, b) is_inside(b, edge_reactor[a])
#endif
#define has_edge_to(a, b) \
	(edge[a] == (b) || edge_reactor[a] != NOBODY && is_edge_to(a, b))
#define waits_truly_for(a, b) \
	(waits[a] && runs_in(edge_timer[a], b, REACTOR(edge_timer[a])) && \
	 t[edge_timer[a]].run_id == waits_run[a] || \
	 waits_reactor[a] != NOBODY && is_inside(b, waits_reactor[a]))
#define is_runner_of(b) ((b) == t[x].thread)
#define is_in_reactor(b) is_inside(b, r)

/* asynctimer__wait_enter, for the callback of a timer: circle says that it answered -EDEADLK. */
inline wait_enter(x)
{
	atomic {
#ifdef BROKEN_ENTERED_BEFORE_THE_CHECK
		edge[_pid] = t[x].thread;
		edge_timer[_pid] = x
	}
	atomic {
#endif
		CLOSES_CIRCLE(is_runner_of, has_edge_to);
#ifdef BROKEN_NO_CHECK
		circle = false;
#endif
#ifdef BROKEN_CHECK_APART
	}
	atomic {
#endif
		if
		:: !circle ->
			edge[_pid] = t[x].thread;
			edge_timer[_pid] = x;
			waits[_pid] = true;
			waits_run[_pid] = t[x].run_id
		:: else ->
#ifdef BROKEN_ENTERED_BEFORE_THE_CHECK
			edge[_pid] = NOBODY;
#endif
			CLOSES_CIRCLE(is_runner_of, waits_truly_for);
			PROMISE(deadlock_is_real, circle)
		fi
	}
}

/* The same for all callbacks of a reactor. */
inline wait_enter_reactor(r)
{
	atomic {
		CLOSES_CIRCLE(is_in_reactor, has_edge_to);
#ifdef BROKEN_SHUTDOWN_UNCHECKED
		circle = false;
#endif
		if
		:: !circle ->
#ifdef BROKEN_LATER_ONES_FORGOTTEN
			at = 0;
			do
			:: at < THREADS ->
				inside_then[_pid] = inside_then[_pid] | (is_inside(at, r) << at);
				at++
			:: else -> break
			od;
			at = 0;
#endif
			edge_reactor[_pid] = r;
			waits_reactor[_pid] = r
		:: else ->
			CLOSES_CIRCLE(is_in_reactor, waits_truly_for);
			PROMISE(deadlock_is_real, circle)
		fi
	}
}

inline await_end(x)
{
	atomic {
		awaited = t[x].run_id;
		t[x].waiters++
	}
	do
	:: atomic {
#ifdef BROKEN_ANY_RUN
		runs(x) ->
#else
		runs(x) && t[x].run_id == awaited ->
#endif
		touch(x);
		PROMISE(waits_for_one_callback, t[x].run_id == awaited);
		asleep[_pid] = true;
		sleepers++;
		unlock(x)
	   }
	   atomic {
		!asleep[_pid] && holder[REACTOR(x)] == NOBODY ->
		holder[REACTOR(x)] = _pid;
		sleepers--;
		touch(x)
	   }
	:: else -> break
	od;
	atomic {
		t[x].waiters--;
		waits[_pid] = false;
		waits_run[_pid] = 0;
		awaited = 0
	}
}

inline unlock_and_let_go(x)
{
	atomic {
		touch(x);
		last = t[x].life == TIMER_RETIRED && t[x].tick == TICK_NONE && !t[x].waiters;
#ifdef BROKEN_OPEN_IS_FREED
		last = t[x].life == TIMER_RETIRED && !t[x].waiters;
#endif
#ifdef BROKEN_WAITERS_FORGOTTEN
		last = t[x].life == TIMER_RETIRED && t[x].tick == TICK_NONE;
#endif
		if
		:: last -> t[x].life = TIMER_ENDED
		:: else
		fi;
#ifdef BROKEN_RELEASED_BY_EACH
		last = t[x].life != TIMER_LIVES && t[x].tick == TICK_NONE;
#endif
		unlock(x)
	}
	if
	:: last -> atomic {
		t[x].releases++;
		PROMISE(released_once, t[x].releases == 1);
		PROMISE(memory_outlasts_its_users, !t[x].in_user_code && !t[x].deferred);
		last = false
	   }
	:: else
	fi
}

/* In the calling thread's place: what the callback of another one may not do any more. */
inline has_stopped(x, limit)
{
	PROMISE(stop_means_stopped, !t[x].in_callback || t[x].thread == _pid ||
		t[x].epoch > limit);
	PROMISE(stop_means_stopped, !t[x].in_user_code || t[x].thread == _pid ||
		t[x].run_id != then);
	then = 0;
	if
	:: t[x].stopped < limit -> t[x].stopped = limit
	:: else
	fi
}

#ifdef BROKEN_WAITS_FOR_ITSELF
#define runs_elsewhere(x) runs(x)
#else
#define runs_elsewhere(x) (runs(x) && t[x].thread != _pid)
#endif

#ifdef BROKEN_NO_WAIT
#define must_wait(x) false
#else
#ifdef BROKEN_NO_WAIT_FOR_0
#define must_wait(x) (runs_elsewhere(x) && t[x].started)
#else
#define must_wait(x) runs_elsewhere(x)
#endif
#endif

inline stop(x)
{
	lock_if(x, !t[x].free_called);
	if
	:: go ->
		circle = false;
		if
		:: must_wait(x) -> wait_enter(x)
		:: else
		fi;
		if
		:: circle -> unlock(x)
		:: else ->
			atomic {
				touch(x);
				limit = t[x].starts;
				then = t[x].run_id;
				go = must_wait(x);
				t[x].armed = false;
				t[x].started = false
			}
			if
			:: go ->
				await_end(x);
				unlock_and_let_go(x)
			:: else -> unlock(x)
			fi;
			atomic {
				has_stopped(x, limit);
				limit = 0
			}
		fi
	:: else
	fi;
	go = false;
	circle = false
}

#ifdef BROKEN_STARTED_THOUGH_SHUT
#define refuses_start(x) false
#else
#define refuses_start(x) shut[REACTOR(x)]
#endif

inline start(x)
{
	lock_if(x, !t[x].free_called);
	if
	:: go -> atomic {
		touch(x);
		if
		:: !t[x].started && !refuses_start(x) ->
			t[x].armed = t[x].tick == TICK_NONE;
			t[x].started = true;
			t[x].starts++
		:: else
		fi;
		unlock(x);
		go = false
	   }
	:: else
	fi
}

inline free(x)
{
	lock_if(x, !t[x].free_called);
	if
	:: go ->
		atomic {
			touch(x);
			t[x].free_called = true;
			t[x].armed = false;
			t[x].new_generation = true;
			t[x].started = false;
			t[x].life = TIMER_RETIRED;
			then = t[x].run_id;
			go = runs_elsewhere(x);
			circle = false
		}
		if
		:: go ->
			wait_enter(x);
			if
			:: !circle -> await_end(x)
			:: else
			fi
		:: else
		fi;
		unlock_and_let_go(x);
		atomic {
			if
			:: !circle ->
				t[x].free_returned = true;
				has_stopped(x, t[x].starts)
			:: else
			fi;
			then = 0;
			circle = false;
			go = false
		}
	:: else
	fi
}

inline begin_run(x, state)
{
	runs++;
	t[x].run_id = runs;
	t[x].thread = _pid;
	t[x].tick = state
}

inline wake_all()
{
	at = 0;
	do
	:: at < THREADS ->
		asleep[at] = false;
		at++
	:: else -> break
	od;
	at = 0
}

/* runs_no_more, with the state that comes then. */
inline end_run(x, state)
{
	atomic {
		touch(x);
		t[x].tick = state
	}
	if
	:: t[x].waiters -> atomic {
#ifndef BROKEN_EDGES_LEFT
		at = 0;
		do
		:: at < THREADS ->
			if
			:: edge[at] != NOBODY && edge_timer[at] == x -> edge[at] = NOBODY
			:: else
			fi;
			at++
		:: else -> break
		od;
#endif
#ifndef BROKEN_NO_BROADCAST
		wake_all()
#endif
	   }
	:: else
	fi;
	if
#ifndef BROKEN_SHUTDOWN_NOT_TOLD
	:: shutdowns_wait[REACTOR(x)] && !is_any_open(REACTOR(x)) -> atomic {
		at = 0;
		do
		:: at < THREADS ->
			if
			:: edge_reactor[at] == REACTOR(x) -> edge_reactor[at] = NOBODY
			:: else
			fi;
			at++
		:: else -> break
		od;
		wake_all()
	   }
#endif
	:: else
	fi
}

inline enter_user_code(x)
{
	PROMISE(never_twice_at_once, !t[x].in_user_code && !t[x].deferred);
	PROMISE(stop_means_stopped, !t[x].free_returned);
	PROMISE(shut_means_shut, !shut_ended[REACTOR(x)]);
	PROMISE(memory_outlasts_its_users, !t[x].releases);
	t[x].in_user_code++
}

inline handler(x)
{
	atomic { enter_user_code(x) }
	if
	:: skip
#ifdef HANDLER_STOPS
	:: stop(x)
#endif
#ifdef HANDLER_FREES
	:: free(x)
#endif
#ifdef HANDLER_STOPS_OTHER
	:: stop(OTHER(x))
#endif
	fi;
	atomic { t[x].in_user_code-- }
}

/* end: the caller holds the lock, and still holds it afterwards. */
inline end_tick(x, failed)
{
	atomic {
		touch(x);
		t[x].tick = TICK_ENDS;
		go = failed && t[x].life == TIMER_LIVES
	}
#ifdef FAILS
	if
	:: go ->
		unlock(x);
		handler(x);
		lock(x);
		go = false
	:: else
	fi;
#endif
	/* close_tick */
	atomic {
		touch(x);
		PROMISE(never_twice_at_once, !t[x].in_user_code);
		PROMISE(completes_its_own_tick, t[x].tick == TICK_ENDS &&
			(t[x].returned != PENDING || t[x].answered == t[x].number));
		t[x].returned = DONE;
#ifdef BROKEN_NOT_ARMED
		t[x].armed = false
#else
		t[x].armed = t[x].started
#endif
	}
	end_run(x, TICK_NONE);
	if
#ifndef BROKEN_NOT_LET_GO
	:: t[x].life != TIMER_LIVES ->
		unlock_and_let_go(x);
		lock(x)
#endif
	:: else
	fi
}

#define may_complete(x, n) \
	(!t[x].free_called || t[x].promised == n && t[x].answered != n)
#ifdef BROKEN_ANY_NUMBER
#define is_open(x, n) (t[x].tick == TICK_RUNS || t[x].tick == TICK_DEFERRED)
#else
#ifdef BROKEN_COMPLETED_TWICE
#define is_open(x, n) (t[x].tick != TICK_NONE && t[x].number == n)
#else
#define is_open(x, n) ((t[x].tick == TICK_RUNS || t[x].tick == TICK_DEFERRED) && t[x].number == n)
#endif
#endif

inline complete(x, n, failed)
{
	lock_if(x, may_complete(x, n));
	if
	:: go ->
		go = false;
		if
		:: atomic { is_open(x, n) ->
			touch(x);
			PROMISE(completes_its_own_tick, t[x].number == n);
			PROMISE(answered_once, t[x].answered != n);
			t[x].answered = n;
			t[x].deferred = false };
			if
			:: runs(x) -> atomic {
				t[x].tick = TICK_ENDS;
				t[x].result = (failed -> FAILED : DONE);
				unlock(x)
			   }
			:: else ->
				begin_run(x, TICK_ENDS);
				end_tick(x, failed);
				unlock(x)
			fi
		:: else -> atomic {
			touch(x);
			PROMISE(no_tick_is_lost, !(t[x].promised == n && t[x].answered != n));
			unlock(x)
		   }
		fi
	:: else
	fi
}

#ifdef BROKEN_DEFERRED_LEFT
#define is_awaited(r) (REACTOR(0) == (r) && runs(0) || REACTOR(TIMERS - 1) == (r) && runs(TIMERS - 1))
#else
#define is_awaited(r) is_any_open(r)
#endif

inline stop_for_ever(x, r)
{
	if
	:: REACTOR(x) == r && t[x].life == TIMER_LIVES ->
		t[x].armed = false;
		t[x].started = false
	:: else
	fi
}

inline nothing_is_left(x, r)
{
	PROMISE(shut_means_shut, REACTOR(x) != r || !t[x].in_user_code && !t[x].deferred)
}

/* A timeout may be 0, or over at any time. */
inline shut_down(r)
{
	atomic { holder[r] == NOBODY -> holder[r] = _pid };
	circle = false;
	if
	:: is_awaited(r) ->
		wait_enter_reactor(r);
		go = !circle
	:: skip
	fi;
	if
	:: circle -> atomic {
		holder[r] = NOBODY;
		circle = false
	   }
	:: else ->
		atomic {
			shut[r] = true;
			stop_for_ever(0, r);
			stop_for_ever(TIMERS - 1, r);
			counted = go;
			shutdowns_wait[r] = shutdowns_wait[r] + counted
		}
		do
		:: atomic { go && is_awaited(r) ->
			asleep[_pid] = true;
			sleepers++;
			holder[r] = NOBODY
		   }
		   if
		   :: atomic { !asleep[_pid] && holder[r] == NOBODY -> holder[r] = _pid }
#ifdef GIVES_UP
		   :: atomic { asleep[_pid] && holder[r] == NOBODY ->
			holder[r] = _pid;
			asleep[_pid] = false;
			go = false
		      }
#endif
		   fi;
		   sleepers--
		:: else -> break
		od;
		atomic {
			shutdowns_wait[r] = shutdowns_wait[r] - counted;
			counted = false;
			edge_reactor[_pid] = NOBODY;
			waits_reactor[_pid] = NOBODY;
			shut_returned[r] = true;
			if
			:: !is_awaited(r) ->
				nothing_is_left(0, r);
				nothing_is_left(TIMERS - 1, r);
				shut_ended[r] = true
			:: else
			fi;
			holder[r] = NOBODY;
			go = false
		}
	fi
}

inline callback(x)
{
	atomic {
		enter_user_code(x);
		t[x].in_callback = true;
		PROMISE(stop_means_stopped, t[x].epoch > t[x].stopped);
		if
		:: returns = DONE
#ifdef FAILS
		:: returns = FAILED
#endif
#ifdef DEFERS
		:: returns = PENDING
		:: returns = VOID
#endif
		fi;
		if
		:: returns == PENDING -> t[x].promised = t[x].number
		:: else
		fi;
		if
		:: returns == PENDING || returns == VOID -> t[x].mail = t[x].number
		:: else
		fi
	}
	if
	:: skip
#ifdef CALLBACK_STOPS
	:: stop(x)
#endif
#ifdef CALLBACK_RESTARTS
	:: stop(x); start(x)
#endif
#ifdef CALLBACK_FREES
	:: free(x)
#endif
#ifdef CALLBACK_STOPS_OTHER
	:: stop(OTHER(x))
#endif
#ifdef CALLBACK_FREES_OTHER
	:: free(OTHER(x))
#endif
#ifdef CALLBACK_SHUTS_OTHER
	:: shut_down(REACTOR(OTHER(x)))
#endif
	fi;
	atomic {
		t[x].in_user_code--;
		t[x].in_callback = false;
		t[x].returned = returns;
		t[x].deferred = returns == PENDING && t[x].answered != t[x].number
	}
}

#ifdef BROKEN_OPEN_IS_CLAIMED
#define is_due(x) (t[x].started && t[x].number < TICKS)
#else
#ifdef BROKEN_STOPPED_IS_CLAIMED
#define is_due(x) (t[x].tick == TICK_NONE && t[x].number < TICKS)
#else
#define is_due(x) (t[x].started && t[x].tick == TICK_NONE && t[x].number < TICKS)
#endif
#endif

/* With the lock held; returns with it. */
inline timer_run(x)
{
	atomic {
		touch(x);
		PROMISE(shut_means_shut, !shut_returned[REACTOR(x)]);
		t[x].number++;
		t[x].armed = false;
		t[x].epoch = t[x].starts;
		begin_run(x, TICK_RUNS);
		unlock(x)
	}
	callback(x);
	lock(x);
	if
#ifdef BROKEN_EARLY_COMPLETE_LOST
	:: returns == PENDING ->
#else
	:: returns == PENDING && t[x].tick == TICK_RUNS ->
#endif
#ifdef BROKEN_DEFERRED_IS_CLOSED
		t[x].armed = t[x].started;
		end_run(x, TICK_NONE)
#else
		end_run(x, TICK_DEFERRED)
#endif
	:: else ->
		if
		:: returns == PENDING -> returns = t[x].result
		:: else
		fi;
		end_tick(x, returns == FAILED)
	fi;
	returns = DONE
}

/* What a thread carries through the inlines. */
#define LOCALS \
	byte at; \
	byte between; \
	short reached; \
	bool more; \
	bool counted; \
	byte awaited; \
	byte limit; \
	byte then; \
	byte returns; \
	bool go; \
	bool circle; \
	bool last

/* A thread in run: harvest, asynctimer__own_due, asynctimer__timer_run. */
proctype runner(byte reactor)
{
	byte x;
	bool is_there;
	LOCALS;

end:	do
	:: atomic { REACTOR(0) == reactor && t[0].armed && t[0].number < TICKS -> x = 0 };
		goto harvested
#if TIMERS > 1
	:: atomic { REACTOR(1) == reactor && t[1].armed && t[1].number < TICKS -> x = 1 };
		goto harvested
#endif
	od;
harvested:
	lock(x);
#ifdef BROKEN_POINTER_HARVESTED
	is_there = true;
#else
	is_there = !t[x].new_generation;
#endif
	if
	:: is_there ->
		atomic {
			touch(x);
			go = is_due(x);
			is_there = false
#ifdef BROKEN_CLAIMED_LATER
			; unlock(x)
		}
		lock(x);
		atomic {
			skip
#endif
		}
		if
		:: go ->
			go = false;
			timer_run(x)
		:: else
		fi
	:: else
	fi;
	atomic {
		unlock(x);
		x = 0
	}
	goto end
}

#if STOPPERS
proctype stopper(byte x)
{
	LOCALS;

	stop(x);
#ifdef STOPS_TWICE
	stop(x);
#endif
	finished++
}
#endif

#if STARTERS
proctype starter(byte x)
{
	LOCALS;

	start(x);
	finished++
}
#endif

#if FREERS
proctype freer(byte x)
{
	LOCALS;

	free(x);
	finished++
}
#endif

#if COMPLETERS
/* Completes what it is told to, and perhaps once more, when another tick may be open. */
proctype completer(byte x)
{
	byte number;
	bool fails;
	LOCALS;

end:	do
	:: atomic { t[x].mail -> number = t[x].mail; t[x].mail = 0 };
#ifdef FAILS
		if
		:: fails = true
		:: fails = false
		fi;
#endif
		complete(x, number, fails);
		if
		:: skip
#ifdef COMPLETES_TWICE
		:: complete(x, number, false)
#endif
		fi;
		number = 0
	od
}
#endif

#if SHUTTERS
proctype shutter(byte reactor)
{
	LOCALS;

	shut_down(reactor);
#ifdef SHUTS_TWICE
	shut_down(reactor);
#endif
	finished++
}
#endif

/* When nobody can do anything any more. */
inline at_rest(x)
{
	PROMISE(no_tick_is_lost, t[x].tick == TICK_NONE && !t[x].waiters);
	PROMISE(no_tick_is_lost, t[x].armed == t[x].started);
	PROMISE(released_once, t[x].releases == t[x].free_called);
	PROMISE(released_once, (t[x].life == TIMER_ENDED) == t[x].free_called)
}

init {
	byte i;

	atomic {
		do
		:: i < TIMERS ->
			t[i].started = true;
			t[i].armed = true;
			t[i].starts = 1;
			i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < RUNNERS -> run runner(i % REACTORS); i++
		:: else -> break
		od;
#if STOPPERS
		i = 0;
		do
		:: i < STOPPERS -> run stopper(i % TIMERS); i++
		:: else -> break
		od;
#endif
#if STARTERS
		i = 0;
		do
		:: i < STARTERS -> run starter(i % TIMERS); i++
		:: else -> break
		od;
#endif
#if FREERS
		i = 0;
		do
		:: i < FREERS -> run freer(i % TIMERS); i++
		:: else -> break
		od;
#endif
#if COMPLETERS
		i = 0;
		do
		:: i < COMPLETERS -> run completer(i % TIMERS); i++
		:: else -> break
		od;
#endif
#if SHUTTERS
		i = 0;
		do
		:: i < SHUTTERS -> run shutter(i % REACTORS); i++
		:: else -> break
		od;
#endif
		i = 0
	}
	/* Else somebody waits for ever: Spin calls that an invalid end state. */
	timeout -> if
	:: finished == STOPPERS + STARTERS + FREERS + SHUTTERS && !sleepers && holder[0] == NOBODY &&
	   holder[REACTORS - 1] == NOBODY ->
		at_rest(0)
#if TIMERS > 1
		; at_rest(1)
#endif
	fi
}

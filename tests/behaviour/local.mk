# SPDX-License-Identifier: MIT
# What the header and the manual promise of reactors and timers.
if HAVE_CHECK
behaviour_tests = %D%/test_batch %D%/test_behind %D%/test_deferred %D%/test_errors \
	%D%/test_first %D%/test_fork %D%/test_free_nowait %D%/test_handover \
	%D%/test_info %D%/test_interval %D%/test_lifetime %D%/test_names %D%/test_once \
	%D%/test_policy %D%/test_reactor %D%/test_reactor_stats %D%/test_restart \
	%D%/test_set_clock %D%/test_shared %D%/test_shutdown %D%/test_spin %D%/test_states \
	%D%/test_stop %D%/test_threads %D%/test_virtual
endif
probe_sources = %D%/probe.c %D%/probe.h
%C%_test_batch_LDADD = $(unit_libs)
%C%_test_behind_LDADD = $(unit_libs)
%C%_test_deferred_LDADD = $(internal_libs)
%C%_test_deferred_LDFLAGS = -Wl,--wrap=epoll_wait -Wl,--wrap=pthread_mutex_lock
%C%_test_errors_SOURCES = %D%/test_errors.c $(wrap_sources)
%C%_test_errors_LDADD = $(internal_libs)
%C%_test_errors_LDFLAGS = $(wrap_flags)
%C%_test_first_LDADD = tests/support/libinternal.la $(CHECK_LIBS)
%C%_test_first_LDFLAGS = -Wl,--wrap=mmap -Wl,--wrap=mmap64 -Wl,--wrap=munmap -Wl,--wrap=madvise
%C%_test_fork_LDADD = $(internal_libs)
%C%_test_fork_LDFLAGS = -Wl,--wrap=pthread_setcancelstate
%C%_test_free_nowait_LDADD = $(internal_libs)
%C%_test_handover_SOURCES = %D%/test_handover.c $(wrap_sources)
%C%_test_handover_LDADD = $(internal_libs)
%C%_test_handover_LDFLAGS = $(wrap_flags)
%C%_test_info_LDADD = $(unit_libs)
%C%_test_interval_SOURCES = %D%/test_interval.c $(probe_sources)
%C%_test_interval_LDADD = $(unit_libs)
%C%_test_lifetime_LDADD = $(internal_libs)
%C%_test_names_LDADD = $(internal_libs)
%C%_test_names_LDFLAGS = -Wl,--wrap=malloc -Wl,--wrap=free -Wl,--wrap=tsearch
%C%_test_once_LDADD = $(internal_libs)
%C%_test_policy_SOURCES = %D%/test_policy.c $(probe_sources)
%C%_test_policy_LDADD = $(unit_libs)
%C%_test_reactor_LDADD = $(internal_libs)
%C%_test_reactor_LDFLAGS = -Wl,--wrap=ppoll -Wl,--wrap=read -Wl,--wrap=timerfd_settime
%C%_test_reactor_stats_LDADD = $(unit_libs)
%C%_test_restart_SOURCES = %D%/test_restart.c $(wrap_sources)
%C%_test_restart_LDADD = $(internal_libs)
%C%_test_restart_LDFLAGS = $(wrap_flags)
%C%_test_set_clock_LDADD = $(unit_libs)
%C%_test_shared_SOURCES = %D%/test_shared.c $(wrap_sources)
%C%_test_shared_LDADD = $(internal_libs)
%C%_test_shared_LDFLAGS = $(wrap_flags)
%C%_test_shutdown_LDADD = $(unit_libs)
%C%_test_spin_LDADD = $(internal_libs)
%C%_test_spin_LDFLAGS = -Wl,--wrap=clock_gettime
%C%_test_states_LDADD = $(unit_libs)
%C%_test_stop_LDADD = $(internal_libs)
%C%_test_threads_LDADD = $(unit_libs)
%C%_test_virtual_LDADD = $(unit_libs)

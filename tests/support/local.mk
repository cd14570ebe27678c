# SPDX-License-Identifier: MIT
# What tests share, and what looks at the tests and the library from above.

# Programs with unit_libs link the library as it is installed; those with
# internal_libs a copy that has its internals in reach and test points.
unit_libs = %D%/libutil.la lib/libasynctimer.la $(CHECK_LIBS)
internal_libs = %D%/libutil.la %D%/libinternal.la $(CHECK_LIBS)
if HAVE_CHECK
check_LTLIBRARIES = %D%/libinternal.la %D%/libutil.la
else
missing_tests = %D%/check_is_missing.sh
endif
%C%_libinternal_la_SOURCES = $(library_sources)
%C%_libinternal_la_CPPFLAGS = $(lib_libasynctimer_la_CPPFLAGS) -DASYNCTIMER_TEST_POINTS
%C%_libutil_la_SOURCES = %D%/step.h %D%/util.c %D%/util.h

# What tests count and make fail of the library's calls: see wrap.h.
wrap_sources = %D%/wrap.c %D%/wrap.h
wrap_flags = -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=posix_memalign \
	-Wl,--wrap=free -Wl,--wrap=tsearch -Wl,--wrap=tdelete -Wl,--wrap=mmap -Wl,--wrap=mmap64 \
	-Wl,--wrap=munmap -Wl,--wrap=madvise -Wl,--wrap=mprotect -Wl,--wrap=pthread_mutexattr_init \
	-Wl,--wrap=pthread_condattr_init -Wl,--wrap=pthread_mutex_init \
	-Wl,--wrap=pthread_cond_init -Wl,--wrap=pthread_cond_wait \
	-Wl,--wrap=pthread_cond_timedwait -Wl,--wrap=epoll_create1 -Wl,--wrap=epoll_ctl -Wl,--wrap=epoll_wait -Wl,--wrap=ppoll -Wl,--wrap=eventfd \
	-Wl,--wrap=timerfd_create -Wl,--wrap=timerfd_settime -Wl,--wrap=read -Wl,--wrap=write \
	-Wl,--wrap=close -Wl,--wrap=open -Wl,--wrap=open64 -Wl,--wrap=clock_gettime -Wl,--wrap=fcntl -Wl,--wrap=fcntl64 \
	-Wl,--wrap=__fcntl_time64
# A timer watched in other processes and by the thousand: see witness.h.
witness_sources = %D%/witness.c %D%/witness.h

# What tests/kernel/test_strace.sh and tests/attack/test_inject.sh trace.
support_programs = %D%/traced
support_dist = %D%/analyse.sh %D%/check_is_missing.sh %D%/coverage.h %D%/coverage.sh \
	%D%/fresh_build.sh %D%/strace.sh %D%/unit_file.sh

# What reads the code, and what has run of it: see HACKING. Each tool that is not installed is
# named and passed over.
analyse:
	srcdir='$(abs_srcdir)' $(SHELL) $(srcdir)/%D%/analyse.sh
coverage:
	srcdir='$(abs_srcdir)' MAKE='$(MAKE)' $(SHELL) $(srcdir)/%D%/coverage.sh
.PHONY: analyse coverage

# Without the scripts: what they run of the library is in the programs too.
valgrind = valgrind -q --error-exitcode=99 --fair-sched=try --leak-check=full --track-fds=yes
VALGRIND_TESTS = $(test_programs)
check-valgrind:
	PORTS= $(MAKE) check TESTS='$(VALGRIND_TESTS)' LOG_COMPILER='$(LIBTOOL) --mode=execute $(valgrind)'
.PHONY: check-valgrind

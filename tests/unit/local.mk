# SPDX-License-Identifier: MIT
# The parts of the library that are pure, or nearly so, each by itself.
if HAVE_CHECK
unit_tests = %D%/test_lag %D%/test_own %D%/test_pair %D%/test_phase %D%/test_queue \
	%D%/test_schedule %D%/test_slab %D%/test_slots %D%/test_spin %D%/test_spots
endif
unit_programs = %D%/ticks
unit_scripts = %D%/test_instructions.sh %D%/test_schedule_states.sh
unit_dist = %D%/held_clock.h %D%/instructions %D%/schedule_states.c
%C%_test_lag_LDADD = $(internal_libs)
%C%_test_own_LDADD = $(internal_libs)
%C%_test_own_LDFLAGS = -Wl,--wrap=clock_gettime -Wl,--wrap=read -Wl,--wrap=timerfd_settime
%C%_test_pair_LDADD = $(internal_libs)
%C%_test_pair_LDFLAGS = -Wl,--wrap=clock_gettime -Wl,--wrap=read
%C%_test_phase_LDADD = $(unit_libs)
%C%_test_queue_LDADD = $(unit_libs)
%C%_test_queue_LDFLAGS = -Wl,--wrap=posix_memalign
%C%_test_schedule_LDADD = $(internal_libs)
%C%_test_slab_LDADD = $(internal_libs)
%C%_test_slab_LDFLAGS = -Wl,--wrap=mmap -Wl,--wrap=mmap64 -Wl,--wrap=mprotect -Wl,--wrap=munmap
%C%_test_slots_LDADD = $(internal_libs)
%C%_test_slots_LDFLAGS = -Wl,--wrap=realloc
%C%_test_spin_LDADD = $(internal_libs)
%C%_test_spots_LDADD = $(internal_libs)
%C%_test_spots_LDFLAGS = -Wl,--wrap=open -Wl,--wrap=open64

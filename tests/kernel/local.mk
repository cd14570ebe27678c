# SPDX-License-Identifier: MIT
# What only a real kernel shows: its timerfds, its clocks set, what it is asked and traces.
kernel_programs = %D%/kernel_facts %D%/probed
kernel_scripts = %D%/test_probes.sh %D%/test_strace.sh
%C%_kernel_facts_SOURCES = %D%/kernel_facts.c $(witness_sources)

if HAVE_CHECK
kernel_tests = %D%/test_kernel %D%/test_real_time %D%/test_sdevent
clock_tests = %D%/test_clock %D%/test_shared_clock
endif
%C%_test_clock_LDADD = $(internal_libs)
%C%_test_clock_LDFLAGS = -Wl,--wrap=timerfd_settime
%C%_test_kernel_LDADD = $(internal_libs)
%C%_test_real_time_LDADD = $(internal_libs)
%C%_test_sdevent_CPPFLAGS = $(AM_CPPFLAGS) $(LIBSYSTEMD_CFLAGS)
%C%_test_sdevent_LDADD = $(unit_libs) $(LIBSYSTEMD_LIBS)
if HAVE_LIBSYSTEMD
%C%_test_sdevent_CPPFLAGS += -DHAVE_LIBSYSTEMD
endif
%C%_test_shared_clock_LDADD = $(internal_libs)
%C%_test_shared_clock_LDFLAGS = -Wl,--wrap=timerfd_settime

# They set the clock, so they run one by one, and after whatever else is to run. (In variables:
# automake has rules for the logs themselves.)
facts_log = %D%/kernel_facts.log
shared_clock_log = %D%/test_shared_clock.log
clock_log = %D%/test_clock.log
all_but_facts = $(TEST_LOGS:%D%/kernel_facts.log=)
all_but_shared_clock = $(all_but_facts:%D%/test_shared_clock.log=)
all_but_clock = $(all_but_shared_clock:%D%/test_clock.log=)
$(facts_log): $(all_but_facts)
$(shared_clock_log): $(all_but_shared_clock)
$(clock_log): $(all_but_clock)

# Other kernels than this machine's, under qemu: KERNELS are packages of Debian, PACKAGE or
# PACKAGE/SUITE, or files; what they run is KERNEL_TESTS.
KERNELS = linux-image-cloud-amd64/bullseye linux-image-cloud-amd64/bookworm \
	linux-image-rt-amd64/bookworm linux-image-cloud-amd64/bookworm-backports \
	linux-image-cloud-amd64/sid linux-image-rt-amd64/sid
if HAVE_CHECK
qemu_tests = $(unit_tests) tests/attack/test_world
endif
KERNEL_TESTS = %D%/kernel_facts $(qemu_tests)
check-kernels: $(KERNEL_TESTS)
	srcdir='$(srcdir)' CC='$(CC)' KERNELS='$(KERNELS)' \
		$(SHELL) $(srcdir)/%D%/run-qemu $(KERNEL_TESTS) || test $$? = 77
.PHONY: check-kernels
kernel_dist = %D%/run-qemu %D%/qemu-init.sh

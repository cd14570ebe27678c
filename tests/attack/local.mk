# SPDX-License-Identifier: MIT
# Attacks on the promises: races, faults, a hostile world, a soak, random calls against a model of
# the promises and all short sequences of calls, two models of the code, and bugs that are planted
# for the tests to find.
attack_programs = %D%/fuzz/replay %D%/soak
attack_scripts = %D%/test_model.sh %D%/test_fuzz.sh %D%/test_inject.sh %D%/test_mutants.sh
attack_dist = %D%/bugs %D%/fuzz/corpus %D%/model/run %D%/model/stop.pml \
	%D%/model/wake.pml %D%/mutants %D%/mutants.py %D%/reliability.sh %D%/sum_table.sh
%C%_soak_SOURCES = %D%/soak.c $(witness_sources)
if HAVE_CHECK
attack_tests = %D%/test_explore %D%/test_faults %D%/test_races %D%/test_steps %D%/test_world
endif
%C%_test_explore_SOURCES = %D%/test_explore.c %D%/explore_memory.c $(fuzz_both_sources)
%C%_test_explore_LDADD = tests/support/libinternal.la
%C%_test_explore_LDFLAGS = -Wl,--wrap=mmap -Wl,--wrap=mmap64 -Wl,--wrap=munmap \
	-Wl,--wrap=madvise -Wl,--wrap=mprotect
%C%_test_faults_SOURCES = %D%/test_faults.c $(wrap_sources)
%C%_test_faults_LDADD = tests/support/libinternal.la
%C%_test_faults_LDFLAGS = $(wrap_flags)
%C%_test_races_SOURCES = %D%/hammer.c %D%/hammer.h %D%/test_races.c tests/support/splitmix64.h
%C%_test_races_LDADD = $(internal_libs)
%C%_test_races_LDFLAGS = -Wl,--wrap=pthread_mutex_lock -Wl,--wrap=pthread_cond_wait
%C%_test_steps_SOURCES = %D%/test_steps.c tests/support/splitmix64.h $(witness_sources)
%C%_test_steps_LDADD = tests/support/libinternal.la
%C%_test_steps_LDFLAGS = -Wl,--wrap=clock_gettime -Wl,--wrap=timerfd_create \
	-Wl,--wrap=timerfd_settime -Wl,--wrap=read -Wl,--wrap=close
%C%_test_world_SOURCES = %D%/test_world.c $(witness_sources)
%C%_test_world_LDADD = $(unit_libs)

# Fuzzing: its corpus and some random runs as a check, without clang. `make fuzz`
# has libFuzzer search on, for FUZZ_TIME seconds or FUZZ_RUNS inputs: what is new
# goes to fuzz-corpus, what fails to fuzz-failed-*.
FUZZ_CC = clang
FUZZ_CFLAGS = -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
FUZZ_TIME = 60
FUZZ_RUNS = -1
fuzz_both_sources = %D%/fuzz/fuzz_both.c %D%/fuzz/fuzz_both.h %D%/fuzz/fuzz_model.c \
	%D%/fuzz/fuzz_model.h
fuzz_sources = %D%/fuzz/fuzz.h %D%/fuzz/fuzz_timers.c $(fuzz_both_sources)
%C%_fuzz_replay_SOURCES = %D%/fuzz/replay.c tests/support/splitmix64.h $(fuzz_sources)
fuzz:
	@$(MKDIR_P) %D%/fuzz fuzz-corpus
	@set --; for file in $(fuzz_sources) $(library_sources); do \
		case $$file in *.c) set -- "$$@" "$(srcdir)/$$file";; esac; \
	done; set -x; $(FUZZ_CC) $(AM_CPPFLAGS) -DPACKAGE_VERSION='"$(PACKAGE_VERSION)"' \
		$(FUZZ_CFLAGS) -pthread -o %D%/fuzz/fuzz "$$@"
	%D%/fuzz/fuzz -max_len=4096 -artifact_prefix=fuzz-failed- -print_final_stats=1 \
		-max_total_time=$(FUZZ_TIME) -runs=$(FUZZ_RUNS) fuzz-corpus $(srcdir)/%D%/fuzz/corpus
CLEANFILES = %D%/fuzz/fuzz

# Every race until it can be believed: hours. Takes ASYNCTIMER_TRIALS, of which those with more
# than two threads get a tenth, and ASYNCTIMER_SEED and _TABLE.
ASYNCTIMER_TRIALS = 10000000
check-races: $(check_LTLIBRARIES) %D%/test_races$(EXEEXT)
	ASYNCTIMER_TRIALS='$(ASYNCTIMER_TRIALS)' ASYNCTIMER_SEED='$(ASYNCTIMER_SEED)' \
	ASYNCTIMER_TABLE='$(ASYNCTIMER_TABLE)' CK_TIMEOUT_MULTIPLIER=1000 %D%/test_races$(EXEEXT)

# Each attack on the promises, and one table; RELIABILITY=long takes hours. See HACKING.
reliability:
	$(MAKE) check TESTS=
	srcdir='$(srcdir)' MAKE='$(MAKE)' RELIABILITY='$(RELIABILITY)' TRIALS='$(TRIALS)' \
		$(SHELL) $(srcdir)/%D%/reliability.sh
# The tests find each of the bugs in bugs/, or the ones that BUGS names.
bugs:
	rm -rf bugs
	$(MKDIR_P) bugs
	$(MAKE) -s distdir distdir=bugs/source
	BUGS='$(BUGS)' CLOCK_TESTS='$(clock_tests)' $(SHELL) bugs/source/%D%/bugs/run.sh bugs/source bugs/build
# The tests find what is changed in lib/ at random: MUTANTS of all changes there could be, the
# same ones for the same SEED, or those whose numbers ONLY has. JOBS at once. CLOCK_TESTS= leaves
# out what sets the clock. With sanitizers in MUTANTS_CFLAGS it takes twice as long.
MUTANTS = 300
SEED = 1
JOBS = $$(nproc)
CLOCK_TESTS = $(clock_tests)
MUTANTS_CFLAGS = -g -O1
mutants_tests = $(kernel_tests) $(behaviour_tests) $(attack_tests) $(unit_tests) %D%/test_fuzz.sh
mutants:
	rm -rf mutants
	$(MKDIR_P) mutants
	$(MAKE) -s distdir distdir=mutants/source
	python3 mutants/source/%D%/mutants.py --seed '$(SEED)' --count '$(MUTANTS)' --only '$(ONLY)' \
		--jobs $(JOBS) --cflags='$(MUTANTS_CFLAGS)' --clock-tests='$(CLOCK_TESTS)' \
		mutants/source mutants/build $(mutants_tests)
.PHONY: fuzz check-races reliability bugs mutants

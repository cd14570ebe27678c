# SPDX-License-Identifier: MIT
# Neither built nor run by anything else; see README.
run_bench = CC="$(CC)" CFLAGS="$(AM_CFLAGS) $(CFLAGS)" BENCH_CASES="$(BENCH_CASES)" \
	BENCH_LIBS="$(BENCH_LIBS)" BENCH_BEFORE="$(BENCH_BEFORE)" BENCH_COUNT="$(BENCH_COUNT)" \
	BENCH_ROUNDS="$(BENCH_ROUNDS)" BENCH_SECONDS="$(BENCH_SECONDS)" \
	python3 -B "$(abs_srcdir)/%D%/bench.py" "$(abs_srcdir)" "$(abs_builddir)"
bench: lib/libasynctimer.la
	$(run_bench)
bench-report:
	$(run_bench) --report
.PHONY: bench bench-report
bench_dist = %D%/README %D%/bench.c %D%/bench.h %D%/bench.py %D%/bench_asynctimer.c \
	%D%/bench_bare.c %D%/bench_drift.c %D%/bench_glib.c %D%/bench_hold.c %D%/bench_libev.c \
	%D%/bench_libevent.c %D%/bench_libuv.c %D%/bench_rt.c %D%/bench_sdevent.c \
	%D%/cases.py %D%/count.py %D%/job.h %D%/machine.c %D%/measure.c %D%/observe.c %D%/optimum.c \
	%D%/plot.py %D%/report.py %D%/restart.c

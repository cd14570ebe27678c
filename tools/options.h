/* SPDX-License-Identifier: MIT */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* What every was asked for. */
struct options {
	int clock;
	int policy;
	uint64_t interval_ns;
	bool at_once;		/* the first run, whatever the schedule */
	bool anchored;
	uint64_t anchor_ns;	/* with the phase that a key gave */
	bool shared;
	uint64_t slack_ns;
	uint64_t late_ns;	/* a run that is later is skipped */
	uint64_t timeout_ns;	/* 0: a run may take as long as it does */
	uint64_t grace_ns;	/* from SIGTERM to SIGKILL */
	uint64_t runs;		/* until the end */
	bool ends_at_failure;
	bool keeps_going;	/* even if the command can't be started */
	bool quiet;
	bool verbose;
	char **command;
};

/* Wrong use ends the program: it says what to do, and exits with EXIT_TROUBLE. */
struct options options_parse(int argc, char **argv);

/* Like timeout(1), env(1), nohup(1): statuses that no command's own are likely to be. */
enum {
	EXIT_UNWRITTEN = 1,	/* a full device took not all of what was to be told */
	EXIT_TIMED_OUT = 124,
	EXIT_TROUBLE = 125,
	EXIT_CANNOT_RUN = 126,
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNAL = 128	/* and the signal's number added */
};

#endif

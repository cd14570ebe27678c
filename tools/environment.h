/* SPDX-License-Identifier: MIT */
#ifndef ENVIRONMENT_H
#define ENVIRONMENT_H

#include <stdint.h>

/* What a command may want to know of its run. */
struct run {
	uint64_t number;	/* 1: the first */
	uint64_t due_ns;	/* on the wall clock */
	uint64_t lateness_ns;
	uint64_t skipped_busy;	/* runs since the one before, by reason */
	uint64_t skipped_late;
};

/* Sets EVERY_RUN, EVERY_DUE and so on. */
void environment_set(const struct run *run);

#endif

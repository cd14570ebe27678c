/* SPDX-License-Identifier: MIT */
/* Times and the ends of runs, as people read them. */
#ifndef WORDS_H
#define WORDS_H

#include <stdbool.h>
#include <stdint.h>

#define DURATION_TEXT 32
#define TIME_TEXT 40
#define RESULT_TEXT 512

/* What came of a run. */
struct result {
	uint64_t took_ns;
	const char *command;
	int error;		/* a negative errno: why it could not be started; 0 */
	int status;		/* as waitpid has it */
	int timeout_signal;	/* the last one that its timeout sent; 0: it ended in time */
	bool was_told;		/* to end: if a signal has ended it, it has not failed */
};

/* Its exit status as a shell has it; 0: it has not failed. */
int result_status(const struct result *result);

/* "exit status 3 after 1.2 s", "killed by SIGSEGV after 12 ms", ... */
void result_text(const struct result *result, char text[RESULT_TEXT]);

/* "850 us", "12 ms", "1.2 s": cut off. */
void duration_text(uint64_t ns, char text[DURATION_TEXT]);

/* RFC 3339, in UTC, with so many digits after the seconds: cut off. */
void time_text(uint64_t realtime_ns, int digits, char text[TIME_TEXT]);

/* The time now. */
uint64_t clock_ns(int clock);

#endif

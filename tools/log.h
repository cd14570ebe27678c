/* SPDX-License-Identifier: MIT */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Lines on standard error, which never block: what can't be written at once waits
 * in here, for whoever reads them may be slow, or stopped.
 */
struct log {
	int fd;
	bool is_own;		/* opened for this, to be closed */
	bool is_socket;
	bool is_timed;		/* each line begins with its time */
	int error;		/* errno of the first line that could not be written; 0 */
	uint64_t lost;		/* lines for which there was no room */
	size_t length;
	char text[16384];
};

void log_open(struct log *log, bool is_timed);
void log_close(struct log *log);

__attribute__((format(printf, 2, 3))) void log_line(struct log *log, const char *format, ...);

/* Writes what can be written without blocking. */
void log_flush(struct log *log);

#endif

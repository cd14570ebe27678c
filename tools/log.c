/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "words.h"

/*
 * O_NONBLOCK would be felt by all who share the descriptor. A pipe or terminal is
 * opened anew; a socket is told with each write; a file does not block.
 */
void log_open(struct log *log, bool is_timed)
{
	struct stat status;

	*log = (struct log){ .fd = STDERR_FILENO, .is_timed = is_timed };
	/* Closed: its number may be another descriptor's before long. */
	if (fstat(STDERR_FILENO, &status) < 0) {
		log->error = errno;
		return;
	}
	log->is_socket = S_ISSOCK(status.st_mode);
	if (S_ISFIFO(status.st_mode) || isatty(STDERR_FILENO)) {
		int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

		log->is_own = fd >= 0;
		if (log->is_own)
			log->fd = fd;
	}
}

void log_close(struct log *log)
{
	if (log->is_own)
		close(log->fd);
}

/* Where it could not be opened anew this blocks only if another writer comes in between. */
static ssize_t write_now(const struct log *log, size_t length)
{
	struct pollfd ready = { .fd = log->fd, .events = POLLOUT };

	if (log->is_socket)
		return send(log->fd, log->text, length, MSG_DONTWAIT);
	if (poll(&ready, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(log->fd, log->text, length);
}

/* A line each, which is not mixed with what the command writes. */
void log_flush(struct log *log)
{
	while (log->length) {
		const char *end = memchr(log->text, '\n', log->length);
		ssize_t written = write_now(log, (size_t)(end + 1 - log->text));

		if (written < 0 && errno == EAGAIN)
			return;
		if (written < 0) {
			log->error = errno;
			log->length = 0;
			return;
		}
		log->length -= (size_t)written;
		memmove(log->text, log->text + written, log->length);
	}
}

static bool append(struct log *log, const char *format, va_list arguments)
{
	char time[TIME_TEXT] = "";
	char line[PIPE_BUF];
	int length, room = (int)(sizeof(log->text) - log->length);

	if (log->is_timed) {
		time_text(clock_ns(CLOCK_REALTIME), 3, time);
		strcat(time, " ");
	}
	vsnprintf(line, sizeof(line) - sizeof(time) - sizeof("every: \n"), format, arguments);
	length = snprintf(log->text + log->length, (size_t)room, "%severy: %s\n", time, line);
	if (length >= room)
		return false;
	log->length += (size_t)length;
	return true;
}

void log_line(struct log *log, const char *format, ...)
{
	va_list arguments;

	if (log->error)
		return;
	log_flush(log);
	if (log->lost && !log->length) {
		uint64_t lost = log->lost;

		log->lost = 0;
		log_line(log, "lost %" PRIu64 " lines, which nobody read in time", lost);
	}
	va_start(arguments, format);
	if (!append(log, format, arguments))
		log->lost++;
	va_end(arguments);
	log_flush(log);
}

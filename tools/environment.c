/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "environment.h"
#include "words.h"

/* Not by setenv(3), which in many versions of glibc keeps each value that there ever was. */
static void set(char variable[64], const char *name, const char *value)
{
	snprintf(variable, 64, "%s=%s", name, value);
	putenv(variable);
}

static void set_number(char variable[64], const char *name, uint64_t value)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%" PRIu64, value);
	set(variable, name, digits);
}

void environment_set(const struct run *run)
{
	static char variables[5][64];
	char due[TIME_TEXT];

	time_text(run->due_ns, 9, due);
	set(variables[0], "EVERY_DUE", due);
	set_number(variables[1], "EVERY_RUN", run->number);
	set_number(variables[2], "EVERY_LATENESS_NS", run->lateness_ns);
	set_number(variables[3], "EVERY_SKIPPED_BUSY", run->skipped_busy);
	set_number(variables[4], "EVERY_SKIPPED_LATE", run->skipped_late);
}

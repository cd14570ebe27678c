/* SPDX-License-Identifier: MIT */
/* A number and a unit, to the nanosecond: no floating point, which would round 0.1. */
#include <string.h>

#include <asynctimer.h>

#include "duration.h"

#define DURATION_MAX_NS (UINT64_C(1) << 62)

static const char malformed[] = "is not a duration: write a number and a unit, like 250ms";
static const char too_long[] = "is too long: at most 146 years";
static const char too_fine[] = "is finer than a nanosecond: drop digits";

static uint64_t unit_ns(const char *unit)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "", ASYNCTIMER_SECOND },
		{ "ns", 1 },
		{ "us", ASYNCTIMER_MICROSECOND },
		{ "ms", ASYNCTIMER_MILLISECOND },
		{ "s", ASYNCTIMER_SECOND },
		{ "m", 60 * ASYNCTIMER_SECOND },
		{ "h", 3600 * ASYNCTIMER_SECOND },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(unit, units[i].name) == 0)
			return units[i].ns;
	}
	return 0;
}

bool append_digits(uint64_t *value, const char *digits, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(digits[i] - '0'), value))
			return false;
	}
	return true;
}

/* value * unit / 10^decimals, a ten at a time; an hour has 2^13 and 5^11 in it. */
static const char *scale(uint64_t value, size_t decimals, uint64_t unit, uint64_t *ret_ns)
{
	for (; decimals; decimals--) {
		if (unit % 10 == 0) {
			unit /= 10;
		} else if (unit % 2 == 0 && value % 5 == 0) {
			unit /= 2;
			value /= 5;
		} else {
			return too_fine;
		}
	}
	if (__builtin_mul_overflow(value, unit, &value) || value > DURATION_MAX_NS)
		return too_long;
	*ret_ns = value;
	return NULL;
}

const char *duration_parse(const char *text, uint64_t *ret_ns)
{
	const char digits[] = "0123456789";
	size_t whole = strspn(text, digits);
	bool has_point = text[whole] == '.';
	const char *fraction = text + whole + has_point;
	size_t decimals = strspn(fraction, digits);
	uint64_t unit = unit_ns(fraction + decimals);
	uint64_t value = 0;

	if (!unit || (has_point ? decimals : whole) == 0)
		return malformed;
	while (decimals && fraction[decimals - 1] == '0')
		decimals--;
	if (!append_digits(&value, text, whole))
		return too_long;
	if (decimals > 13 || !append_digits(&value, fraction, decimals))
		return too_fine;
	return scale(value, decimals, unit, ret_ns);
}

/* SPDX-License-Identifier: MIT */
/* Numbers with units, to the nanosecond: no floating point, which would round 0.1. */
#include <string.h>

#include <asynctimer.h>

#include "duration.h"

#define DURATION_MAX_NS (UINT64_C(1) << 62)

static const char malformed[] = "is not a duration: write numbers with the units d, h, min (or m), "
				"s, ms, us or ns, the larger first, like 1.5s, 90min or 1m30s";
static const char too_long[] = "is too long: at most 146 years";
static const char too_fine[] = "is finer than a nanosecond: drop digits";

static const char digits[] = "0123456789";

/* 0: there is no such unit. */
static uint64_t unit_ns(const char *name, size_t length)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "ns", 1 },
		{ "us", ASYNCTIMER_MICROSECOND },
		{ "ms", ASYNCTIMER_MILLISECOND },
		{ "s", ASYNCTIMER_SECOND },
		{ "m", 60 * ASYNCTIMER_SECOND },
		{ "min", 60 * ASYNCTIMER_SECOND },
		{ "h", 3600 * ASYNCTIMER_SECOND },
		{ "d", 24 * 3600 * ASYNCTIMER_SECOND },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strlen(units[i].name) == length && memcmp(units[i].name, name, length) == 0)
			return units[i].ns;
	}
	return 0;
}

bool append_digits(uint64_t *value, const char *text, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(text[i] - '0'), value))
			return false;
	}
	return true;
}

/* value * unit / 10^decimals, a ten at a time; a day has 2^16 and 5^11 in it. */
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

/*
 * A number and its unit, which is below limit_ns, at *text, which then moves on.
 * default_ns is the unit of a number that has none; 0: it must have one.
 */
static const char *parse_part(const char **text, uint64_t default_ns, uint64_t *limit_ns,
			      uint64_t *ret_ns)
{
	size_t whole = strspn(*text, digits);
	bool has_point = (*text)[whole] == '.';
	const char *fraction = *text + whole + has_point;
	size_t decimals = strspn(fraction, digits);
	const char *name = fraction + decimals;
	size_t length = strcspn(name, "0123456789.");
	uint64_t unit = *name ? unit_ns(name, length) : default_ns;
	uint64_t value = 0;

	if (!unit || unit >= *limit_ns || (has_point ? decimals : whole) == 0)
		return malformed;
	while (decimals && fraction[decimals - 1] == '0')
		decimals--;
	if (!append_digits(&value, *text, whole))
		return too_long;
	if (decimals > 16 || !append_digits(&value, fraction, decimals))
		return too_fine;
	*text = name + length;
	*limit_ns = unit;
	return scale(value, decimals, unit, ret_ns);
}

const char *duration_parse(const char *text, uint64_t *ret_ns)
{
	uint64_t limit_ns = UINT64_MAX, default_ns = ASYNCTIMER_SECOND;
	uint64_t sum_ns = 0;

	do {
		uint64_t part_ns = 0;
		const char *wrong = parse_part(&text, default_ns, &limit_ns, &part_ns);

		if (wrong)
			return wrong;
		sum_ns += part_ns;
		if (sum_ns > DURATION_MAX_NS)
			return too_long;
		default_ns = 0;
	} while (*text);
	*ret_ns = sum_ns;
	return NULL;
}

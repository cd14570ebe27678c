/* SPDX-License-Identifier: MIT */
/*
 * Why, with equal slack, what is due later never wakes up earlier: let x be the
 * wake-up of one window and y that of a later one. The end of a window counts as
 * the last of the periods.
 * - If y's period comes before x's, y is past the end of x's window: within it, y
 *   would have been taken there.
 * - If not, and x is in the part of y's window that is searched for x's period, y
 *   is of that period too, and not before x, for the latest spot is taken.
 * - If not, and x is before that part, so it is before y: what is searched for later
 *   periods begins no earlier.
 */
#include <string.h>

#include "clock.h"
#include "spots.h"

#define MILLISECOND (1000 * ASYNCTIMER_MICROSECOND)
#define MINUTE (60000 * MILLISECOND)

/*
 * Each period is a multiple of the next. The coarse ones, and that a spot may lie
 * anywhere in the window, are sd-event's (sleep_between), so that daemons wake up
 * together whichever of the two libraries they use. The fine ones are for windows
 * in which sd-event finds nothing. Only the second half of the window is searched
 * for those, because the ticks of one process share more wake-ups the later they run.
 */
static const struct period {
	uint64_t ns;
	bool fine;
} periods[] = {
	{ MINUTE, false },
	{ 10000 * MILLISECOND, false },
	{ 1000 * MILLISECOND, false },
	{ 250 * MILLISECOND, false },
	{ 50 * MILLISECOND, true },
	{ 10 * MILLISECOND, true },
	{ 5 * MILLISECOND, true },
	{ 1 * MILLISECOND, true },
};

uint64_t asynctimer__spots_wake_ns(uint64_t due_ns, uint64_t slack_ns, uint64_t perturbation_ns)
{
	uint64_t last_ns = due_ns + slack_ns - 1;
	uint64_t since_ns = last_ns % MINUTE + (MINUTE - perturbation_ns);

	if (slack_ns == 0)
		return due_ns;
	for (unsigned i = 0; i < sizeof(periods) / sizeof(*periods); i++) {
		since_ns %= periods[i].ns;	/* since the last spot of this period */
		if (since_ns < (periods[i].fine ? slack_ns - slack_ns / 2 : slack_ns))
			return last_ns - since_ns;
	}
	return due_ns + slack_ns;
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *found = c ? strchr(digits, c) : NULL;

	return found ? (int)((found - digits) % 16) : -1;
}

/* As sd-event does it (initialize_perturb): the halves are numbers in the machine's byte order. */
bool asynctimer__spots_perturbation(const char *id, uint64_t *ret_ns)
{
	unsigned char bytes[16] = { 0 };
	uint64_t halves[2];

	for (unsigned i = 0; i < 32; i++) {
		int digit;

		if (*id == '-' && i >= 8 && i <= 20 && i % 4 == 0)
			id++;
		digit = hex_digit(*id++);
		if (digit < 0)
			return false;
		bytes[i / 2] = (unsigned char)(bytes[i / 2] << 4 | digit);
	}
	if (*id != '\0' && *id != '\n')
		return false;
	memcpy(halves, bytes, sizeof(halves));
	if (halves[0] == 0 && halves[1] == 0)
		return false;
	*ret_ns = (halves[0] ^ halves[1]) % (MINUTE / ASYNCTIMER_MICROSECOND) * ASYNCTIMER_MICROSECOND;
	return true;
}

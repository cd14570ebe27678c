/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"

struct name {
	const void *timer;
	char text[ASYNCTIMER__NAME_SIZE];
};

static int compare_timers(const void *a, const void *b)
{
	uintptr_t first = (uintptr_t)((const struct name *)a)->timer;
	uintptr_t second = (uintptr_t)((const struct name *)b)->timer;

	return (first > second) - (first < second);
}

static struct name *find(void *const *names, const void *timer)
{
	struct name key = { .timer = timer };
	struct name **found = tfind(&key, names, compare_timers);

	return found ? *found : NULL;
}

static int add(void **names, const void *timer, const char *text)
{
	struct name *name = malloc(sizeof(*name));
	struct name **place;

	if (!name)
		return -ENOMEM;
	name->timer = timer;
	strcpy(name->text, text);
	place = tsearch(name, names, compare_timers);
	if (!place) {
		free(name);
		return -ENOMEM;
	}
	*place = name;		/* as it is: analysers do not know tsearch */
	return 1;
}

int asynctimer__names_set(void **names, const void *timer, const char *text)
{
	struct name *name = find(names, timer);

	if (!name)
		return add(names, timer, text);
	if (strcmp(name->text, text) == 0)
		return 0;
	strcpy(name->text, text);
	return 1;
}

int asynctimer__names_remove(void **names, const void *timer)
{
	struct name *name = find(names, timer);

	if (!name)
		return 0;
	tdelete(name, names, compare_timers);
	free(name);
	return 1;
}

const char *asynctimer__names_find(void *const *names, const void *timer)
{
	const struct name *name = find(names, timer);

	return name ? name->text : "";
}

void asynctimer__names_free(void **names)
{
	tdestroy(*names, free);
	*names = NULL;
}

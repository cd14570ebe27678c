/* SPDX-License-Identifier: MIT */
/*
 * The fuzzer without libFuzzer: files of its corpus, or random bytes, a run's
 * from its seed alone. What differs in run N of a seed is replayed with
 * --seed, as it says, and --runs 1.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "splitmix64.h"
#include "fuzz_both.h"

#define LONGEST 16384

static uint8_t bytes[LONGEST];
static const char *file;	/* being replayed, or NULL */
static uint64_t seed;

static void differs(void)
{
	if (file)
		fprintf(stderr, "again: replay -v %s\n", file);
	else
		fprintf(stderr, "again: replay -v --seed %" PRIu64 " --runs 1\n", seed);
	fuzz_report(1);
	exit(1);
}

static void run_seed(void)
{
	uint64_t state = seed;
	size_t size = 16 + splitmix64(&state) % (LONGEST - 16);

	for (size_t i = 0; i < size; i += sizeof(state)) {
		uint64_t eight = splitmix64(&state);

		memcpy(bytes + i, &eight, sizeof(eight));
	}
	LLVMFuzzerTestOneInput(bytes, size);
}

static int run_file(void)
{
	FILE *stream = fopen(file, "rb");
	size_t size;

	if (!stream) {
		perror(file);
		return 2;
	}
	size = fread(bytes, 1, sizeof(bytes), stream);
	fclose(stream);
	LLVMFuzzerTestOneInput(bytes, size);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "runs", required_argument, NULL, 'r' },
		{ "verbose", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t runs = 0;
	int option;

	seed = 1;
	both_differs = differs;
	while ((option = getopt_long(argc, argv, "s:r:v", options, NULL)) != -1) {
		switch (option) {
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			runs = strtoull(optarg, NULL, 0);
			break;
		case 'v':
			both.verbose = true;
			break;
		default:
			fprintf(stderr, "usage: replay [-v] [--seed N] [--runs N] [FILE...]\n");
			return 2;
		}
	}
	for (; optind < argc; optind++) {
		int r;

		file = argv[optind];
		r = run_file();
		if (r)
			return r;
	}
	file = NULL;
	for (; runs; runs--, seed++)
		run_seed();
	fuzz_report(0);
	return 0;
}

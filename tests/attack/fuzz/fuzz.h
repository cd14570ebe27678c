/* SPDX-License-Identifier: MIT */
/* What the fuzzer's programs know of fuzz_timers.c. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* libFuzzer's: reads data as operations, does them, and compares all with the model. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

extern uint64_t fuzz_operations;	/* done so far */
extern uint64_t fuzz_callbacks;

/* Prints how much was done; a line for the table ASYNCTIMER_TABLE, if that is set. */
void fuzz_report(unsigned violations);

#endif

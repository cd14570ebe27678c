/* SPDX-License-Identifier: MIT */
#ifndef DURATION_H
#define DURATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 250ms, 1.5s, 1m30s, ... into *ret. NULL; or what is wrong with text, and what to do. */
const char *duration_parse(const char *text, uint64_t *ret_ns);

/* Appends count decimal digits to *value; false if it overflows. */
bool append_digits(uint64_t *value, const char *text, size_t count);

#endif

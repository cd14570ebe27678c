#!/bin/sh
# SPDX-License-Identifier: MIT
# The library does as the fuzzer's model says: with its corpus, and at random.
set -eu
exec tests/attack/fuzz/replay --seed 1 --runs 2000 "${srcdir:?}"/tests/attack/fuzz/corpus/*

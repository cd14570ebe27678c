#!/bin/sh
# SPDX-License-Identifier: MIT
# What timer.c does when threads meet keeps every promise about stop, in a model of it.
exec "${srcdir:?}/tests/model/run"

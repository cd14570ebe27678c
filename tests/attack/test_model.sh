#!/bin/sh
# SPDX-License-Identifier: MIT
# What the library does when threads meet at a timer, and how they are woken for one, keeps every
# promise about that, in a model of each.
exec "${srcdir:?}/tests/attack/model/run"

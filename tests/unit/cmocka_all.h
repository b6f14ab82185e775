/* SPDX-License-Identifier: Apache-2.0
 *
 * cmocka wants these four before it, in this order. */
#ifndef FB_TESTS_CMOCKA_ALL_H
#define FB_TESTS_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif

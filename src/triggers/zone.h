/* SPDX-License-Identifier: Apache-2.0
 *
 * Time zones as the system has them (TZif, RFC 8536): offset from UTC at an instant. */
#ifndef FB_TRIGGERS_ZONE_H
#define FB_TRIGGERS_ZONE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct zone;

/* "Europe/Berlin", "UTC"; ERR_NOT_FOUND: there is no such zone on this machine. */
int zone_load(struct str name, struct zone **ret, struct err *err);
/* The bytes of a TZif file, version 2 or newer. ERR_BAD_INPUT. */
int zone_parse(struct str bytes, struct zone **ret, struct err *err);
void zone_free(struct zone *z);
int64_t zone_offset(const struct zone *z, int64_t unix_s); /* seconds east */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_TRIGGERS_CRON_H
#define FB_TRIGGERS_CRON_H

#include <stdbool.h>

#include "triggers/schedule.h"

/* Between start and end, told by which of the two comes next. */
bool cron_is_active(int64_t next_start_s, int64_t next_end_s);

#endif

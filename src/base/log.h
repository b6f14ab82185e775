/* SPDX-License-Identifier: Apache-2.0
 *
 * One logfmt line per event on stderr:
 *   2026-01-02T03:04:05.678Z info gateway msg="listening" ...
 * The level is process-wide (FLYBALL_LOG=debug|info|warn|error, or log_set_level). Thread safe:
 * each line is one write. */
#ifndef FB_BASE_LOG_H
#define FB_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

void log_init(void); /* reads FLYBALL_LOG */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
__attribute__((format(printf, 3, 4))) void log_line(enum log_level level, const char *room,
                                                    const char *fmt, ...);
#define log_debug(room, ...) \
    (log_enabled(LOG_LEVEL_DEBUG) ? log_line(LOG_LEVEL_DEBUG, room, __VA_ARGS__) : (void)0)
#define log_info(room, ...) log_line(LOG_LEVEL_INFO, room, __VA_ARGS__)
#define log_warn(room, ...) log_line(LOG_LEVEL_WARN, room, __VA_ARGS__)
#define log_error(room, ...) log_line(LOG_LEVEL_ERROR, room, __VA_ARGS__)

#endif

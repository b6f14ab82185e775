/* SPDX-License-Identifier: Apache-2.0
 *
 * A trigger's metadata as the otel-add-on takes it (otel.md 4.5), and its value on the built-in
 * store. What both faces of it share: the gRPC service and the native external trigger. */
#ifndef FB_TRIGGERS_ADDON_SETTINGS_H
#define FB_TRIGGERS_ADDON_SETTINGS_H

#include "codec/json.h"
#include "triggers/metric_query.h"

struct addon_settings {
    struct metric_query *query;
    enum over_time op;
    double target; /* 0: none is given */
    double clamp_min, clamp_max;
    bool has_min, has_max;
    double not_found; /* of a metric that nobody has sent; only if has_not_found */
    bool has_not_found;
};

/* meta: an object of texts: metricQuery (required), targetValue (required if needs_target; greater
 * than 0), operationOverTime, clampMin, clampMax, valueIfNotFound; other keys are not looked at.
 * ERR_INVALID tells all that is wrong. On failure ret is empty. */
int addon_settings_read(const json_t *meta, bool needs_target, struct addon_settings *ret,
                        struct err *err);
void addon_settings_done(struct addon_settings *s);

enum addon_state {
    ADDON_FOUND,  /* series count: the value is theirs, clamped */
    ADDON_GONE,   /* the metric is known, no series of it counts now */
    ADDON_UNKNOWN /* nobody has sent it, it is not a number, or the query fails */
};
struct addon_value {
    enum addon_state state;
    double value;     /* 0 unless found */
    double unclamped; /* as the query gave it */
    size_t n;         /* series that count */
    bool has_series;  /* there are some of that name, though their samples may have been dropped */
    int64_t newest_ms, oldest_ms;
    bool is_empty_meant; /* ADDON_GONE is what the query asks for */
    char why[240];       /* of what is not found, and what to do */
};
/* valueIfNotFound makes what is not known ADDON_FOUND with that value. */
void addon_settings_value(const struct addon_settings *s, struct tsdb *db, int64_t now_ms,
                          struct addon_value *ret);

#endif

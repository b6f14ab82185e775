/* SPDX-License-Identifier: Apache-2.0
 *
 * The value in a page of a metrics API (keda.md 5.6), apart from any trigger. */
#ifndef FB_TRIGGERS_METRICS_API_H
#define FB_TRIGGERS_METRICS_API_H

#include "base/err.h"
#include "base/str.h"

enum metrics_api_format {
    METRICS_API_PROMETHEUS,
    METRICS_API_JSON,
    METRICS_API_XML,
    METRICS_API_YAML,
};

/* location, by format:
 *   JSON        a path of GJSON: members and places joined by dots ("a.0.b"; "\." is a dot of a
 *               name), "#" for the length of a list, "#(k==\"v\")" for the first element whose
 *               member k (dots allowed; none: itself) compares so by == != < <= > >= ;
 *   YAML        members and places joined by dots;
 *   PROMETHEUS  name{label="value",...}: the first sample that has these labels.
 * A number, or text that is a Kubernetes quantity, else an error. Texts hold nothing of the page.
 */
int metrics_api_read(enum metrics_api_format format, struct str body, struct str location,
                     double *ret, struct err *err);

#endif

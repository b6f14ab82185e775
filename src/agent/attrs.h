/* SPDX-License-Identifier: Apache-2.0
 *
 * Attributes of resources and data points: an ordered list with unique keys, in an arena. Values
 * are text that knows which kind of OTLP value it stands for. */
#ifndef FB_AGENT_ATTRS_H
#define FB_AGENT_ATTRS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/otlp_write.h"

struct attr {
    struct str key;
    struct otlpw_value value;
};

struct attrs {
    struct attr *items;
    size_t n, cap;
};

/* NULL: there is none. */
const struct otlpw_value *attrs_get(const struct attrs *l, struct str key);
/* Sets or adds; the texts are borrowed and must live as long as the list. */
void attrs_set(struct arena *a, struct attrs *l, struct str key, struct otlpw_value value);
void attrs_del(struct attrs *l, struct str key);
struct attrs attrs_copy(struct arena *a, const struct attrs *l);
/* All of them as the repeated KeyValue of the given field number. */
void attrs_write(struct buf *out, unsigned field, const struct attrs *l);

/* OTEL_RESOURCE_ATTRIBUTES: "k=v,k=v", values URL-decoded. ERR_BAD_INPUT: one fault, and the whole
 * list counts for nothing. */
int attrs_parse_env(struct arena *a, struct str text, struct attrs *ret, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Both ends of `flyball explain`: the command asks /explain of the metrics port with
 * kind=, ns=, name=, last= and o=json, all of them optional. */
#ifndef FB_CMD_EXPLAIN_H
#define FB_CMD_EXPLAIN_H

#include "controllers/hpa_book.h"

/* The answer of the running program; returns the HTTP status. */
int explain_answer(struct hpa_book *b, struct str query, struct buf *out);

#endif

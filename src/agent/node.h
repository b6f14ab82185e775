/* SPDX-License-Identifier: Apache-2.0
 *
 * The collector's configuration as a tree that knows its lines: YAML 1.1 by libyaml's events, all
 * scalars as text (what a text means is the reader's business), in one arena. Aliases and merge
 * keys share their nodes, so there is nothing that could explode.
 *
 * Scalars are expanded as the collector does: ${env:NAME}, ${env:NAME:-default}, ${NAME}, $$ for a
 * dollar; and, as a kubelet does for containers, $(NAME) where NAME is set. */
#ifndef FB_AGENT_NODE_H
#define FB_AGENT_NODE_H

#include "base/arena.h"
#include "base/err.h"

#define NODE_DEPTH_MAX 64

enum node_kind { NODE_NULL, NODE_TEXT, NODE_MAP, NODE_LIST };

struct node {
    enum node_kind kind;
    unsigned line;             /* from 1 */
    struct str text;           /* NODE_TEXT */
    struct str key;            /* of a member of a map */
    struct node *first, *next; /* children of a map or list; siblings */
};

typedef const char *node_getenv(const char *name);

/* One document. ERR_BAD_INPUT with the line. An empty text is an empty map. */
int node_read(struct arena *a, struct str yaml, node_getenv *env, const struct node **ret,
              struct err *err);
/* The member of a map, or NULL. */
const struct node *node_get(const struct node *map, const char *key);

#endif

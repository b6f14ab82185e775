/* SPDX-License-Identifier: Apache-2.0
 *
 * YAML as Kubernetes reads it: libyaml's events into the same trees as JSON, with Go YAML 1.1's
 * scalar rules (yes/no/on/off are booleans, 0777 is octal, dates stay text). Aliases and merge keys
 * are expanded under a budget; depth is bounded while reading. */
#ifndef FB_CODEC_YAML_H
#define FB_CODEC_YAML_H

#include "codec/json.h"

#define YAML_DEPTH_MAX 100
#define YAML_NODES_MAX 1000000

/* All documents of a stream into a new JSON array; empty documents are left out. ERR_BAD_INPUT with
 * line and column. */
int yaml_parse_all(struct str text, json_t **ret, struct err *err);
/* Exactly one document. */
int yaml_parse(struct str text, json_t **ret, struct err *err);
/* Block style, members in their order, two spaces a level; what yaml_parse reads back to an equal
 * tree. Text that a YAML 1.1 reader could take for anything else is quoted. */
void yaml_write(struct buf *out, const json_t *v);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * OTLP metrics in JSON, turned into the same message in protobuf, so that everything behind it is
 * one path. By the OTLP rules for JSON: keys in lowerCamelCase only, unknown ones ignored, enums as
 * integers, trace and span ids in hex, null for absent. One pass, no tree; nesting is bounded by
 * OTLP_DEPTH_MAX. */
#ifndef FB_CODEC_OTLP_JSON_H
#define FB_CODEC_OTLP_JSON_H

#include "base/buf.h"
#include "base/err.h"

/* Appends the ExportMetricsServiceRequest to out. ERR_BAD_INPUT with the offset; ERR_LIMIT if out
 * overflows. */
int otlp_from_json(struct str text, struct buf *out, struct err *err);

#endif

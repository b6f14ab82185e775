/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole bodies in gzip and zstd. Reading is bounded by the maximum of the output buffer, so that a
 * small body cannot become a large one; nothing is kept between calls. */
#ifndef FB_CODEC_COMPRESS_H
#define FB_CODEC_COMPRESS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

/* The names of Content-Encoding and grpc-encoding: "identity", "gzip" (also "x-gzip"), "zstd",
 * without case; an empty name is identity. False: a name that nobody here can read (HTTP 415, gRPC
 * UNIMPLEMENTED). */
bool compression_named(struct str name, enum compression *ret);
/* "identity", "gzip", "zstd" */
const char *compression_name(enum compression c);
/* Appends the plain bytes to out, whose max bounds them. ERR_LIMIT: more than that. ERR_BAD_INPUT:
 * cut, corrupt, followed by bytes that are not a further member or frame, or not of that kind. */
int decompress_body(enum compression c, struct str in, struct buf *out, struct err *err);
/* Appends; ERR_LIMIT when out has no room. */
int compress_body(enum compression c, struct str in, struct buf *out, struct err *err);

#endif

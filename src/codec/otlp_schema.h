/* SPDX-License-Identifier: Apache-2.0
 *
 * The messages of OTLP metrics (opentelemetry.proto, 1.9) as tables: what the protobuf check and
 * the JSON reader go by. A message's fields stand at their numbers. */
#ifndef FB_CODEC_OTLP_SCHEMA_H
#define FB_CODEC_OTLP_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#define OTLP_FIELDS_MAX 16 /* one more than the highest field number in use */
#define OTLP_DEPTH_MAX 100 /* of nested messages; 9 are needed without nested attribute values */

enum otlp_type {
    OTLP_NONE, /* no such field */
    OTLP_STRING,
    OTLP_BYTES,
    OTLP_ID, /* bytes that JSON writes in hex */
    OTLP_BOOL,
    OTLP_ENUM,
    OTLP_UINT32,
    OTLP_SINT32, /* zigzag */
    OTLP_INT64,  /* varint */
    OTLP_UINT64, /* varint */
    OTLP_FIXED64,
    OTLP_SFIXED64,
    OTLP_DOUBLE,
    OTLP_MESSAGE,
};

struct otlp_message;
struct otlp_field {
    const char *json; /* lowerCamelCase */
    uint8_t type;     /* enum otlp_type */
    bool repeated;
    uint8_t id_bytes;                   /* OTLP_ID */
    const struct otlp_message *message; /* OTLP_MESSAGE */
};

struct otlp_message {
    const char *name;
    struct otlp_field fields[OTLP_FIELDS_MAX];
};

/* ExportMetricsServiceRequest. */
extern const struct otlp_message otlp_request;

#endif

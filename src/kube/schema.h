/* SPDX-License-Identifier: Apache-2.0
 *
 * Field tables of the kinds, made at build time from kube-types.tsv (built-in types, with protobuf
 * numbers and patch keys) and custom-types.tsv (KServe's and KEDA's CRDs, with rules and
 * descriptions). One table serves strict decoding, CRD validation, protobuf bodies and the OpenAPI
 * document. */
#ifndef FB_KUBE_SCHEMA_H
#define FB_KUBE_SCHEMA_H

#include <stdint.h>

#include "kube/validate.h"

enum schema_card { SCHEMA_ONE, SCHEMA_LIST, SCHEMA_MAP };
enum schema_kind {
    SCHEMA_MESSAGE,
    SCHEMA_STRING,
    SCHEMA_BOOL,
    SCHEMA_INT32,
    SCHEMA_INT64,
    SCHEMA_DOUBLE,
    SCHEMA_BYTES, /* base64 in JSON */
    SCHEMA_ANY,   /* a tree nobody looks into */
    SCHEMA_QUANTITY,
    SCHEMA_INT_OR_STRING,
    SCHEMA_TIME,
    SCHEMA_MICRO_TIME,
    SCHEMA_RAW,     /* JSON bytes on the wire */
    SCHEMA_STRINGS, /* a message on the wire, a bare list in JSON */
};

struct schema_field {
    const char *name;    /* "": the message's fields stand inline in the parent */
    const char *allowed; /* "a|b", or NULL */
    const char *doc;     /* or NULL */
    const char *patch_strategy, *patch_key;
    uint8_t card;     /* enum schema_card */
    uint8_t kind;     /* enum schema_kind */
    uint16_t message; /* index into schema_types, for SCHEMA_MESSAGE */
    char presence;    /* 'p' absent and zero differ, 'r' always written, '-' zero means absent */
    uint16_t number;  /* protobuf; 0: none */
    bool required;
    int64_t min, max;
    uint16_t min_length; /* of a string or list */
};

struct schema_type {
    const char *name; /* "apps.v1.DeploymentSpec" */
    uint16_t first, n;
};

extern const struct schema_field schema_fields[];
extern const struct schema_type schema_types[];
extern const size_t schema_types_n;

/* By name, or NULL. */
const struct schema_type *schema_type(const char *name);
/* Of a kind, or NULL where there is no table (nothing is checked then). */
const struct schema_type *schema_of(const struct kind *k);
/* The field of that JSON name, inline messages included, or NULL. */
const struct schema_field *schema_field(const struct schema_type *t, struct str name);
/* The name the writer probably meant, or NULL. */
const char *schema_suggest(const struct schema_type *t, struct str name);

/* Removes what the kind does not have, as decoding does, and notes each removed path in unknown,
 * one a line: `unknown field "spec.predictor.minReplica" (did you mean "minReplicas"?)`. */
void schema_prune(const struct kind *k, json_t *o, struct buf *unknown);
/* Types, and for custom kinds the rules of their CRD. */
void schema_validate(const struct kind *k, const json_t *o, struct field_errors *e);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/scaler_descriptor.h"

#include "base/mem.h"
#include "codec/protobuf_write.h"

/* Numbers of descriptor.proto. */
enum { TYPE_DOUBLE = 1, TYPE_INT64 = 3, TYPE_BOOL = 8, TYPE_STRING = 9, TYPE_MESSAGE = 11 };
enum { LABEL_OPTIONAL = 1, LABEL_REPEATED = 3 };

#define FIELDS_MAX 3
#define PACKAGE ".externalscaler."

struct field {
    const char *name, *json_name;
    unsigned type;
    const char *message; /* of TYPE_MESSAGE: its name */
    bool is_repeated;
};

/* A field's number is its place. */
static const struct message {
    const char *name;
    struct field fields[FIELDS_MAX];
    bool has_map; /* string to string, under the name of its last field */
} messages[] = {
    {"ScaledObjectRef",
     {{"name", "name", TYPE_STRING, NULL, false},
      {"namespace", "namespace", TYPE_STRING, NULL, false},
      {"scalerMetadata", "scalerMetadata", TYPE_MESSAGE, "ScaledObjectRef.ScalerMetadataEntry",
       true}},
     true},
    {"IsActiveResponse", {{"result", "result", TYPE_BOOL, NULL, false}}, false},
    {"GetMetricSpecResponse",
     {{"metricSpecs", "metricSpecs", TYPE_MESSAGE, "MetricSpec", true}},
     false},
    {"MetricSpec",
     {{"metricName", "metricName", TYPE_STRING, NULL, false},
      {"targetSize", "targetSize", TYPE_INT64, NULL, false},
      {"targetSizeFloat", "targetSizeFloat", TYPE_DOUBLE, NULL, false}},
     false},
    {"GetMetricsRequest",
     {{"scaledObjectRef", "scaledObjectRef", TYPE_MESSAGE, "ScaledObjectRef", false},
      {"metricName", "metricName", TYPE_STRING, NULL, false}},
     false},
    {"GetMetricsResponse",
     {{"metricValues", "metricValues", TYPE_MESSAGE, "MetricValue", true}},
     false},
    {"MetricValue",
     {{"metricName", "metricName", TYPE_STRING, NULL, false},
      {"metricValue", "metricValue", TYPE_INT64, NULL, false},
      {"metricValueFloat", "metricValueFloat", TYPE_DOUBLE, NULL, false}},
     false},
};

static const struct {
    const char *name, *takes, *gives;
    bool is_stream;
} methods[] = {
    {"IsActive", "ScaledObjectRef", "IsActiveResponse", false},
    {"StreamIsActive", "ScaledObjectRef", "IsActiveResponse", true},
    {"GetMetricSpec", "ScaledObjectRef", "GetMetricSpecResponse", false},
    {"GetMetrics", "GetMetricsRequest", "GetMetricsResponse", false},
    {"StreamMetricSpec", "ScaledObjectRef", "GetMetricSpecResponse", true},
};

static void put_type_name(struct buf *out, unsigned number, const char *message)
{
    struct buf b = BUF_INIT;

    buf_printf(&b, PACKAGE "%s", message);
    pb_put_bytes(out, number, buf_str(&b));
    buf_done(&b);
}

static void put_field(struct buf *out, unsigned number, const struct field *f)
{
    struct buf b = BUF_INIT;

    pb_put_bytes(&b, 1, str_of(f->name));
    pb_put_varint(&b, 3, number);
    pb_put_varint(&b, 4, f->is_repeated ? LABEL_REPEATED : LABEL_OPTIONAL);
    pb_put_varint(&b, 5, f->type);
    if (f->message)
        put_type_name(&b, 6, f->message);
    pb_put_bytes(&b, 10, str_of(f->json_name));
    pb_put_bytes(out, 2, buf_str(&b));
    buf_done(&b);
}

static void put_map_entry(struct buf *out)
{
    static const struct field key = {"key", "key", TYPE_STRING, NULL, false},
                              value = {"value", "value", TYPE_STRING, NULL, false};
    struct buf b = BUF_INIT, options = BUF_INIT;

    pb_put_bytes(&b, 1, STR("ScalerMetadataEntry"));
    put_field(&b, 1, &key);
    put_field(&b, 2, &value);
    pb_put_varint(&options, 7, true); /* map_entry */
    pb_put_bytes(&b, 7, buf_str(&options));
    pb_put_bytes(out, 3, buf_str(&b));
    buf_done(&b);
    buf_done(&options);
}

static void put_message(struct buf *out, const struct message *m)
{
    struct buf b = BUF_INIT;

    pb_put_bytes(&b, 1, str_of(m->name));
    for (unsigned i = 0; i < FIELDS_MAX && m->fields[i].name; i++)
        put_field(&b, i + 1, &m->fields[i]);
    if (m->has_map)
        put_map_entry(&b);
    pb_put_bytes(out, 4, buf_str(&b));
    buf_done(&b);
}

static void put_service(struct buf *out)
{
    struct buf b = BUF_INIT;

    pb_put_bytes(&b, 1, STR("ExternalScaler"));
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        struct buf m = BUF_INIT;

        pb_put_bytes(&m, 1, str_of(methods[i].name));
        put_type_name(&m, 2, methods[i].takes);
        put_type_name(&m, 3, methods[i].gives);
        pb_put_varint_if(&m, 6, methods[i].is_stream);
        pb_put_bytes(&b, 2, buf_str(&m));
        buf_done(&m);
    }
    pb_put_bytes(out, 6, buf_str(&b));
    buf_done(&b);
}

void scaler_descriptor_write(struct buf *out)
{
    pb_put_bytes(out, 1, STR("externalscaler.proto"));
    pb_put_bytes(out, 2, STR("externalscaler"));
    for (size_t i = 0; i < ARRAY_LEN(messages); i++)
        put_message(out, &messages[i]);
    put_service(out);
    pb_put_bytes(out, 12, STR("proto3"));
}

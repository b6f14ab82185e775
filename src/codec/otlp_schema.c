/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/otlp_schema.h"

#define SCALAR(t, key)             \
    {                              \
        .json = (key), .type = (t) \
    }
#define REPEATED(t, key)                             \
    {                                                \
        .json = (key), .type = (t), .repeated = true \
    }
#define ID(key, n)                                      \
    {                                                   \
        .json = (key), .type = OTLP_ID, .id_bytes = (n) \
    }
#define ONE(m, key)                                          \
    {                                                        \
        .json = (key), .type = OTLP_MESSAGE, .message = &(m) \
    }
#define MANY(m, key)                                                           \
    {                                                                          \
        .json = (key), .type = OTLP_MESSAGE, .repeated = true, .message = &(m) \
    }

static const struct otlp_message any_value;

static const struct otlp_message key_value = {
    "KeyValue", {[1] = SCALAR(OTLP_STRING, "key"), [2] = ONE(any_value, "value")}};

static const struct otlp_message array_value = {"ArrayValue", {[1] = MANY(any_value, "values")}};

static const struct otlp_message key_value_list = {"KeyValueList",
                                                   {[1] = MANY(key_value, "values")}};

static const struct otlp_message any_value = {"AnyValue",
                                              {[1] = SCALAR(OTLP_STRING, "stringValue"),
                                               [2] = SCALAR(OTLP_BOOL, "boolValue"),
                                               [3] = SCALAR(OTLP_INT64, "intValue"),
                                               [4] = SCALAR(OTLP_DOUBLE, "doubleValue"),
                                               [5] = ONE(array_value, "arrayValue"),
                                               [6] = ONE(key_value_list, "kvlistValue"),
                                               [7] = SCALAR(OTLP_BYTES, "bytesValue")}};

static const struct otlp_message entity_ref = {"EntityRef",
                                               {[1] = SCALAR(OTLP_STRING, "schemaUrl"),
                                                [2] = SCALAR(OTLP_STRING, "type"),
                                                [3] = REPEATED(OTLP_STRING, "idKeys"),
                                                [4] = REPEATED(OTLP_STRING, "descriptionKeys")}};

static const struct otlp_message resource = {"Resource",
                                             {[1] = MANY(key_value, "attributes"),
                                              [2] = SCALAR(OTLP_UINT32, "droppedAttributesCount"),
                                              [3] = MANY(entity_ref, "entityRefs")}};

static const struct otlp_message scope = {"InstrumentationScope",
                                          {[1] = SCALAR(OTLP_STRING, "name"),
                                           [2] = SCALAR(OTLP_STRING, "version"),
                                           [3] = MANY(key_value, "attributes"),
                                           [4] = SCALAR(OTLP_UINT32, "droppedAttributesCount")}};

static const struct otlp_message exemplar = {"Exemplar",
                                             {[2] = SCALAR(OTLP_FIXED64, "timeUnixNano"),
                                              [3] = SCALAR(OTLP_DOUBLE, "asDouble"),
                                              [4] = ID("spanId", 8),
                                              [5] = ID("traceId", 16),
                                              [6] = SCALAR(OTLP_SFIXED64, "asInt"),
                                              [7] = MANY(key_value, "filteredAttributes")}};

static const struct otlp_message number_point = {"NumberDataPoint",
                                                 {[2] = SCALAR(OTLP_FIXED64, "startTimeUnixNano"),
                                                  [3] = SCALAR(OTLP_FIXED64, "timeUnixNano"),
                                                  [4] = SCALAR(OTLP_DOUBLE, "asDouble"),
                                                  [5] = MANY(exemplar, "exemplars"),
                                                  [6] = SCALAR(OTLP_SFIXED64, "asInt"),
                                                  [7] = MANY(key_value, "attributes"),
                                                  [8] = SCALAR(OTLP_UINT32, "flags")}};

static const struct otlp_message histogram_point = {
    "HistogramDataPoint",
    {[2] = SCALAR(OTLP_FIXED64, "startTimeUnixNano"),
     [3] = SCALAR(OTLP_FIXED64, "timeUnixNano"),
     [4] = SCALAR(OTLP_FIXED64, "count"),
     [5] = SCALAR(OTLP_DOUBLE, "sum"),
     [6] = REPEATED(OTLP_FIXED64, "bucketCounts"),
     [7] = REPEATED(OTLP_DOUBLE, "explicitBounds"),
     [8] = MANY(exemplar, "exemplars"),
     [9] = MANY(key_value, "attributes"),
     [10] = SCALAR(OTLP_UINT32, "flags"),
     [11] = SCALAR(OTLP_DOUBLE, "min"),
     [12] = SCALAR(OTLP_DOUBLE, "max")}};

static const struct otlp_message buckets = {
    "Buckets", {[1] = SCALAR(OTLP_SINT32, "offset"), [2] = REPEATED(OTLP_UINT64, "bucketCounts")}};

static const struct otlp_message exponential_point = {
    "ExponentialHistogramDataPoint",
    {[1] = MANY(key_value, "attributes"),
     [2] = SCALAR(OTLP_FIXED64, "startTimeUnixNano"),
     [3] = SCALAR(OTLP_FIXED64, "timeUnixNano"),
     [4] = SCALAR(OTLP_FIXED64, "count"),
     [5] = SCALAR(OTLP_DOUBLE, "sum"),
     [6] = SCALAR(OTLP_SINT32, "scale"),
     [7] = SCALAR(OTLP_FIXED64, "zeroCount"),
     [8] = ONE(buckets, "positive"),
     [9] = ONE(buckets, "negative"),
     [10] = SCALAR(OTLP_UINT32, "flags"),
     [11] = MANY(exemplar, "exemplars"),
     [12] = SCALAR(OTLP_DOUBLE, "min"),
     [13] = SCALAR(OTLP_DOUBLE, "max"),
     [14] = SCALAR(OTLP_DOUBLE, "zeroThreshold")}};

static const struct otlp_message quantile = {
    "ValueAtQuantile", {[1] = SCALAR(OTLP_DOUBLE, "quantile"), [2] = SCALAR(OTLP_DOUBLE, "value")}};

static const struct otlp_message summary_point = {"SummaryDataPoint",
                                                  {[2] = SCALAR(OTLP_FIXED64, "startTimeUnixNano"),
                                                   [3] = SCALAR(OTLP_FIXED64, "timeUnixNano"),
                                                   [4] = SCALAR(OTLP_FIXED64, "count"),
                                                   [5] = SCALAR(OTLP_DOUBLE, "sum"),
                                                   [6] = MANY(quantile, "quantileValues"),
                                                   [7] = MANY(key_value, "attributes"),
                                                   [8] = SCALAR(OTLP_UINT32, "flags")}};

static const struct otlp_message gauge = {"Gauge", {[1] = MANY(number_point, "dataPoints")}};

static const struct otlp_message sum = {"Sum",
                                        {[1] = MANY(number_point, "dataPoints"),
                                         [2] = SCALAR(OTLP_ENUM, "aggregationTemporality"),
                                         [3] = SCALAR(OTLP_BOOL, "isMonotonic")}};

static const struct otlp_message histogram = {
    "Histogram",
    {[1] = MANY(histogram_point, "dataPoints"), [2] = SCALAR(OTLP_ENUM, "aggregationTemporality")}};

static const struct otlp_message exponential_histogram = {
    "ExponentialHistogram",
    {[1] = MANY(exponential_point, "dataPoints"),
     [2] = SCALAR(OTLP_ENUM, "aggregationTemporality")}};

static const struct otlp_message summary = {"Summary", {[1] = MANY(summary_point, "dataPoints")}};

static const struct otlp_message metric = {
    "Metric",
    {[1] = SCALAR(OTLP_STRING, "name"),
     [2] = SCALAR(OTLP_STRING, "description"),
     [3] = SCALAR(OTLP_STRING, "unit"),
     [5] = ONE(gauge, "gauge"),
     [7] = ONE(sum, "sum"),
     [9] = ONE(histogram, "histogram"),
     [10] = ONE(exponential_histogram, "exponentialHistogram"),
     [11] = ONE(summary, "summary"),
     [12] = MANY(key_value, "metadata")}};

static const struct otlp_message scope_metrics = {"ScopeMetrics",
                                                  {[1] = ONE(scope, "scope"),
                                                   [2] = MANY(metric, "metrics"),
                                                   [3] = SCALAR(OTLP_STRING, "schemaUrl")}};

static const struct otlp_message resource_metrics = {"ResourceMetrics",
                                                     {[1] = ONE(resource, "resource"),
                                                      [2] = MANY(scope_metrics, "scopeMetrics"),
                                                      [3] = SCALAR(OTLP_STRING, "schemaUrl")}};

const struct otlp_message otlp_request = {"ExportMetricsServiceRequest",
                                          {[1] = MANY(resource_metrics, "resourceMetrics")}};

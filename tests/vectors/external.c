/* SPDX-License-Identifier: Apache-2.0
 *
 * The client side of external scalers. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/quantity.h"
#include "triggers/external.h"
#include "triggers/metric_name.h"
#include "vectors.h"

#define NUMBERS_MAX 8

static size_t read_numbers(const json_t *list, struct scaler_number *out)
{
    const json_t *v;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, v) {
        FB_ASSERT(i < NUMBERS_MAX);
        out[i].name = json_strv(json_object_get(v, "metricName"));
        out[i].whole = json_int(v, "targetSize", json_int(v, "metricValue", 0));
        out[i].real = json_number_value(json_object_get(
            v, json_object_get(v, "targetSizeFloat") ? "targetSizeFloat" : "metricValueFloat"));
    }
    return json_array_size(list);
}

static bool same_quantity(struct buf *why, const char *what, double v, const char *expected)
{
    struct quantity q = quantity_of_double(v);
    char text[64];

    return vector_same_text(why, what, quantity_text(&q, text), expected);
}

static bool specs(const json_t *given, const json_t *expect, struct buf *why)
{
    struct scaler_number list[NUMBERS_MAX];
    size_t n = read_numbers(json_object_get(given, "metricSpecs"), list);
    bool ok = true;

    for (size_t i = 0; i < n; i++) {
        const json_t *wanted = json_array_get(json_object_get(expect, "specs"), i);
        AUTO_FREE char *remote = str_dup(list[i].name);
        AUTO_FREE char *name = trigger_metric_name_of(
            "external", (int)json_int(given, "triggerIndex", 0), NULL, STR("default"), remote);

        ok &= vector_same_text(why, "name", name, json_text(wanted, "name", "")) &&
              same_quantity(why, "target", scaler_number_value(&list[i]),
                            json_text(wanted, "averageValue", ""));
    }
    return ok;
}

/* The HPA adds up what KEDA reports as several values under one name. */
static bool values(const json_t *given, const json_t *expect, struct buf *why)
{
    const char *requested = json_text(given, "requestedMetric", "");
    struct scaler_number list[NUMBERS_MAX];
    size_t n = read_numbers(json_object_get(given, "metricValues"), list);
    const json_t *items = json_object_get(expect, "items"), *item;
    struct str metric;
    struct err err = ERR_INIT;
    double sum = 0, wanted = 0;
    size_t i;
    int r = external_metric_of((int)json_int(given, "triggerIndex", 0), str_of(requested), &metric,
                               &err);

    if (r == 0)
        r = external_sum(list, n, &sum, &err);
    if (json_bool(expect, "error", false))
        return r < 0;
    if (r < 0) {
        buf_printf(why, "error '%s'", err.msg);
        return false;
    }
    json_array_foreach ((json_t *)(uintptr_t)items, i, item) {
        struct quantity q;

        if (quantity_parse(json_strv(json_array_get(item, 1)), &q, NULL) < 0)
            return false;
        wanted += (double)quantity_milli(&q) / 1000;
    }
    if (json_object_get(expect, "sentMetricName") &&
        !str_is(metric, json_text(expect, "sentMetricName", ""))) {
        buf_printf(why, "sent name is '%.*s'; ", STR_ARG(metric));
        return false;
    }
    if (sum != wanted)
        buf_printf(why, "sum is %g, expected %g; ", sum, wanted);
    return sum == wanted;
}

static enum external_ending ending_of(const char *t)
{
    return strcmp(t, "EOF") == 0             ? EXTERNAL_ENDED
           : strcmp(t, "Unimplemented") == 0 ? EXTERNAL_UNIMPLEMENTED
           : strstr(t, "-after-message")     ? EXTERNAL_FAILED_LATER
                                             : EXTERNAL_FAILED;
}

static bool stream(const json_t *given, const json_t *expect, struct buf *why)
{
    const json_t *v;
    struct external_backoff b = {0};
    int64_t wait = 0;
    bool ok = true;
    size_t i;

    json_array_foreach (json_object_get(given, "endings"), i, v) {
        wait = external_backoff(&b, ending_of(json_string_value(v)));
        if (wait >= 0)
            ok &= vector_same_int(
                why, "delay", wait / 1000,
                json_integer_value(json_array_get(json_object_get(expect, "delaysSeconds"), i)));
    }
    return ok && vector_same_int(why, "stopped", wait < 0, json_bool(expect, "stopped", false));
}

/* Where a message comes from does not matter: only a true counts. */
static bool messages(const json_t *given, const json_t *expect, struct buf *why)
{
    const json_t *v;
    int64_t requests = 0;
    size_t i;

    json_array_foreach (json_object_get(given, "messages"), i, v) {
        struct buf b = BUF_INIT;
        bool is_active = false;

        scaler_active_encode(&b, json_is_true(v));
        if (scaler_active_decode(buf_str(&b), &is_active, NULL) == 0)
            requests += is_active;
        buf_done(&b);
    }
    return vector_same_int(why, "scaleRequests", requests, json_int(expect, "scaleRequests", -1));
}

/* The channel of a trigger's configuration; the vectors' "a" and "b" stand for certificates. */
static struct grpc_channel *channel_of(struct grpc_client *c, const json_t *trigger,
                                       const struct tls_pair *a, const struct tls_pair *b,
                                       struct buf *why)
{
    const char *ca = json_text(trigger, "caCert", "");
    struct tls_client_options tls = {.ca_pem = str_of(strcmp(ca, "a") == 0 ? a->cert_pem
                                                      : *ca                ? b->cert_pem
                                                                           : "")};
    struct grpc_channel_options o = {.target = json_text(trigger, "scalerAddress", ""),
                                     .tls = json_object_get(trigger, "enableTLS") || *ca ? &tls
                                                                                         : NULL};
    struct grpc_channel *ret = NULL;
    struct err err = ERR_INIT;

    if (grpc_channel_get(c, &o, &ret, &err) < 0)
        buf_printf(why, "error '%s'; ", err.msg);
    return ret;
}

static bool connections(const json_t *given, const json_t *expect, struct buf *why)
{
    struct loop *loop = loop_new();
    struct grpc_client *c = grpc_client_new(loop, &(struct grpc_client_options){0});
    struct tls_pair a = {0}, b = {0};
    struct grpc_channel *left, *right;
    bool ok = tls_make_ca("a", 1, &a, NULL) == 0 && tls_make_ca("b", 1, &b, NULL) == 0;

    left = channel_of(c, json_object_get(given, "left"), &a, &b, why);
    right = channel_of(c, json_object_get(given, "right"), &a, &b, why);
    ok &= left && right &&
          vector_same_int(why, "sameConnection", left == right,
                          json_bool(expect, "sameConnection", false));
    grpc_channel_release(left);
    grpc_channel_release(right);
    grpc_client_free(c);
    loop_free(loop);
    tls_pair_done(&a);
    tls_pair_done(&b);
    return ok;
}

bool vector_external(const json_t *v, struct buf *why)
{
    const json_t *given = json_object_get(v, "given"), *expect = json_object_get(v, "expect");

    if (json_object_get(given, "left"))
        return connections(given, expect, why);
    if (json_object_get(given, "metricSpecs"))
        return specs(given, expect, why);
    if (json_object_get(given, "requestedMetric"))
        return values(given, expect, why);
    if (json_object_get(given, "endings"))
        return stream(given, expect, why);
    if (json_object_get(given, "messages"))
        return messages(given, expect, why);
    buf_printf(why, "of an unknown form");
    return false;
}

/* A stream of an older generation or of another object ends with its trigger, so that there is
 * nothing to compare (tests/system/test_external_remote.py). */
bool vector_is_external_rule(const json_t *v)
{
    const json_t *given = json_object_get(v, "given");

    return !json_object_get(given, "streamGeneration") && !json_object_get(given, "streamUid");
}

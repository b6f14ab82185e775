/* SPDX-License-Identifier: Apache-2.0 */
#include "autoscale/keda_hpa.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "codec/quantity.h"

#define VERSION "2.18.0" /* of the KEDA whose objects these are */
#define LABEL_MAX 63

const char *keda_hpa_name(const json_t *so, char out[KEDA_HPA_NAME_MAX])
{
    const char *given = json_text(so, "spec.advanced.horizontalPodAutoscalerConfig.name", "");

    if (*given)
        snprintf(out, KEDA_HPA_NAME_MAX, "%.253s", given);
    else
        snprintf(out, KEDA_HPA_NAME_MAX, "keda-hpa-%.240s", json_text(so, "metadata.name", ""));
    return out;
}

void keda_hpa_done(struct keda_hpa *h)
{
    json_decref(h->object);
    json_decref(h->external_names);
    json_decref(h->resource_names);
    *h = (struct keda_hpa){0};
}

/* --- metadata --- */

static bool is_excluded(const json_t *annotations, const char *label)
{
    struct str rest = json_strv(
                   json_object_get(annotations, "scaledobject.keda.sh/hpa-excluded-labels")),
               one;

    while (rest.p && str_split(&rest, ',', &one))
        if (str_is(one, label))
            return true;
    return false;
}

static json_t *labels_of(const json_t *so, const char *hpa_name)
{
    const json_t *annotations = json_at(so, "metadata.annotations"), *v;
    size_t n = strlen(hpa_name);
    const char *key;
    json_t *labels;

    if (n > LABEL_MAX)
        n = LABEL_MAX;
    while (n > 0 && !isalnum((unsigned char)hpa_name[n - 1]))
        n--;
    labels = json_pack("{s:o,s:s,s:s,s:s}", "app.kubernetes.io/name",
                       json_str_new(str_n(hpa_name, n)), "app.kubernetes.io/version", VERSION,
                       "app.kubernetes.io/part-of", json_text(so, "metadata.name", ""),
                       "app.kubernetes.io/managed-by", "keda-operator");
    json_members (json_at(so, "metadata.labels"), key, v)
        if (!is_excluded(annotations, key))
            json_object_set(labels, key, (json_t *)(uintptr_t)v);
    return labels;
}

static json_t *annotations_of(const json_t *so)
{
    const json_t *have = json_at(so, "metadata.annotations");
    json_t *out = have ? json_deep_copy(have) : json_object();

    json_object_del(out, "kubectl.kubernetes.io/last-applied-configuration");
    return out;
}

/* --- spec.metrics --- */

static void add_type(json_t *out, const json_t *metrics, const char *type)
{
    const json_t *m;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)metrics, i, m)
        if (strcmp(json_text(m, "type", ""), type) == 0)
            json_array_append_new(out, json_deep_copy(m));
}

static json_t *composite_of(const struct keda_modifiers *m, const char *so_name)
{
    struct quantity q = quantity_of_double_cut(m->target);
    char text[64];

    return json_pack("{s:s,s:{s:{s:s,s:{s:{s:s}}},s:{s:s,s:s}}}", "type", "External", "external",
                     "metric", "name", KEDA_COMPOSITE, "selector", "matchLabels",
                     "scaledobject.keda.sh/name", so_name, "target", "type",
                     m->is_value ? "Value" : "AverageValue", m->is_value ? "value" : "averageValue",
                     quantity_text(&q, text));
}

static int name_metrics(const json_t *metrics, struct keda_hpa *h, struct err *err)
{
    const json_t *m, *v;
    size_t i, k;

    json_array_foreach ((json_t *)(uintptr_t)metrics, i, m) {
        const char *type = json_text(m, "type", ""),
                   *name = json_text(m, "external.metric.name", "");

        if (strcmp(type, "Resource") == 0)
            json_array_append_new(h->resource_names,
                                  json_string(json_text(m, "resource.name", "")));
        if (strcmp(type, "External") != 0)
            continue;
        json_array_foreach (h->external_names, k, v)
            if (str_is(json_strv(v), name))
                return err_set(err, ERR_INVALID,
                               "metricName %s defined multiple times in ScaledObject", name);
        json_array_append_new(h->external_names, json_string(name));
    }
    return json_array_size(metrics) ? 0
                                    : err_set(err, ERR_INVALID,
                                              "no trigger of the ScaledObject gives a metric, so "
                                              "there is nothing to scale on");
}

/* A pause in one direction is the HPA's policy Disabled. */
static json_t *behavior_of(const json_t *so)
{
    const json_t *given = json_at(so, "spec.advanced.horizontalPodAutoscalerConfig.behavior");
    json_t *out = json_is_object(given) ? json_deep_copy(given) : NULL;
    struct keda_pauses p;

    keda_pauses_read(json_at(so, "metadata.annotations"), &p);
    if (!out && (p.scale_in || p.scale_out))
        out = json_object();
    if (p.scale_in)
        json_put(out, "scaleDown.selectPolicy", json_string("Disabled"));
    if (p.scale_out)
        json_put(out, "scaleUp.selectPolicy", json_string("Disabled"));
    return out;
}

int keda_hpa_make(const json_t *so, const json_t *metrics, const char *api_version,
                  const char *kind, struct keda_hpa *h, struct err *err)
{
    const char *so_name = json_text(so, "metadata.name", "");
    json_t *list = json_array(), *behavior, *spec;
    char name[KEDA_HPA_NAME_MAX];
    struct keda_spec s;
    int r;

    keda_spec_read(json_object_get(so, "spec"), &s);
    *h = (struct keda_hpa){.external_names = json_array(),
                           .resource_names = json_array(),
                           .is_composite = s.modifiers.is_used && s.modifiers.target > 0};
    if ((r = name_metrics(metrics, h, err)) < 0) {
        json_decref(list);
        keda_hpa_done(h);
        return r;
    }
    add_type(list, metrics, "ContainerResource");
    if (!h->is_composite)
        add_type(list, metrics, "External");
    add_type(list, metrics, "Resource");
    if (h->is_composite)
        json_array_append_new(list, composite_of(&s.modifiers, so_name));
    spec = json_pack("{s:{s:s,s:s,s:s},s:I,s:I,s:o}", "scaleTargetRef", "apiVersion", api_version,
                     "kind", kind, "name", json_text(so, "spec.scaleTargetRef.name", ""),
                     "minReplicas", (json_int_t)(s.min > 1 ? s.min : 1), "maxReplicas",
                     (json_int_t)s.max, "metrics", list);
    if ((behavior = behavior_of(so)))
        json_object_set_new(spec, "behavior", behavior);
    keda_hpa_name(so, name);
    h->object = json_pack("{s:s,s:s,s:{s:s,s:o,s:o},s:o}", "apiVersion", "autoscaling/v2", "kind",
                          "HorizontalPodAutoscaler", "metadata", "name", name, "labels",
                          labels_of(so, name), "annotations", annotations_of(so), "spec", spec);
    return 0;
}

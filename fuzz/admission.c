/* SPDX-License-Identifier: Apache-2.0
 *
 * Any object of any served kind through admission as a create and as an update of itself, through
 * the versions it is served in, a collector into a pod, and a pod under a LimitRange. */
#include <stdlib.h>

#include "base/mem.h"
#include "codec/yaml.h"
#include "kube/inject.h"
#include "kube/limit_range.h"
#include "kube/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A cluster of one collector. */
struct fake {
    struct cluster cluster;
    const struct object *collector;
};

static const struct object *fake_get(struct cluster *c, enum kind_id kind, struct str ns,
                                     struct str name)
{
    (void)ns;
    (void)name;
    return kind == KIND_OTELCOLLECTOR ? ((struct fake *)c)->collector : NULL;
}

static void fake_each(struct cluster *c, enum kind_id kind, struct str ns,
                      const struct selector *sel, cluster_each_fn *fn, void *arg)
{
    (void)ns;
    (void)sel;
    if (kind == KIND_OTELCOLLECTOR)
        fn(arg, ((struct fake *)c)->collector);
}

static const struct cluster_ops fake_ops = {.get = fake_get, .each = fake_each};

static bool admitted(const struct kind *k, enum admit_op op, json_t *o, const json_t *was)
{
    struct denial d = {0};
    int r = admit(NULL, k, op, o, was, FIELDS_WARN, &d);

    denial_done(&d);
    return r == 0;
}

/* What was admitted is injected, and the pod it comes out of is admitted too. */
static void inject(const struct kind *k, const json_t *o)
{
    struct object *collector = NULL;
    AUTO_JSON json_t *pod = json_pack(
        "{s:s,s:s,s:{s:s,s:s,s:{s:s}},s:{s:[{s:s,s:s}]}}", "apiVersion", "v1", "kind", "Pod",
        "metadata", "name", "p", "namespace", "n", "annotations", "sidecar.opentelemetry.io/inject",
        "c", "spec", "containers", "name", "main", "image", "i");

    if (object_new(k, o, &collector, NULL) == 0) {
        struct fake f = {{.ops = &fake_ops}, collector};

        inject_collector(&f.cluster, pod);
        admitted(kind_of(KIND_POD), ADMIT_CREATE, pod, NULL);
    }
    object_unref(collector);
}

/* Any LimitRange over a pod, and any pod under a LimitRange. */
static void limit(const struct kind *k, json_t *o)
{
    AUTO_JSON json_t *pod = json_pack("{s:{s:s},s:{s:[{s:s,s:{s:{s:s}}}]}}", "metadata", "name",
                                      "p", "spec", "containers", "name", "c", "resources", "limits",
                                      "cpu", "1"),
                     *range = json_pack("[{s:s,s:{s:s},s:{s:s}},{s:s,s:{s:s}}]", "type",
                                        "Container", "default", "cpu", "1", "maxLimitRequestRatio",
                                        "cpu", "2", "type", "Pod", "max", "cpu", "3");
    json_t *limits = k->id == KIND_POD ? range : json_at(o, "spec.limits"),
           *on = k->id == KIND_POD ? o : pod;
    struct buf why = BUF_INIT;

    limit_range_default(limits, on);
    limit_range_admits(limits, on, &why);
    buf_done(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct kind_alias *alias = NULL;
    AUTO_JSON json_t *o = NULL, *was = NULL;
    const struct kind *k;

    if (yaml_parse(str_n(data, n), &o, NULL) < 0 || !json_is_object(o))
        return 0;
    k = kind_by_type(str_of(json_text(o, "apiVersion", "")), str_of(json_text(o, "kind", "")),
                     &alias);
    if (!k || !json_is_object(json_object_get(o, "metadata")))
        return 0;
    if (alias && alias->to_stored)
        alias->to_stored(o);
    if (!admitted(k, ADMIT_CREATE, o, NULL))
        return 0;
    was = json_deep_copy(o);
    admitted(k, ADMIT_UPDATE, o, was);
    if (k->id == KIND_OTELCOLLECTOR)
        inject(k, o);
    if (k->id == KIND_POD || k->id == KIND_LIMITRANGE)
        limit(k, o);
    for (const struct kind_alias *a = k->aliases; a && a->version; a++)
        if (a->from_stored)
            a->from_stored(o);
    return 0;
}

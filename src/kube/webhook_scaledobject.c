/* SPDX-License-Identifier: Apache-2.0
 *
 * The admission webhook of KEDA: the rules (autoscale/keda_valid.h) with what they look at. */
#include "autoscale/keda_valid.h"
#include "base/mem.h"
#include "kube/limit_range.h"
#include "kube/rules.h"
#include "kube/validations.h"

#define HOOK "admission webhook \"vscaledobject.kb.io\" denied the request: "

struct look {
    const json_t *so;
    struct keda_refusal *refusal;
};

static void compare_scaled_object(void *arg, const struct object *o)
{
    struct look *x = arg;
    AUTO_JSON json_t *other = NULL;

    if (x->refusal->reason || o->deleting_ms)
        return;
    other = object_tree(o);
    keda_admit_other(x->so, other, x->refusal);
}

static void compare_hpa(void *arg, const struct object *o)
{
    struct look *x = arg;
    AUTO_JSON json_t *hpa = NULL;

    if (x->refusal->reason || o->deleting_ms)
        return;
    hpa = object_tree(o);
    keda_admit_hpa(x->so, hpa, x->refusal);
}

/* Of a Deployment or StatefulSet, as far as it is there already. */
static void look_at_requests(struct cluster *c, struct str ns, struct look *x)
{
    const json_t *target = json_at(x->so, "spec.scaleTargetRef");
    const char *kind = json_text(target, "kind", "Deployment");
    bool is_set = strcmp(kind, "StatefulSet") == 0;
    const struct object *o;
    AUTO_JSON json_t *workload = NULL, *ranges = NULL;

    if ((!is_set && strcmp(kind, "Deployment") != 0) ||
        !(o = cluster_get(c, is_set ? KIND_STATEFULSET : KIND_DEPLOYMENT, ns,
                          str_of(json_text(target, "name", "")))))
        return;
    workload = object_tree(o);
    ranges = limit_ranges_items(c, ns);
    keda_admit_requests(x->so, json_at(workload, "spec.template.spec.containers"), ranges,
                        x->refusal);
}

int webhook_scaledobject(struct cluster *c, const json_t *o, const json_t *was, struct denial *d)
{
    struct str ns = str_of(json_text(o, "metadata.namespace", ""));
    struct keda_refusal r = {0};
    struct look x = {o, &r};

    if (!keda_admit_is_needed(o, was))
        return 0;
    validations_count(c ? c->validations : NULL, ns, was != NULL, NULL);
    if (keda_admit(o, d->is_dry, NULL, &r) && c) {
        cluster_each(c, KIND_SCALEDOBJECT, ns, NULL, compare_scaled_object, &x);
        if (!r.reason)
            cluster_each(c, KIND_HPA, ns, NULL, compare_hpa, &x);
        if (!r.reason && !d->is_dry)
            look_at_requests(c, ns, &x);
    }
    if (r.reason) {
        validations_count(c ? c->validations : NULL, ns, was != NULL, r.reason);
        webhook_deny(d, HOOK "%s", buf_cstr(&r.message));
    } else {
        keda_warnings(o, &d->warnings);
    }
    keda_refusal_done(&r);
    return d->http ? ERR_FORBIDDEN : 0;
}

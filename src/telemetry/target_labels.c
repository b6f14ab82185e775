/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/target_labels.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

void target_labels_done(struct target_labels *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free((char *)(uintptr_t)t->items[i].name.p);
        free((char *)(uintptr_t)t->items[i].value.p);
    }
    free(t->items);
    *t = (struct target_labels){0};
}

struct str target_labels_get(const struct target_labels *t, struct str name)
{
    for (size_t i = 0; i < t->n; i++)
        if (str_eq(t->items[i].name, name))
            return t->items[i].value;
    return STR_NONE;
}

void target_labels_add(struct target_labels *t, struct str name, struct str value)
{
    char clean[128];
    size_t n = 0;

    for (; n < name.n && n + 1 < sizeof(clean); n++) {
        char c = name.p[n];

        clean[n] =
            ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (n > 0 && c >= '0' && c <= '9') || c == '_'
                ? c
                : '_';
    }
    clean[n] = '\0';
    if (n == 0 || value.n == 0 || target_labels_get(t, str_of(clean)).p ||
        t->n >= TARGET_LABELS_MAX)
        return;
    mem_grow(&t->items, &t->cap, t->n);
    t->items[t->n++] =
        (struct label){str_of(mem_strdup(clean)), (struct str){str_dup(value), value.n}};
}

/* Pod -> ReplicaSet -> Deployment, or Pod -> StatefulSet; a pod of its own is its own workload. */
void target_workload(struct cluster *c, const struct object *pod, char out[WORKLOAD_NAME_MAX])
{
    const struct object_owner *rs = object_controller(pod);
    const struct object *o = rs && str_is(rs->kind, "ReplicaSet")
                                 ? cluster_get(c, KIND_REPLICASET, pod->ns, rs->name)
                                 : NULL;
    const struct object_owner *d = o ? object_controller(o) : NULL;

    snprintf(out, WORKLOAD_NAME_MAX, "%.*s", STR_ARG(d ? d->name : rs ? rs->name : pod->name));
}

void target_labels_add_pod(struct target_labels *t, struct cluster *c, const struct object *pod,
                           const json_t *tree)
{
    const struct object_owner *owner = object_controller(pod);
    bool is_set = owner && str_is(owner->kind, "StatefulSet");
    char workload[WORKLOAD_NAME_MAX];
    const char *key;
    const json_t *v;

    target_workload(c, pod, workload);
    target_labels_add(t, STR("namespace"), pod->ns);
    target_labels_add(t, STR("pod"), pod->name);
    target_labels_add(t, is_set ? STR("statefulset") : STR("deployment"), str_of(workload));
    target_labels_add(t, STR("node"), str_of(json_text(tree, "spec.nodeName", "")));
    json_object_foreach (json_at(tree, "metadata.labels"), key, v)
        target_labels_add(t, str_of(key), json_strv(v));
}

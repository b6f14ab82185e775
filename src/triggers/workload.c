/* SPDX-License-Identifier: Apache-2.0
 *
 * kubernetes-workload (keda.md 5.5): the number of pods that a selector finds in the ScaledObject's
 * namespace, those that ended left out; by node if asked. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/table.h"
#include "triggers/trigger_int.h"

struct workload {
    struct trigger t;
    struct selector *selector;
    bool by_node;
};

struct count {
    struct table nodes;
    int64_t pods;
};

static int parse(struct trigger *t, const json_t *meta, struct err *err)
{
    struct workload *w = (struct workload *)t;
    struct err bad = ERR_INIT;

    if (meta_required(t, meta, "podSelector", &t->query, err) == 0 &&
        selector_parse(str_of(t->query), &w->selector, &bad) < 0)
        meta_wrong(t, err, "unable to set param \"podSelector\" value \"%s\": %s", t->query,
                   bad.msg);
    meta_threshold(t, meta, "value", t->has_modifiers, err);
    meta_number(t, meta, "activationValue", false, 0, &t->activation, err);
    meta_flag(t, meta, "groupByNode", false, &w->by_node, err);
    return err->code;
}

static void metric_name(struct buf *b, const json_t *meta, struct str ns)
{
    (void)meta;
    buf_printf(b, "workload-%.*s", STR_ARG(ns));
}

static void done(struct trigger *t)
{
    selector_free(((struct workload *)t)->selector);
}

static void count(void *arg, const struct object *o)
{
    AUTO_JSON json_t *pod = object_tree(o);
    const char *phase = json_text(pod, "status.phase", ""),
               *node = json_text(pod, "spec.nodeName", "");
    struct count *c = arg;

    if (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0)
        return;
    c->pods++;
    if (*node)
        table_set(&c->nodes, str_of(node), c);
}

static void value(struct trigger *t, int64_t now, const struct trigger_target *target,
                  struct decision_metric *m, char *warning, size_t cap)
{
    struct workload *w = (struct workload *)t;
    struct count c = {.nodes = TABLE_INIT};

    (void)now;
    (void)target;
    (void)warning;
    (void)cap;
    cluster_each(t->w->cluster, KIND_POD, str_of(t->ns), w->selector, count, &c);
    m->state = METRIC_VALUE;
    m->value = w->by_node ? (double)c.nodes.count : (double)c.pods;
    table_done(&c.nodes);
}

static const char *const keys[] = {"podSelector", "value", "activationValue", "groupByNode", NULL};

const struct trigger_type trigger_workload = {.name = "kubernetes-workload",
                                              .scaler = "kubernetesWorkloadScaler",
                                              .metric_name = metric_name,
                                              .keys = keys,
                                              .size = sizeof(struct workload),
                                              .is_external = true,
                                              .parse = parse,
                                              .done = done,
                                              .value = value};

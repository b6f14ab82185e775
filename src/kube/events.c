/* SPDX-License-Identifier: Apache-2.0
 *
 * Events, correlated as client-go does it: the same source, object, reason and message within the
 * hour raise the count of one Event instead of making another. */
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kube/reconciler.h"

static void ignore_result(void *arg, const struct object *now, const struct err *err)
{
    (void)arg;
    (void)now;
    (void)err; /* an event that cannot be written costs nothing but itself */
}

static json_t *reference(const struct object *about)
{
    char version[96];

    return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o}", "kind", about->kind->kind, "apiVersion",
                     kind_api_version(about->kind, version), "namespace", json_str_new(about->ns),
                     "name", json_str_new(about->name), "uid", json_str_new(about->uid),
                     "resourceVersion", json_fmt("%llu", (unsigned long long)about->rv));
}

void event_emit(struct cluster *c, const char *component, const struct object *about,
                enum event_type type, const char *reason, const char *fmt, ...)
{
    int64_t now = loop_wall_ms(c->loop);
    struct str ns = about->ns.n ? about->ns : STR("default");
    const char *type_text = type == EVENT_WARNING ? "Warning" : "Normal";
    char when[TIME_TEXT_MAX], name[330];
    struct buf message = BUF_INIT, id = BUF_INIT;
    const struct object *was;
    AUTO_JSON json_t *tree = NULL;
    va_list ap;

    time_rfc3339(now, when);
    va_start(ap, fmt);
    buf_vprintf(&message, fmt, ap);
    va_end(ap);
    if (message.n > 1024)
        message.n = 1024;
    buf_printf(&id, "%s|%.*s|%s|%s|%.*s", component, STR_ARG(about->uid), type_text, reason,
               STR_ARG(buf_str(&message)));
    snprintf(name, sizeof(name), "%.*s.%016llx", STR_ARG(about->name),
             (unsigned long long)str_hash(buf_str(&id)));
    was = cluster_get(c, KIND_EVENT, ns, str_of(name));
    if (was) {
        AUTO_JSON json_t *old = object_tree(was);

        tree = json_pack("{s:I,s:s}", "count", (json_int_t)json_int(old, "count", 1) + 1,
                         "lastTimestamp", when);
    } else {
        tree = json_pack("{s:s,s:s,s:{s:s,s:o},s:o,s:s,s:o,s:s,s:{s:s},s:s,s:s,s:s,s:i}",
                         "apiVersion", "v1", "kind", "Event", "metadata", "name", name, "namespace",
                         json_str_new(ns), "involvedObject", reference(about), "reason", reason,
                         "message", json_str_new(buf_str(&message)), "type", type_text, "source",
                         "component", component, "reportingComponent", component, "firstTimestamp",
                         when, "lastTimestamp", when, "count", 1);
    }
    cluster_write(c,
                  &(struct cluster_write){.verb = was ? CLUSTER_MERGE_PATCH : CLUSTER_CREATE,
                                          .kind = KIND_EVENT,
                                          .ns = ns,
                                          .name = str_of(name),
                                          .tree = tree,
                                          .manager = component},
                  ignore_result, NULL);
    buf_done(&message);
    buf_done(&id);
}

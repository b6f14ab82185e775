/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/events.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kube/correlator.h"

#define MESSAGE_MAX 1024 /* bytes, as events.k8s.io has it */
#define NAME_MAX_BYTES 253
#define SUFFIX_BYTES 17 /* of a name: "." and 16 digits */
#define COMBINED "(combined from similar events): "

static void on_created(void *arg, const struct object *now, const struct err *err)
{
    struct observed *seen = arg;

    (void)now;
    (void)err; /* refused: the next one tries again, with its count */
    seen->as.is_pinned = false;
}

static void on_counted(void *arg, const struct object *now, const struct err *err)
{
    (void)arg;
    (void)now;
    (void)err;
}

static json_t *reference(const struct object *about)
{
    char version[96];

    return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o}", "kind", about->kind->kind, "apiVersion",
                     kind_api_version(about->kind, version), "namespace", json_str_new(about->ns),
                     "name", json_str_new(about->name), "uid", json_str_new(about->uid),
                     "resourceVersion", json_fmt("%llu", (unsigned long long)about->rv));
}

/* Its first MESSAGE_MAX bytes, in whole characters. */
static struct str cut(struct str s)
{
    size_t n = s.n > MESSAGE_MAX ? MESSAGE_MAX : s.n;

    while (n < s.n && n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n--;
    return str_n(s.p, n);
}

/* The object's name, as far as the suffix leaves room, and the id. */
static void event_name(char out[NAME_MAX_BYTES + 1], struct str name, uint64_t id)
{
    if (name.n > NAME_MAX_BYTES - SUFFIX_BYTES)
        name.n = NAME_MAX_BYTES - SUFFIX_BYTES;
    while (name.n > 0 && (name.p[name.n - 1] == '-' || name.p[name.n - 1] == '.'))
        name.n--;
    snprintf(out, NAME_MAX_BYTES + 1, "%.*s.%016llx", STR_ARG(name), (unsigned long long)id);
}

/* What was counted by a run before this one. */
static int64_t stored_count(const struct object *event)
{
    AUTO_JSON json_t *tree = object_tree(event);

    return json_int(tree, "count", 1);
}

static struct observed *observe(struct cluster *c, const char *component,
                                const struct object *about, const char *type, const char *reason,
                                struct str message)
{
    struct buf group = BUF_INIT;
    struct observed *seen;

    buf_printf(&group, "%s|%s|%.*s|%.*s|%.*s|%s|%s", component, about->kind->kind,
               STR_ARG(about->ns), STR_ARG(about->name), STR_ARG(about->uid), type, reason);
    seen = correlator_observe(c->events, buf_str(&group), message, loop_mono_ns(c->loop) / 1000000);
    buf_done(&group);
    return seen;
}

void event_emit(struct cluster *c, const char *component, const struct object *about,
                enum event_type type, const char *reason, const char *fmt, ...)
{
    struct str ns = about->ns.n ? about->ns : STR("default");
    const char *type_text = type == EVENT_WARNING ? "Warning" : "Normal";
    char first[TIME_TEXT_MAX], last[TIME_TEXT_MAX], name[NAME_MAX_BYTES + 1];
    struct buf said = BUF_INIT, message = BUF_INIT;
    const struct object *was;
    struct observed *seen;
    AUTO_JSON json_t *tree = NULL;
    bool is_there;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&said, fmt, ap);
    va_end(ap);
    seen = observe(c, component, about, type_text, reason, buf_str(&said));
    buf_printf(&message, "%s%.*s", seen->is_combined ? COMBINED : "", STR_ARG(buf_str(&said)));
    event_name(name, about->name, seen->as.id);
    was = cluster_get(c, KIND_EVENT, ns, str_of(name));
    is_there = was || seen->as.is_pinned;
    if (seen->count == 0) {
        seen->first_ms = was ? was->created_ms : loop_wall_ms(c->loop);
        seen->count = was ? stored_count(was) : 0;
    }
    seen->count++;
    time_rfc3339(seen->first_ms, first);
    time_rfc3339(loop_wall_ms(c->loop), last);
    if (is_there) {
        tree = json_pack("{s:I,s:s}", "count", (json_int_t)seen->count, "lastTimestamp", last);
        if (seen->is_combined)
            json_put(tree, "message", json_str_new(cut(buf_str(&message))));
    } else {
        tree =
            json_pack("{s:s,s:s,s:{s:s,s:o},s:o,s:s,s:o,s:s,s:{s:s},s:s,s:s,s:s,s:I}", "apiVersion",
                      "v1", "kind", "Event", "metadata", "name", name, "namespace",
                      json_str_new(ns), "involvedObject", reference(about), "reason", reason,
                      "message", json_str_new(cut(buf_str(&message))), "type", type_text, "source",
                      "component", component, "reportingComponent", component, "firstTimestamp",
                      first, "lastTimestamp", last, "count", (json_int_t)seen->count);
        seen->as.is_pinned = true;
    }
    cluster_write(c,
                  &(struct cluster_write){.verb = is_there ? CLUSTER_MERGE_PATCH : CLUSTER_CREATE,
                                          .kind = KIND_EVENT,
                                          .ns = ns,
                                          .name = str_of(name),
                                          .tree = tree,
                                          .manager = component},
                  is_there ? on_counted : on_created, seen);
    buf_done(&said);
    buf_done(&message);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/hpa_history.h"

#include <stdio.h>
#include <stdlib.h>

#include "autoscale/hpa_memory.h"
#include "base/log.h"
#include "base/mem.h"

#define SAVE_MS 10000
#define MANAGER "flyball-history"
#define NAME_MAX_ 32

struct hpa_keeper {
    struct cluster *cluster;
    struct list dirty; /* runs, by save_link */
    struct loop_timer timer;
    int64_t saved_ms; /* mono; INT64_MIN: never */
    bool has_warned;
};

static const char *map_of(struct str hpa, char out[NAME_MAX_])
{
    snprintf(out, NAME_MAX_, "flyball-history-%x", (unsigned)(str_hash(hpa) & 15));
    return out;
}

static int64_t mono_ms(const struct hpa_keeper *k)
{
    return loop_mono_ns(k->cluster->loop) / 1000000;
}

/* --- reading back --- */

void hpa_keeper_recall(struct hpa_keeper *k, const struct object *hpa, struct hpa_memory *ret)
{
    char name[NAME_MAX_];
    const struct object *o =
        cluster_get(k->cluster, KIND_CONFIGMAP, hpa->ns, str_of(map_of(hpa->name, name)));
    AUTO_JSON json_t *map = o ? object_tree(o) : NULL;
    struct str text = json_strv(json_get(json_object_get(map, "data"), hpa->name)), uid;
    struct err err = ERR_INIT;

    if (!str_split(&text, ' ', &uid) || !str_eq(uid, hpa->uid))
        return;
    if (hpa_memory_read(text, mono_ms(k), loop_wall_ms(k->cluster->loop), ret, &err) < 0)
        log_warn("autoscale", "configmap %.*s/%s, key %.*s: %s; windows of this HPA begin anew",
                 STR_ARG(hpa->ns), name, STR_ARG(hpa->name), err.msg);
}

/* --- saving --- */

static void on_saved(void *arg, const struct object *now, const struct err *err)
{
    struct cluster *c = arg;

    (void)c;
    (void)now;
    if (err && err->code != ERR_NOT_FOUND) /* a namespace that goes takes its HPAs along */
        log_warn("autoscale", "histories could not be saved: %s", err->msg);
}

/* data: new; an entry null takes the key away. */
static void write_map(struct hpa_keeper *k, struct str ns, const char *name, json_t *data)
{
    bool exists = cluster_get(k->cluster, KIND_CONFIGMAP, ns, str_of(name)) != NULL;
    AUTO_JSON json_t *tree =
        exists ? json_pack("{s:o}", "data", data)
               : json_pack("{s:s,s:s,s:{s:s,s:o,s:{s:s}},s:o}", "apiVersion", "v1", "kind",
                           "ConfigMap", "metadata", "name", name, "namespace", json_str_new(ns),
                           "labels", "app.kubernetes.io/managed-by", "flyball", "data", data);

    cluster_write(k->cluster,
                  &(struct cluster_write){.verb = exists ? CLUSTER_MERGE_PATCH : CLUSTER_CREATE,
                                          .kind = KIND_CONFIGMAP,
                                          .ns = ns,
                                          .name = str_of(name),
                                          .tree = tree,
                                          .manager = MANAGER},
                  on_saved, k->cluster);
}

static struct hpa_run *run_at(struct list *l)
{
    return container_of(l, struct hpa_run, save_link);
}

static void add_entry(struct hpa_keeper *k, json_t *data, const struct hpa_run *r)
{
    struct buf text = BUF_INIT, memory = BUF_INIT;

    hpa_memory_write(&r->memory, mono_ms(k), loop_wall_ms(k->cluster->loop), &memory);
    buf_printf(&text, "%.*s %s", STR_ARG(r->hpa->uid), buf_cstr(&memory));
    json_object_setn_new(data, r->hpa->name.p, r->hpa->name.n, json_str_new(buf_str(&text)));
    buf_done(&memory);
    buf_done(&text);
}

/* All that waits, a write a map. */
static void save(struct hpa_keeper *k)
{
    while (!list_is_empty(&k->dirty)) {
        const struct object *first = run_at(k->dirty.next)->hpa;
        char name[NAME_MAX_], other[NAME_MAX_];
        AUTO_FREE char *ns = str_dup(first->ns);
        json_t *data = json_object();

        map_of(first->name, name);
        list_each (l, &k->dirty) {
            struct hpa_run *r = run_at(l);

            if (!str_is(r->hpa->ns, ns) || strcmp(map_of(r->hpa->name, other), name) != 0)
                continue;
            add_entry(k, data, r);
            list_del(&r->save_link);
        }
        write_map(k, str_of(ns), name, data);
    }
    k->saved_ms = mono_ms(k);
}

static void on_timer(void *arg)
{
    save(arg);
}

void hpa_keeper_flush(struct hpa_keeper *k)
{
    loop_timer_stop(&k->timer);
    save(k);
}

static uint64_t changes_of(const struct hpa_memory *m)
{
    return m->recommendations.changes + m->ups.changes + m->downs.changes;
}

void hpa_keeper_note(struct hpa_keeper *k, struct hpa_run *r)
{
    uint64_t changes = changes_of(&r->memory);
    int64_t wait;

    if (changes == r->saved_changes || !r->hpa)
        return;
    r->saved_changes = changes;
    if (list_is_empty(&r->save_link))
        list_add_tail(&k->dirty, &r->save_link);
    if (loop_timer_is_running(&k->timer))
        return;
    wait = k->saved_ms == INT64_MIN ? 0 : k->saved_ms + SAVE_MS - mono_ms(k);
    loop_timer_start(&k->timer, wait > 0 ? wait : 0);
}

void hpa_keeper_forget(struct hpa_keeper *k, struct hpa_run *r)
{
    (void)k;
    list_del(&r->save_link);
}

/* --- HPAs that go take their entry along --- */

static void on_hpa(void *arg, enum cluster_event event, const struct object *was,
                   const struct object *now)
{
    struct hpa_keeper *k = arg;
    const struct object *o;
    char name[NAME_MAX_];
    json_t *data;

    (void)was;
    if (event != CLUSTER_DELETED)
        return;
    o = cluster_get(k->cluster, KIND_CONFIGMAP, now->ns, str_of(map_of(now->name, name)));
    if (!o || str_find(o->json, now->name) < 0)
        return;
    data = json_object();
    json_object_setn_new(data, now->name.p, now->name.n, json_null());
    write_map(k, now->ns, name, data);
}

struct hpa_keeper *hpa_keeper_new(struct cluster *c)
{
    struct hpa_keeper *k = mem_zalloc(sizeof(*k));

    k->cluster = c;
    k->saved_ms = INT64_MIN;
    list_init(&k->dirty);
    loop_timer_init(&k->timer, c->loop, on_timer, k);
    cluster_watch(c, KIND_HPA, on_hpa, k);
    return k;
}

void hpa_keeper_free(struct hpa_keeper *k)
{
    if (!k)
        return;
    loop_timer_stop(&k->timer);
    cluster_unwatch(k->cluster, KIND_HPA, on_hpa, k);
    free(k);
}

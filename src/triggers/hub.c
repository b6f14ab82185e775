/* SPDX-License-Identifier: Apache-2.0
 *
 * A change marks the triggers that depend on the object; they are made anew in the next turn, one
 * after the other, because telling of one may free others. */
#include "triggers/hub.h"

#include <stdlib.h>

#include "base/mem.h"
#include "triggers/hub_int.h"

#define EXPIRY_LOOK_MS 5000

struct trigger_hub {
    struct cluster *cluster;
    struct list triggers, tls, calls;
    bool is_watched[KIND_COUNT];
    uint64_t names; /* 0: not watched yet */
    struct loop_timer soon, expiry;
};

static void refresh_all(void *arg)
{
    struct trigger_hub *h = arg;
    struct trigger *stale;

    do {
        stale = NULL;
        list_each (it, &h->triggers)
            if (!stale && hub_trigger(it)->is_stale)
                stale = hub_trigger(it);
        if (stale) {
            stale->is_stale = false;
            trigger_refresh(stale);
        }
    } while (stale);
}

static void mark(struct trigger_hub *h, struct trigger *t)
{
    t->is_stale = true;
    if (!loop_timer_is_running(&h->soon))
        loop_timer_start(&h->soon, 0);
}

static void on_change(void *arg, enum cluster_event event, const struct object *was,
                      const struct object *now)
{
    struct trigger_hub *h = arg;
    const struct kind *k = now->kind;

    /* of a workload only the template matters, not how many pods are ready */
    if (event == CLUSTER_MODIFIED && k->has_generation && was->generation == now->generation)
        return;
    list_each (it, &h->triggers)
        if (hub_trigger(it)->auth &&
            auth_depends_on(hub_trigger(it)->auth, k->id, now->ns, now->name))
            mark(h, hub_trigger(it));
}

/* Tokens end, and files tell nobody of their changes. */
static void on_expiry(void *arg)
{
    struct trigger_hub *h = arg;
    int64_t now = loop_wall_ms(h->cluster->loop);
    bool any = false;

    list_each (it, &h->triggers) {
        const struct auth *a = hub_trigger(it)->auth;
        int64_t end = a ? a->expires_ms : 0;

        any |= end != 0;
        if (end && end <= now)
            mark(h, hub_trigger(it));
    }
    if (any)
        loop_timer_start(&h->expiry, EXPIRY_LOOK_MS);
}

void hub_update(struct trigger *t)
{
    struct trigger_hub *h = t->w->hub;

    if (!h || !t->auth)
        return;
    for (size_t i = 0; i < t->auth->n_sources; i++) {
        enum kind_id kind = t->auth->sources[i].kind;

        if (!h->is_watched[kind])
            cluster_watch(h->cluster, kind, on_change, h);
        h->is_watched[kind] = true;
    }
    if (t->auth->expires_ms && !loop_timer_is_running(&h->expiry))
        loop_timer_start(&h->expiry, EXPIRY_LOOK_MS);
}

void hub_add(struct trigger *t)
{
    list_init(&t->hub_link);
    if (!t->w->hub)
        return;
    list_add_tail(&t->w->hub->triggers, &t->hub_link);
    hub_update(t);
}

void hub_remove(struct trigger *t)
{
    list_del(&t->hub_link);
}

/* --- names --- */

static const enum kind_id name_kinds[] = {KIND_SERVICE, KIND_ENDPOINTS};

static void on_names(void *arg, enum cluster_event event, const struct object *was,
                     const struct object *now)
{
    (void)event;
    (void)was;
    (void)now;
    ((struct trigger_hub *)arg)->names++;
}

uint64_t hub_names(struct trigger_hub *h)
{
    if (!h->names) {
        h->names = 1;
        for (size_t i = 0; i < ARRAY_LEN(name_kinds); i++)
            cluster_watch(h->cluster, name_kinds[i], on_names, h);
    }
    return h->names;
}

struct trigger_hub *trigger_hub_new(struct cluster *c)
{
    struct trigger_hub *h = mem_zalloc(sizeof(*h));

    h->cluster = c;
    list_init(&h->triggers);
    list_init(&h->tls);
    list_init(&h->calls);
    loop_timer_init(&h->soon, c->loop, refresh_all, h);
    loop_timer_init(&h->expiry, c->loop, on_expiry, h);
    return h;
}

void trigger_hub_free(struct trigger_hub *h)
{
    if (!h)
        return;
    for (int k = 0; k < KIND_COUNT; k++)
        if (h->is_watched[k])
            cluster_unwatch(h->cluster, (enum kind_id)k, on_change, h);
    for (size_t i = 0; h->names && i < ARRAY_LEN(name_kinds); i++)
        cluster_unwatch(h->cluster, name_kinds[i], on_names, h);
    loop_timer_stop(&h->soon);
    loop_timer_stop(&h->expiry);
    free(h);
}

struct list *hub_triggers(struct trigger_hub *h)
{
    return &h->triggers;
}

struct list *hub_tls_list(struct trigger_hub *h)
{
    return &h->tls;
}

struct list *hub_calls(struct trigger_hub *h)
{
    return &h->calls;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "kube/correlator.h"
#include "kube/status.h"
#include "kube/validations.h"
#include "store/store_int.h"

#define DRAIN_MAX 100

/* --- index --- */

static int compare(const struct entry *e, struct str ns, struct str name)
{
    int r = str_cmp(str_of(e->ns), ns);

    return r ? r : str_cmp(str_of(e->name), name);
}

/* First entry not before (ns, name). */
static size_t lower_bound(const struct index *x, struct str ns, struct str name)
{
    size_t lo = 0, hi = x->n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (compare(x->items[mid], ns, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct entry *index_find(struct store *s, enum kind_id kind, struct str ns, struct str name,
                         bool make)
{
    struct index *x = &s->kinds[kind];
    size_t at = lower_bound(x, ns, name);
    struct entry *e;

    if (at < x->n && compare(x->items[at], ns, name) == 0)
        return x->items[at];
    if (!make)
        return NULL;
    e = mem_zalloc(sizeof(*e) + ns.n + name.n + 2);
    memcpy(e->text, ns.p, ns.n);
    memcpy(e->text + ns.n + 1, name.p, name.n);
    e->ns = e->text;
    e->name = e->text + ns.n + 1;
    mem_grow(&x->items, &x->cap, x->n);
    memmove(x->items + at + 1, x->items + at, (x->n - at) * sizeof(*x->items));
    x->items[at] = e;
    x->n++;
    return e;
}

static void free_entry(struct entry *e)
{
    object_unref(e->committed);
    object_unref(e->accepted);
    free(e);
}

static void forget_if_empty(struct store *s, enum kind_id kind, struct entry *e)
{
    struct index *x = &s->kinds[kind];
    size_t at;

    if (e->committed || e->accepted || e->queued)
        return;
    at = lower_bound(x, str_of(e->ns), str_of(e->name));
    memmove(x->items + at, x->items + at + 1, (x->n - at - 1) * sizeof(*x->items));
    x->n--;
    free_entry(e);
}

const struct object *store_get(struct store *s, enum kind_id kind, struct str ns, struct str name)
{
    struct entry *e = index_find(s, kind, ns, name, false);

    return e ? e->committed : NULL;
}

/* fn may submit writes, which can add entries: walk over a copy of the references. */
void store_each(struct store *s, enum kind_id kind, struct str ns, const struct selector *sel,
                cluster_each_fn *fn, void *arg)
{
    struct index *x = &s->kinds[kind];
    size_t from = ns.n ? lower_bound(x, ns, STR("")) : 0, n = 0;
    struct object **found = mem_array(x->n - from, sizeof(*found));

    for (size_t i = from; i < x->n; i++) {
        struct entry *e = x->items[i];

        if (ns.n && !str_is(ns, e->ns))
            break;
        if (e->committed && selector_matches(sel, e->committed))
            found[n++] = object_ref(e->committed);
    }
    for (size_t i = 0; i < n; i++) {
        fn(arg, found[i]);
        object_unref(found[i]);
    }
    free(found);
}

uint64_t store_revision(const struct store *s)
{
    return s->committed_rv;
}

/* --- commits --- */

static void commit_queued(void *arg)
{
    struct store *s = arg;
    struct change *list = s->first;

    s->is_commit_posted = false;
    if (!list || s->flying)
        return;
    s->first = s->last = NULL;
    s->flying = list;
    if (s->db)
        db_commit(s->db, list);
    else if (s->o.commit_ms)
        loop_timer_start(&s->commit, s->o.commit_ms);
    else
        store_committed(s, list, NULL);
}

static void on_commit(void *arg)
{
    struct store *s = arg;

    store_committed(s, s->flying, NULL);
}

static void post_commit(struct store *s)
{
    if (s->is_commit_posted || s->flying || !s->first)
        return;
    s->is_commit_posted = true;
    loop_post(s->o.loop, commit_queued, s);
}

static void dispatch(struct store *s, const struct store_event *e)
{
    struct list *head = &s->subscribers[e->kind];

    list_each (it, head) {
        struct subscriber *sub = container_of(it, struct subscriber, link);

        if (sub->is_removed || !sub->is_synced)
            continue;
        if (sub->fn)
            sub->fn(sub->arg, e);
        else
            sub->cluster_fn(sub->arg, e->event, e->was, e->now);
        it_next = it->next; /* the successor may have gone, or one been added */
    }
}

static void reap_subscribers(struct store *s, enum kind_id kind)
{
    list_each (it, &s->subscribers[kind]) {
        struct subscriber *sub = container_of(it, struct subscriber, link);

        if (sub->is_removed && sub->is_synced) { /* unsynced ones are freed by their posted call */
            list_del(it);
            free(sub);
        }
    }
}

static void apply(struct store *s, struct change *c)
{
    struct object *was = c->entry->committed;
    struct store_event e = {.rv = c->rv,
                            .kind = c->kind->id,
                            .event =
                                c->now ? was ? CLUSTER_MODIFIED : CLUSTER_ADDED : CLUSTER_DELETED,
                            .was = was,
                            .now = c->now ? c->now : c->last};

    c->entry->committed = c->now ? object_ref(c->now) : NULL;
    s->committed_rv = c->rv;
    if (e.now && (was || c->now)) {
        history_add(&s->history, &e, loop_wall_ms(s->o.loop));
        s->is_dispatching = true;
        dispatch(s, &e);
        s->is_dispatching = false;
        reap_subscribers(s, e.kind);
    }
    c->entry->queued--;
    object_unref(was);
}

static void answer(struct change *c, const struct err *err)
{
    struct store_result r = {.http = c->http, .now = c->now, .was = c->last};
    struct buf status = BUF_INIT;

    if (err) {
        r.http = status_error(&status, 500, "InternalError",
                              "Internal error occurred: the object could not be "
                              "stored: %s",
                              err->msg);
        r.now = NULL;
        r.status = buf_str(&status);
        r.err_code = err->code;
        r.message = str_of(err->msg);
    }
    r.warnings = str_of(c->warnings ? c->warnings : "");
    if (c->done)
        c->done(c->arg, &r);
    buf_done(&status);
}

static void free_change(struct change *c)
{
    object_unref(c->now);
    object_unref(c->last);
    free(c->warnings);
    free(c);
}

/* Takes back what was accepted: the newest committed state counts again. */
static void revert(struct store *s, struct change *list)
{
    for (struct change *c = list; c; c = c->next) {
        c->entry->queued--;
        object_unref(c->entry->accepted);
        c->entry->accepted = object_ref(c->entry->committed);
    }
    s->accepted_rv = s->accepted_rv > s->committed_rv ? s->accepted_rv : s->committed_rv;
}

void store_committed(struct store *s, struct change *list, const struct err *err)
{
    struct change *behind = NULL, *next;

    s->flying = NULL;
    if (err) {
        log_error("store", "objects could not be stored: %s", err->msg);
        behind = s->first; /* built on what has just failed */
        s->first = s->last = NULL;
        revert(s, list);
        revert(s, behind);
    }
    for (struct change *c = list; c; c = next) {
        enum kind_id kind = c->kind->id;

        next = c->next;
        if (!err)
            apply(s, c);
        answer(c, err);
        forget_if_empty(s, kind, c->entry);
        free_change(c);
    }
    for (struct change *c = behind; c; c = next) {
        next = c->next;
        answer(c, err);
        forget_if_empty(s, c->kind->id, c->entry);
        free_change(c);
    }
    post_commit(s);
}

/* --- submitting --- */

/* An answer that needs no commit, given in a later turn. */
struct reply {
    struct list link;
    store_done_fn *done;
    void *arg;
    struct outcome out;
};

static void give_reply(struct reply *r)
{
    struct store_result result = {.http = r->out.http,
                                  .now = r->out.now,
                                  .status = buf_str(&r->out.status),
                                  .warnings = buf_str(&r->out.warnings),
                                  .err_code = r->out.err_code,
                                  .message = str_of(r->out.message)};

    if (r->out.removed) { /* dry run of a removal */
        result.was = r->out.now;
        result.now = NULL;
    }
    if (r->done)
        r->done(r->arg, &result);
    object_unref(r->out.now);
    buf_done(&r->out.status);
    buf_done(&r->out.warnings);
    free(r);
}

static void give_replies(void *arg)
{
    struct store *s = arg;
    struct list now;

    /* what is asked meanwhile is answered in a later turn */
    list_init(&now);
    list_each (it, &s->replies) {
        list_del(it);
        list_add_tail(&now, it);
    }
    s->is_reply_posted = false;
    list_each (it, &now) {
        list_del(it);
        give_reply(container_of(it, struct reply, link));
    }
}

static void queue_change(struct store *s, const struct store_request *req, struct entry *e,
                         struct outcome *out, store_done_fn *done, void *arg)
{
    struct change *c = mem_zalloc(sizeof(*c));

    *c = (struct change){.entry = e,
                         .kind = req->kind,
                         .rv = s->accepted_rv,
                         .done = done,
                         .arg = arg,
                         .http = out->http};
    if (out->warnings.n)
        c->warnings = str_dup(buf_str(&out->warnings));
    if (out->removed)
        c->last = out->now;
    else
        c->now = out->now;
    object_unref(e->accepted);
    e->accepted = object_ref(c->now);
    e->queued++;
    if (s->last)
        s->last->next = c;
    else
        s->first = c;
    s->last = c;
    buf_done(&out->status);
    buf_done(&out->warnings);
    post_commit(s);
}

void store_submit(struct store *s, const struct store_request *req, store_done_fn *done, void *arg)
{
    struct outcome out = {0};
    struct entry *e = NULL;
    struct reply *r;

    store_decide(s, req, &e, &out);
    if (out.is_change && !req->dry_run) {
        queue_change(s, req, e, &out, done, arg);
        return;
    }
    if (e)
        forget_if_empty(s, req->kind->id, e);
    r = mem_zalloc(sizeof(*r));
    *r = (struct reply){.done = done, .arg = arg, .out = out};
    list_add_tail(&s->replies, &r->link);
    if (!s->is_reply_posted) {
        s->is_reply_posted = true;
        loop_post(s->o.loop, give_replies, s);
    }
}

/* --- watches --- */

void store_subscribe(struct store *s, enum kind_id kind, store_watch_fn *fn, void *arg)
{
    struct subscriber *sub = mem_zalloc(sizeof(*sub));

    *sub = (struct subscriber){.fn = fn, .arg = arg, .s = s, .kind = kind, .is_synced = true};
    list_add_tail(&s->subscribers[kind], &sub->link);
}

static void remove_subscriber(struct store *s, struct subscriber *sub)
{
    sub->is_removed = true;
    if (!s->is_dispatching && sub->is_synced) {
        list_del(&sub->link);
        free(sub);
    }
}

void store_unsubscribe(struct store *s, enum kind_id kind, store_watch_fn *fn, void *arg)
{
    list_each (it, &s->subscribers[kind]) {
        struct subscriber *sub = container_of(it, struct subscriber, link);

        if (sub->fn == fn && sub->arg == arg && !sub->is_removed) {
            remove_subscriber(s, sub);
            return;
        }
    }
}

void store_compact(struct store *s)
{
    history_age(&s->history, INT64_MAX / 2);
}

int store_replay(struct store *s, enum kind_id kind, uint64_t rv, store_watch_fn *fn, void *arg)
{
    return history_replay(&s->history, kind, rv, fn, arg);
}

/* --- struct cluster --- */

static struct store *store_of(struct cluster *c)
{
    return (struct store *)c;
}

static const struct object *cluster_get_op(struct cluster *c, enum kind_id kind, struct str ns,
                                           struct str name)
{
    return store_get(store_of(c), kind, ns, name);
}

static void cluster_each_op(struct cluster *c, enum kind_id kind, struct str ns,
                            const struct selector *sel, cluster_each_fn *fn, void *arg)
{
    store_each(store_of(c), kind, ns, sel, fn, arg);
}

static void give_initial(void *arg, const struct object *o)
{
    struct subscriber *sub = arg;

    if (!sub->is_removed)
        sub->cluster_fn(sub->arg, CLUSTER_ADDED, NULL, o);
}

static void sync_subscriber(void *arg)
{
    struct subscriber *sub = arg;

    if (!sub->s) { /* the store closed before the loop came to this */
        free(sub);
        return;
    }
    sub->is_synced = true;
    if (!sub->is_removed)
        store_each(sub->s, sub->kind, STR_NONE, NULL, give_initial, sub);
    if (sub->is_removed) {
        list_del(&sub->link);
        free(sub);
    }
}

static void cluster_watch_op(struct cluster *c, enum kind_id kind, cluster_watch_fn *fn, void *arg)
{
    struct store *s = store_of(c);
    struct subscriber *sub = mem_zalloc(sizeof(*sub));

    *sub = (struct subscriber){.cluster_fn = fn, .arg = arg, .s = s, .kind = kind};
    list_add_tail(&s->subscribers[kind], &sub->link);
    loop_post(s->o.loop, sync_subscriber, sub);
}

static void cluster_unwatch_op(struct cluster *c, enum kind_id kind, cluster_watch_fn *fn,
                               void *arg)
{
    struct store *s = store_of(c);

    list_each (it, &s->subscribers[kind]) {
        struct subscriber *sub = container_of(it, struct subscriber, link);

        if (sub->cluster_fn == fn && sub->arg == arg && !sub->is_removed) {
            remove_subscriber(s, sub);
            return;
        }
    }
}

struct cluster_call {
    struct store *s;
    cluster_done_fn *done;
    void *arg;
};

static void cluster_answer(void *arg, const struct store_result *r)
{
    struct cluster_call *call = arg;
    struct err err = {.code = r->err_code};

    if (call->s->is_closing) { /* who asked is gone */
        free(call);
        return;
    }
    if (r->err_code)
        err_set(&err, r->err_code, "%.*s", STR_ARG(r->message));
    call->done(call->arg, r->now, r->err_code ? &err : NULL);
    free(call);
}

static void cluster_write_op(struct cluster *c, const struct cluster_write *w,
                             cluster_done_fn *done, void *arg)
{
    struct cluster_call *call = mem_zalloc(sizeof(*call));
    struct store_request req = {.verb = w->verb,
                                .patch = STORE_PATCH_MERGE,
                                .kind = kind_of(w->kind),
                                .ns = w->ns,
                                .name = w->name,
                                .subresource = w->subresource,
                                .tree = w->tree,
                                .uid = w->uid,
                                .grace_s = w->verb == CLUSTER_DELETE ? w->grace_s : -1,
                                .propagation = w->propagation,
                                .is_ours = true};

    *call = (struct cluster_call){store_of(c), done, arg};
    store_submit(store_of(c), &req, cluster_answer, call);
}

static const struct cluster_ops cluster_ops = {cluster_get_op, cluster_each_op, cluster_watch_op,
                                               cluster_unwatch_op, cluster_write_op};

struct cluster *store_cluster(struct store *s)
{
    return &s->cluster;
}

/* --- life --- */

/* An event lives an hour after it was last counted. */
static bool is_expired(const struct object *event, int64_t now)
{
    AUTO_JSON json_t *tree = NULL;
    int64_t last = event->created_ms;

    if (now - event->created_ms <= EVENT_TTL_MS)
        return false;
    tree = object_tree(event);
    time_parse(str_of(json_text(tree, "lastTimestamp", "")), &last);
    return now - last > EVENT_TTL_MS;
}

static void expire_event(void *arg, const struct object *o)
{
    struct store *s = arg;

    if (is_expired(o, loop_wall_ms(s->o.loop)))
        store_submit(s,
                     &(struct store_request){.verb = CLUSTER_DELETE,
                                             .kind = o->kind,
                                             .ns = o->ns,
                                             .name = o->name,
                                             .grace_s = -1},
                     NULL, NULL);
}

static void on_sweep(void *arg)
{
    struct store *s = arg;

    history_age(&s->history, loop_wall_ms(s->o.loop));
    store_each(s, KIND_EVENT, STR_NONE, NULL, expire_event, s);
    loop_timer_start(&s->sweep, 60000);
}

int store_open(const struct store_options *o, struct store **ret, struct err *err)
{
    struct store *s = mem_zalloc(sizeof(*s));
    int r = 0;

    s->cluster = (struct cluster){&cluster_ops, o->loop, o->service_block, correlator_new(),
                                  validations_new()};
    s->o = *o;
    if (o->seed)
        rng_seed(&s->rng, o->seed);
    else
        rng_seed_random(&s->rng);
    list_init(&s->replies);
    for (int i = 0; i < KIND_COUNT; i++)
        list_init(&s->subscribers[i]);
    loop_timer_init(&s->commit, o->loop, on_commit, s);
    loop_timer_init(&s->sweep, o->loop, on_sweep, s);
    s->accepted_rv = s->committed_rv = 1000; /* 0 and small numbers have meanings of their own */
    if (o->dir) {
        r = db_open(s, &s->db, err);
        if (r == 0)
            r = db_load(s->db, s, err);
    }
    s->history.oldest_rv = s->accepted_rv = s->committed_rv;
    if (r < 0) {
        store_close(s);
        return r;
    }
    loop_timer_start(&s->sweep, 60000);
    *ret = s;
    return 0;
}

void store_drain(struct store *s)
{
    /* an answer may lead to another write: not for ever */
    for (int i = 0; s && i < DRAIN_MAX && (s->first || s->flying || !list_is_empty(&s->replies));
         i++) {
        give_replies(s);
        if (s->first && !s->flying)
            commit_queued(s);
        if (s->db)
            db_drain(s->db);
        if (loop_timer_is_running(&s->commit)) {
            loop_timer_stop(&s->commit);
            on_commit(s);
        }
    }
}

void store_close(struct store *s)
{
    if (!s)
        return;
    loop_timer_stop(&s->sweep);
    s->is_closing = true;
    store_drain(s);
    if (s->db)
        db_close(s->db);
    history_done(&s->history);
    for (int i = 0; i < KIND_COUNT; i++) {
        for (size_t k = 0; k < s->kinds[i].n; k++)
            free_entry(s->kinds[i].items[k]);
        free(s->kinds[i].items);
        list_each (it, &s->subscribers[i]) {
            struct subscriber *sub = container_of(it, struct subscriber, link);

            if (sub->is_synced)
                free(sub);
            else
                sub->s = NULL; /* its sync_subscriber() is still posted, and frees it */
        }
    }
    while (s->first) {
        struct change *next = s->first->next;

        free_change(s->first);
        s->first = next;
    }
    give_replies(s);
    correlator_free(s->cluster.events);
    validations_free(s->cluster.validations);
    /* what is posted looks at it once more; a simulated loop drops what is posted */
    if (loop_uv(s->o.loop))
        loop_post(s->o.loop, free, s);
    else
        free(s);
}

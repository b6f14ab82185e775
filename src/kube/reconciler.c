/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/reconciler.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/table.h"

#define BACKOFF_MIN_MS 5
#define BACKOFF_MAX_MS 60000
#define UNSEEN_MS 30000

/* One key: queued, running a pass, or waiting for its own writes. */
struct key {
    struct reconciler *r;
    struct list link; /* in the queue, else on its own */
    char *ns, *name, *text;
    struct loop_timer timer; /* requeue or back-off */
    struct loop_timer unseen;
    int writes; /* unanswered */
    int backoff_ms;
    char *failure; /* of the writes since the last pass began; NULL: none */
    bool is_dirty; /* woken while writes were open */
    bool in_pass, has_failed, wants_again;
    bool is_ahead; /* an answer is newer than the cache */
};

struct reconciler {
    struct reconciler_options o;
    struct table keys;
    struct list queue;
    bool is_run_posted, is_freed;
    struct watch *watches;
};

struct watch {
    struct watch *next;
    struct reconciler *r;
    enum kind_id kind, owner;
    bool by_owner;
    void (*fn)(void *ctx, struct reconciler *r, const struct object *was, const struct object *now);
};

struct pass {
    struct key *key;
    char *failure;
    int64_t requeue_ms; /* -1: none */
    bool failed;
};

static void run(void *arg);

static void enqueue(struct key *k)
{
    struct reconciler *r = k->r;

    if (k->writes > 0 || k->in_pass) {
        k->is_dirty = true;
        return;
    }
    if (!list_is_empty(&k->link))
        return;
    loop_timer_stop(&k->timer);
    list_add_tail(&r->queue, &k->link);
    if (!r->is_run_posted) {
        r->is_run_posted = true;
        loop_post(r->o.cluster->loop, run, r);
    }
}

static void on_timer(void *arg)
{
    enqueue(arg);
}

static void on_unseen(void *arg)
{
    struct key *k = arg;

    log_warn(k->r->o.name, "%s: a write has had no answer for %d s; going on without it", k->text,
             UNSEEN_MS / 1000);
    k->writes = 0;
    enqueue(k);
}

static struct key *key_of(struct reconciler *r, struct str ns, struct str name)
{
    char text[OBJECT_KEY_MAX];
    struct key *k;

    object_key(ns, name, text);
    k = table_get(&r->keys, str_of(text));
    if (k)
        return k;
    k = mem_zalloc(sizeof(*k));
    k->r = r;
    k->ns = str_dup(ns);
    k->name = str_dup(name);
    k->text = mem_strdup(text);
    list_init(&k->link);
    loop_timer_init(&k->timer, r->o.cluster->loop, on_timer, k);
    loop_timer_init(&k->unseen, r->o.cluster->loop, on_unseen, k);
    table_set(&r->keys, str_of(text), k);
    return k;
}

static void free_key(struct key *k)
{
    loop_timer_stop(&k->timer);
    loop_timer_stop(&k->unseen);
    list_del(&k->link);
    free(k->ns);
    free(k->name);
    free(k->text);
    free(k->failure);
    free(k);
}

void reconciler_wake(struct reconciler *r, struct str ns, struct str name)
{
    enqueue(key_of(r, ns, name));
}

static void back_off(struct key *k)
{
    k->backoff_ms = k->backoff_ms ? k->backoff_ms * 2 : BACKOFF_MIN_MS;
    if (k->backoff_ms > BACKOFF_MAX_MS)
        k->backoff_ms = BACKOFF_MAX_MS;
    loop_timer_start(&k->timer, k->backoff_ms);
}

static void settle(struct key *k)
{
    if (k->writes > 0 || k->in_pass)
        return;
    loop_timer_stop(&k->unseen);
    if (k->has_failed) {
        k->has_failed = false;
        k->is_dirty = false;
        back_off(k);
    } else if (k->is_dirty || (k->wants_again && !k->is_ahead)) {
        k->is_dirty = k->wants_again = false;
        enqueue(k);
    } else if (k->wants_again) { /* the next pass would see the same, and ask for the same */
        k->wants_again = false;
        loop_timer_start(&k->timer, BACKOFF_MIN_MS);
    }
    k->is_ahead = false;
}

static void run_one(struct key *k)
{
    struct pass p = {.key = k, .failure = k->failure, .requeue_ms = -1};

    k->failure = NULL;
    k->in_pass = true;
    k->is_dirty = false;
    k->r->o.reconcile(k->r->o.ctx, &p);
    k->in_pass = false;
    free(p.failure);
    if (p.failed)
        k->has_failed = true;
    else if (k->writes == 0)
        k->backoff_ms = 0;
    if (p.requeue_ms >= 0 && !p.failed)
        loop_timer_start(&k->timer, p.requeue_ms);
    settle(k);
}

static void run(void *arg)
{
    struct reconciler *r = arg;
    struct list now;

    r->is_run_posted = false;
    if (r->is_freed) {
        free(r);
        return;
    }
    list_init(&now);
    while (!list_is_empty(&r->queue)) {
        struct list *it = r->queue.next;

        list_del(it);
        list_add_tail(&now, it);
    }
    while (!list_is_empty(&now)) {
        struct key *k = container_of(now.next, struct key, link);

        list_del(&k->link);
        run_one(k);
    }
}

struct reconciler *reconciler_new(const struct reconciler_options *o)
{
    struct reconciler *r = mem_zalloc(sizeof(*r));

    r->o = *o;
    list_init(&r->queue);
    return r;
}

static void on_change(void *arg, enum cluster_event event, const struct object *was,
                      const struct object *now)
{
    struct watch *w = arg;
    const struct object_owner *owner;

    (void)event;
    if (w->fn) {
        w->fn(w->r->o.ctx, w->r, was, now);
        return;
    }
    if (!w->by_owner) {
        reconciler_wake(w->r, now->ns, now->name);
        return;
    }
    owner = object_controller(now);
    if (owner && str_is(owner->kind, kind_of(w->owner)->kind))
        reconciler_wake(w->r, now->ns, owner->name);
}

static void add_watch(struct reconciler *r, struct watch w)
{
    struct watch *copy = mem_alloc(sizeof(*copy));

    w.r = r;
    w.next = r->watches;
    *copy = w;
    r->watches = copy;
    cluster_watch(r->o.cluster, w.kind, on_change, copy);
}

void reconciler_watch(struct reconciler *r, enum kind_id kind)
{
    add_watch(r, (struct watch){.kind = kind});
}

void reconciler_watch_owned(struct reconciler *r, enum kind_id kind, enum kind_id owner)
{
    add_watch(r, (struct watch){.kind = kind, .owner = owner, .by_owner = true});
}

void reconciler_watch_fn(struct reconciler *r, enum kind_id kind,
                         void (*fn)(void *ctx, struct reconciler *r, const struct object *was,
                                    const struct object *now))
{
    add_watch(r, (struct watch){.kind = kind, .fn = fn});
}

void reconciler_free(struct reconciler *r)
{
    size_t i = 0;
    void *k;

    if (!r)
        return;
    while (r->watches) {
        struct watch *w = r->watches;

        r->watches = w->next;
        cluster_unwatch(r->o.cluster, w->kind, on_change, w);
        free(w);
    }
    while (table_next(&r->keys, &i, NULL, &k))
        free_key(k);
    table_done(&r->keys);
    r->is_freed = true;
    if (!r->is_run_posted)
        free(r);
}

bool reconciler_is_idle(const struct reconciler *r)
{
    size_t i = 0;
    void *v;

    while (table_next(&r->keys, &i, NULL, &v)) {
        const struct key *k = v;

        if (k->writes > 0 || k->in_pass || !list_is_empty(&k->link))
            return false;
    }
    return true;
}

/* --- inside a pass --- */

struct str pass_ns(const struct pass *p)
{
    return str_of(p->key->ns);
}

struct str pass_name(const struct pass *p)
{
    return str_of(p->key->name);
}

struct cluster *pass_cluster(const struct pass *p)
{
    return p->key->r->o.cluster;
}

int64_t pass_now_ms(const struct pass *p)
{
    return loop_wall_ms(p->key->r->o.cluster->loop);
}

const char *pass_failure(const struct pass *p)
{
    return p->failure;
}

void pass_requeue_after(struct pass *p, int64_t ms)
{
    if (p->requeue_ms < 0 || ms < p->requeue_ms)
        p->requeue_ms = ms;
}

void pass_fail(struct pass *p, const char *fmt, ...)
{
    struct buf b = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    log_warn(p->key->r->o.name, "%s: %s", p->key->text, buf_cstr(&b));
    buf_done(&b);
    p->failed = true;
}

/* A write's answer finds its key by name: the key may be gone with its reconciler. */
struct tracked {
    struct key *key;
    cluster_done_fn *done;
    void *arg;
};

/* Somebody else's write is accepted but not stored yet: the answer is about that. */
static bool is_ahead(struct cluster *c, const struct object *now, const struct err *err)
{
    const struct object *o;

    if (err || !now)
        return err && (err->code == ERR_NOT_FOUND || err->code == ERR_CONFLICT);
    o = cluster_get(c, now->kind->id, now->ns, now->name);
    return !o || o->rv < now->rv;
}

static void on_done(void *arg, const struct object *now, const struct err *err)
{
    struct tracked *t = arg;
    struct key *k = t->key;

    if (t->done)
        t->done(t->arg, now, err);
    if (k->writes > 0)
        k->writes--;
    k->is_ahead |= is_ahead(k->r->o.cluster, now, err);
    if (err && err->code == ERR_CONFLICT) {
        k->wants_again = true; /* the cache is newer by now */
    } else if (err && err->code != ERR_NOT_FOUND) {
        log_warn(k->r->o.name, "%s: %s", k->text, err->msg);
        if (!k->failure)
            k->failure = mem_strdup(err->msg);
        k->has_failed = true;
    } else {
        k->wants_again = true; /* level-triggered: look at the result */
    }
    free(t);
    settle(k);
}

void pass_write_done(struct pass *p, const struct cluster_write *w, cluster_done_fn *done,
                     void *arg)
{
    struct tracked *t = mem_zalloc(sizeof(*t));
    struct cluster_write copy = *w;

    *t = (struct tracked){p->key, done, arg};
    if (!copy.manager)
        copy.manager = p->key->r->o.name;
    p->key->writes++;
    loop_timer_start(&p->key->unseen, UNSEEN_MS);
    cluster_write(p->key->r->o.cluster, &copy, on_done, t);
}

void pass_write(struct pass *p, const struct cluster_write *w)
{
    pass_write_done(p, w, NULL, NULL);
}

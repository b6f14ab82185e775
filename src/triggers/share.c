/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/share.h"

#include <stdlib.h>

#include "base/mem.h"
#include "triggers/hub_int.h"

struct shared_call {
    struct list link, waiters;
    struct http_call *call;
    bool is_answered;            /* and being handed out */
    struct share_waiter *sender; /* NULL: has left */
    char *key;                   /* all that the request is made of: a secret */
    size_t key_n;
};

static void add_headers(struct buf *b, const struct http_headers *h)
{
    for (size_t i = 0; h && i < h->n; i++)
        buf_printf(b, "%.*s:%.*s\n", STR_ARG(h->items[i].name), STR_ARG(h->items[i].value));
}

/* Lines: none of the parts has a line break in it. */
static void make_key(const struct http_call_options *o, struct buf *b)
{
    char addr[64] = "";

    if (o->addr)
        net_addr_text(o->addr, addr);
    buf_printf(b, "%s\n%s\n%p\n%lld\n", o->url, addr, (void *)o->tls, (long long)o->timeout_ms);
    add_headers(b, o->headers);
    buf_add_char(b, '\n');
    add_headers(b, o->secrets);
}

static void free_shared(struct shared_call *s)
{
    list_del(&s->link);
    if (s->key)
        explicit_bzero(s->key, s->key_n);
    free(s->key);
    free(s);
}

static void on_answer(void *arg, const struct http_response *r, struct str body,
                      const struct err *err)
{
    struct shared_call *s = arg;

    s->is_answered = true;
    list_del(&s->link); /* who asks from here on asks anew */
    /* a waiter may go, or take others along */
    while (!list_is_empty(&s->waiters)) {
        struct share_waiter *w = container_of(s->waiters.next, struct share_waiter, link);
        bool is_sender = s->sender == w;

        list_del(&w->link);
        w->of = NULL;
        w->on_answer(w->arg, is_sender, r, body, err);
    }
    free_shared(s);
}

void share_send(struct trigger_hub *h, struct http_client *c, const struct http_call_options *o,
                struct share_waiter *w)
{
    struct http_call_options with = *o;
    struct buf key = BUF_INIT;
    struct shared_call *s = NULL;

    if (h) {
        make_key(o, &key);
        list_each (it, hub_calls(h)) {
            struct shared_call *other = container_of(it, struct shared_call, link);

            if (!s && str_eq(str_n(other->key, other->key_n), buf_str(&key)))
                s = other;
        }
    }
    if (!s) {
        s = mem_zalloc(sizeof(*s));
        list_init(&s->link);
        list_init(&s->waiters);
        s->sender = w;
        if (h) {
            s->key = buf_take(&key, &s->key_n);
            list_add_tail(hub_calls(h), &s->link);
        }
        with.arg = s;
        with.on_all = on_answer;
        s->call = http_client_send(c, &with);
    }
    if (key.p)
        explicit_bzero(key.p, key.n);
    buf_done(&key);
    w->of = s;
    list_add_tail(&s->waiters, &w->link);
}

void share_leave(struct share_waiter *w)
{
    struct shared_call *s = w->of;

    if (!s)
        return;
    w->of = NULL;
    list_del(&w->link);
    if (s->sender == w)
        s->sender = NULL;
    if (!list_is_empty(&s->waiters) || s->is_answered)
        return;
    http_call_cancel(s->call);
    free_shared(s);
}

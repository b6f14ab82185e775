/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define IDLE_MS 30000
#define IDLE_MAX 64

/* A connection without a call. */
struct idle {
    struct list link;
    struct http_pool *pool;
    struct conn *conn;
    char *key;
    struct loop_timer timer;
};

static void drop(struct idle *i)
{
    loop_timer_stop(&i->timer);
    list_del(&i->link);
    i->pool->n--;
    free(i->key);
    free(i);
}

static void on_timeout(void *arg)
{
    struct idle *i = arg;

    conn_close(i->conn);
    drop(i);
}

static void on_data(void *arg, struct str bytes)
{
    (void)bytes; /* nobody asked: not a connection to trust */
    on_timeout(arg);
}

static void on_close(void *arg, const struct err *err)
{
    (void)err;
    drop(arg);
}

static const struct conn_events idle_events = {NULL, on_data, NULL, on_close, NULL};

void http_pool_put(struct http_pool *p, const char *key, struct conn *c)
{
    struct idle *i;

    if (p->n >= IDLE_MAX)
        on_timeout(container_of(p->idle.next, struct idle, link));
    i = mem_zalloc(sizeof(*i));
    i->pool = p;
    i->conn = c;
    i->key = mem_strdup(key);
    loop_timer_init(&i->timer, p->loop, on_timeout, i);
    loop_timer_start(&i->timer, IDLE_MS);
    conn_retarget(c, &idle_events, i);
    list_add_tail(&p->idle, &i->link);
    p->n++;
}

struct conn *http_pool_take(struct http_pool *p, const char *key)
{
    for (struct list *it = p->idle.prev; it != &p->idle; it = it->prev) {
        struct idle *i = container_of(it, struct idle, link);

        if (strcmp(i->key, key) == 0) {
            struct conn *conn = i->conn;

            drop(i);
            return conn;
        }
    }
    return NULL;
}

void http_pool_init(struct http_pool *p, struct loop *l)
{
    *p = (struct http_pool){.loop = l};
    list_init(&p->idle);
}

void http_pool_done(struct http_pool *p)
{
    while (!list_is_empty(&p->idle))
        on_timeout(container_of(p->idle.next, struct idle, link));
}

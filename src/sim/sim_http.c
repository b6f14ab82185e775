/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP client of the simulation: it knows the pods' addresses, answers GET of their metrics
 * page after a seeded delay, and refuses everything else. */
#include <stdlib.h>

#include "base/mem.h"
#include "sim/sim_int.h"

struct http_call {
    struct http_call_head head; /* first, as every implementation's */
    struct sim *sim;
    struct list link;
    struct loop_timer timer;
    struct net_addr addr;
    bool has_addr;
    void *arg;
    void (*on_all)(void *arg, const struct http_response *r, struct str body,
                   const struct err *err);
};

static struct sim *sim_of(struct http_client *c)
{
    return container_of(c, struct sim, http);
}

static void free_call(struct http_call *c)
{
    loop_timer_stop(&c->timer);
    list_del(&c->link);
    free(c);
}

static void answer(struct http_call *c, int status, struct str body, const struct err *err)
{
    static struct http_header type[] = {{{"content-type", 12}, {"text/plain", 10}}};
    struct http_response r = {status, {type, 1}};
    void (*on_all)(void *, const struct http_response *, struct str, const struct err *) =
        c->on_all;
    void *arg = c->arg;

    free_call(c);
    on_all(arg, err ? NULL : &r, body, err);
}

static void fail(struct http_call *c, int code, const char *why)
{
    struct err err = ERR_INIT;

    err_set(&err, code, "%s", why);
    answer(c, 0, STR_NONE, &err);
}

static void on_due(void *arg)
{
    struct http_call *c = arg;
    struct sim *s = c->sim;
    struct sim_pod *p = c->has_addr ? sim_pod_at(s, &c->addr) : NULL;

    if (s->fault == SIM_SCRAPES_HANG) {
        fail(c, ERR_TIMEOUT, "no answer in time");
    } else if (!p || !p->engine || s->fault == SIM_SCRAPES_REFUSED) {
        fail(c, ERR_UNAVAILABLE, "connection refused");
    } else if (s->fault == SIM_SCRAPES_GARBAGE) {
        answer(c, 200, STR("<html>hello</html>\n"), NULL);
    } else {
        answer(c, 200, vllm_metrics_page(p->metrics, false), NULL);
    }
}

static struct http_call *sim_send(struct http_client *client, const struct http_call_options *o)
{
    struct sim *s = sim_of(client);
    struct http_call *c = mem_zalloc(sizeof(*c));

    FB_ASSERT(o->on_all); /* nothing that streams is called from here */
    c->head.client = client;
    c->sim = s;
    c->arg = o->arg;
    c->on_all = o->on_all;
    if (o->addr) {
        c->addr = *o->addr;
        c->has_addr = true;
    }
    loop_timer_init(&c->timer, s->loop, on_due, c);
    list_add_tail(&s->calls, &c->link);
    loop_timer_start(&c->timer, s->fault == SIM_SCRAPES_HANG
                                    ? (o->timeout_ms ? o->timeout_ms : 60000)
                                    : sim_between(s, s->o.scrape_ms, 1, 20));
    return c;
}

static void sim_cancel(struct http_call *c)
{
    free_call(c);
}

static const struct http_client_ops ops = {.send = sim_send, .cancel = sim_cancel};

void sim_http_start(struct sim *s)
{
    list_init(&s->calls);
    s->http.ops = &ops;
}

void sim_http_stop(struct sim *s)
{
    list_each (it, &s->calls)
        free_call(container_of(it, struct http_call, link));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/collector.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/page.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/scrape.h"

#define PAGE_MAX ((size_t)16 << 20)
#define TIMEOUT_MS 10000
#define TIMEOUT_MIN_MS 1000 /* of short intervals: a page may be slow once */
#define EARLY_MS 2          /* two clocks in whole milliseconds */
#define LATE_MAX_MS 100     /* a tick that is later is not at its multiple */

enum health { HEALTH_UNKNOWN, HEALTH_UP, HEALTH_DOWN };

struct target {
    struct collector *c;
    const struct agent_job *job;
    const struct agent_target *conf;
    struct page *page;
    char *url;
    struct net_addr addr; /* len 0: by name */
    struct tls_client *tls;
    struct http_header headers[3];
    char timeout_text[24];
    int64_t interval_ms, timeout_ms;
    struct loop_timer tick;
    struct http_call *call;
    int64_t sent_ns, t_ms, told_ns; /* told: mono, when it was handed on last; 0: never */
    enum health health;
};

struct collector {
    struct collector_options o;
    struct target *targets;
    size_t n;
    struct buf request, plain;
};

/* --- handing on --- */

static void hand_on(struct target *t)
{
    struct collector *c = t->c;

    buf_clear(&c->request);
    if (page_write(t->page, &c->request) && !c->request.overflow)
        c->o.on_request(c->o.arg, buf_str(&c->request));
    t->told_ns = loop_mono_ns(c->o.loop);
}

static void consider(struct target *t)
{
    const struct collector_options *o = &t->c->o;
    int64_t age_ns = loop_mono_ns(o->loop) - t->told_ns;

    /* half an interval: the tick before the heartbeat is over must not be missed by jitter */
    if (page_has_news(t->page) || !t->told_ns || (o->is_lost && o->is_lost(o->arg)) ||
        age_ns >= (o->heartbeat_ms - t->interval_ms / 2) * 1000000)
        hand_on(t);
}

/* --- scraping --- */

static void say_health(struct target *t, enum health now, const char *why)
{
    if (t->health == now)
        return;
    if (now == HEALTH_DOWN)
        log_warn("agent", "target %s is down: %s", t->url, why);
    else
        log_info("agent", "target %s is up: %zu samples", t->url, page_samples(t->page));
    t->health = now;
}

static void on_answer(void *arg, const struct http_response *r, struct str body,
                      const struct err *err)
{
    struct target *t = arg;
    struct collector *c = t->c;
    struct page_scrape s = {t->t_ms, (double)(loop_mono_ns(c->o.loop) - t->sent_ns) / 1e9};
    struct err bad = ERR_INIT;
    enum promtext_format format;
    struct str page;

    t->call = NULL;
    if (err || scrape_page(r, body, t->job->fallback, &c->plain, &page, &format, &bad) < 0) {
        page_fail(t->page, &s);
        say_health(t, HEALTH_DOWN, err ? err->msg : bad.msg);
    } else if (page_repeat(t->page, page, &s) || page_take(t->page, page, format, &s, &bad) == 0) {
        say_health(t, HEALTH_UP, NULL);
    } else {
        say_health(t, HEALTH_DOWN, bad.msg);
    }
    consider(t);
}

static void scrape(struct target *t)
{
    struct collector *c = t->c;
    struct http_headers headers = {t->headers, ARRAY_LEN(t->headers)};
    size_t max = t->job->body_size_limit ? (size_t)t->job->body_size_limit : PAGE_MAX;

    t->sent_ns = loop_mono_ns(c->o.loop);
    t->call = http_client_send(c->o.http,
                               &(struct http_call_options){.url = t->url,
                                                           .addr = t->addr.len ? &t->addr : NULL,
                                                           .headers = &headers,
                                                           .timeout_ms = t->timeout_ms,
                                                           .max_body = max,
                                                           .max_redirects = 10,
                                                           .tls = t->tls,
                                                           .arg = t,
                                                           .on_all = on_answer});
}

static void on_tick(void *arg)
{
    struct target *t = arg;
    int64_t now = loop_wall_ms(t->c->o.loop), iv = t->interval_ms;
    int64_t multiple = (now + EARLY_MS) / iv * iv, late = now - multiple;
    bool in_time = late <= LATE_MAX_MS && 4 * late <= 3 * iv;

    loop_timer_start(&t->tick, multiple + iv - now);
    if (t->call)
        return;
    t->t_ms = in_time ? multiple : now;
    scrape(t);
}

/* --- life --- */

static int set_address(struct target *t, const char *pod_ip, struct err *err)
{
    struct http_url u;
    char host[256];
    bool is_local;

    if (!http_url_split(str_of(t->url), &u) || u.host.n >= sizeof(host))
        return err_set(err, ERR_BAD_INPUT, "'%s' is not a URL", t->url);
    snprintf(host, sizeof(host), "%.*s", STR_ARG(u.host));
    is_local = str_eq_nocase(u.host, STR("localhost"));
    if (is_local && pod_ip && *pod_ip && net_addr_set(&t->addr, pod_ip, u.port) < 0)
        return err_set(err, ERR_BAD_INPUT, "$POD_IP '%s' is not an IP address", pod_ip);
    if (is_local && !t->addr.len)
        net_addr_set(&t->addr, "127.0.0.1", u.port);
    if (!is_local && net_addr_set(&t->addr, host, u.port) < 0)
        t->addr.len = 0; /* a name: asked for at each connect */
    return 0;
}

static int set_tls(struct target *t, struct err *err)
{
    const struct agent_tls *s = &t->job->tls;

    if (!str_is(t->job->scheme, "https"))
        return 0;
    return tls_client_new(&(struct tls_client_options){.ca_pem = s->ca_pem,
                                                       .cert_pem = s->cert_pem,
                                                       .key_pem = s->key_pem,
                                                       .insecure = s->skip_verify,
                                                       .server_name = s->server_name},
                          &t->tls, err);
}

static int start_target(struct collector *c, struct target *t, const struct agent_job *job,
                        const struct agent_target *conf, struct err *err)
{
    *t = (struct target){.c = c, .job = job, .conf = conf};
    t->interval_ms = c->o.interval_ms ? c->o.interval_ms : job->interval_ms;
    t->timeout_ms = job->timeout_ms                   ? job->timeout_ms
                    : t->interval_ms > TIMEOUT_MS     ? TIMEOUT_MS
                    : t->interval_ms < TIMEOUT_MIN_MS ? TIMEOUT_MIN_MS
                                                      : t->interval_ms;
    t->url = mem_printf("%.*s://%.*s%.*s", STR_ARG(job->scheme), STR_ARG(conf->address),
                        STR_ARG(job->path));
    snprintf(t->timeout_text, sizeof(t->timeout_text), "%g", (double)t->timeout_ms / 1000);
    t->headers[0] = scrape_headers.items[0];
    t->headers[1] = scrape_headers.items[1];
    t->headers[2] =
        (struct http_header){STR("x-prometheus-scrape-timeout-seconds"), str_of(t->timeout_text)};
    loop_timer_init(&t->tick, c->o.loop, on_tick, t);
    if (set_address(t, c->o.pod_ip, err) < 0 || set_tls(t, err) < 0)
        return err_wrap(err, "job '%.*s'", STR_ARG(job->name));
    t->page = page_new(c->o.config, job, conf);
    loop_timer_start(&t->tick, t->interval_ms - loop_wall_ms(c->o.loop) % t->interval_ms);
    return 0;
}

int collector_new(const struct collector_options *o, struct collector **ret, struct err *err)
{
    struct collector *c = mem_zalloc(sizeof(*c));
    size_t total = 0;

    c->o = *o;
    c->plain.max = PAGE_MAX;
    for (size_t i = 0; i < o->config->n_jobs; i++)
        total += o->config->jobs[i].n_targets;
    c->targets = mem_array(total ? total : 1, sizeof(*c->targets));
    for (size_t i = 0; i < o->config->n_jobs; i++)
        for (size_t k = 0; k < o->config->jobs[i].n_targets; k++)
            if (start_target(c, &c->targets[c->n++], &o->config->jobs[i],
                             &o->config->jobs[i].targets[k], err) < 0) {
                collector_free(c);
                return err->code;
            }
    *ret = c;
    return 0;
}

void collector_end(struct collector *c)
{
    for (size_t i = 0; i < c->n; i++) {
        struct target *t = &c->targets[i];

        loop_timer_stop(&t->tick);
        http_call_cancel(t->call);
        t->call = NULL;
        page_end(t->page, loop_wall_ms(c->o.loop));
        if (page_has_news(t->page))
            hand_on(t);
    }
}

void collector_free(struct collector *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++) {
        struct target *t = &c->targets[i];

        loop_timer_stop(&t->tick);
        http_call_cancel(t->call);
        page_free(t->page);
        tls_client_free(t->tls);
        free(t->url);
    }
    buf_done(&c->request);
    buf_done(&c->plain);
    free(c->targets);
    free(c);
}

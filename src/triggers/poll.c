/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/poll.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "triggers/share.h"

#define REDIRECTS_MAX 10 /* as Go's client */
#define STALE_MS 10000
#define ASKS_MAX 1000
#define BACKOFF_MAX_MS 60000

/* One server of a question. */
struct poll_ask {
    struct http_poll *p;
    struct share_waiter waiter;
    bool is_good;
    enum metric_state state;
    double value;
    char why[sizeof(((struct http_poll *)0)->why)];
};

static struct loop *loop_of(const struct http_poll *p)
{
    return p->t->w->cluster->loop;
}

/* --- what to do about failures --- */

int poll_check_status(int status, bool only_200, const char *key, struct err *err)
{
    if (status == 200 || (status >= 200 && status < 300 && !only_200))
        return 0;
    if (status >= 200 && status < 300)
        return err_set(err, ERR_UNAVAILABLE, "it answered HTTP %d: only 200 has a value; check %s",
                       status, key);
    if (status == 404)
        return err_set(err, ERR_UNAVAILABLE,
                       "it answered HTTP 404: check %s; what is asked for is not there", key);
    if (status >= 300 && status < 400)
        return err_set(err, ERR_UNAVAILABLE,
                       "it answered HTTP %d: it redirects, but not to a place; check %s", status,
                       key);
    return err_set(err, ERR_UNAVAILABLE, "it answered HTTP %d: %s", status,
                   status == 401 || status == 403 ? "check authModes and the credentials"
                   : status == 429                ? "it is asked too often; raise pollingInterval"
                   : status >= 500                ? "it is not well; see its log"
                                                  : "it refuses the query; try it there by hand");
}

static bool says(const struct err *err, const char *what)
{
    return strstr(err->msg, what) != NULL;
}

static const char *tls_advice(const struct err *err)
{
    if (says(err, "certificate has expired") || says(err, "not yet valid"))
        return "renew the server's certificate";
    if (says(err, "mismatch"))
        return "the certificate is for other names: use one of them as address";
    if (says(err, "server's certificate"))
        return "give its CA as parameter ca of the TriggerAuthentication; unsafeSsl: \"true\" "
               "skips the check";
    if (says(err, "certificate required") || says(err, "bad certificate") ||
        says(err, "unknown ca") || says(err, "certificate expired"))
        return "it wants another client certificate: check authModes tls, and cert and key of the "
               "TriggerAuthentication";
    if (says(err, "wrong version number") || says(err, "packet length too long"))
        return "it does not speak TLS there: use http://";
    return "check its TLS settings";
}

/* What to do about a question that brought no answer. */
static void tell_failure(const struct http_poll *p, const struct err *err, char *out, size_t cap)
{
    const char *todo = NULL;
    char check[80];

    snprintf(check, sizeof(check),
             err->code == ERR_BAD_INPUT ? "check %s: is that %s?"
             : err->code == ERR_LIMIT   ? "check %s"
                                        : "check %s, and whether it runs",
             p->ops->key, p->ops->what);
    if (says(err, "certificate") || says(err, "TLS"))
        todo = tls_advice(err);
    else if (err->code == ERR_TIMEOUT)
        todo = "set timeout, or make the query cheaper";
    else if (err->code == ERR_LIMIT && !says(err, "redirect"))
        todo = p->ops->narrow;
    snprintf(out, cap, "%s at %.60s: %.80s; %s", p->ops->peer, p->shown, err->msg,
             todo ? todo : check);
}

/* --- counting --- */

const double poll_bounds[POLL_BUCKETS - 1] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};

static void count(struct http_poll *p, int status)
{
    double seconds = (double)(loop_mono_ns(loop_of(p)) - p->asked_ns) / 1e9;
    struct poll_status *s;
    size_t b = 0, i = 0;

    while (i < p->n_statuses && p->statuses[i].status != status)
        i++;
    if (i == p->n_statuses) {
        if (i == POLL_STATUSES_MAX)
            return;
        mem_grow(&p->statuses, &p->cap_statuses, i);
        p->statuses[p->n_statuses++] = (struct poll_status){.status = status};
    }
    s = &p->statuses[i];
    while (b < POLL_BUCKETS - 1 && seconds > poll_bounds[b])
        b++;
    s->n++;
    s->buckets[b]++;
    s->sum_s += seconds;
    p->latency_s = seconds;
}

/* --- a question --- */

static void combine(struct http_poll *p)
{
    double *values = mem_array(p->n_asks, sizeof(*values));
    size_t n = 0;

    for (size_t i = 0; i < p->n_asks; i++)
        if (p->asks[i].is_good && p->asks[i].state == METRIC_VALUE)
            values[n++] = p->asks[i].value;
    p->state = n ? METRIC_VALUE : METRIC_UNKNOWN;
    p->why[0] = '\0';
    if (n)
        p->value = p->n_asks > 1 ? p->ops->combine(p->t, values, n) : values[0];
    for (size_t i = 0; i < p->n_asks && !n; i++) {
        const struct poll_ask *a = &p->asks[i];

        if (a->is_good) { /* an empty answer is one */
            p->state = METRIC_EMPTY;
            p->value = 0;
            p->why[0] = '\0';
            break;
        }
        snprintf(p->why, sizeof(p->why), "%s", a->why);
    }
    free(values);
}

/* "Retry-After: 5"; a date is not worth reading. */
static int64_t retry_after_ms(const struct http_response *r)
{
    struct str text = str_trim(http_header_get(&r->headers, "retry-after"));
    int64_t seconds;

    return str_to_i64(text, &seconds) && seconds > 0 && seconds < BACKOFF_MAX_MS / 1000
               ? seconds * 1000
           : text.n ? BACKOFF_MAX_MS
                    : 0;
}

static void note_refusal(struct http_poll *p, const struct http_response *r)
{
    int64_t wish = r->status == 429 || r->status == 503 ? retry_after_ms(r) : 0;

    p->is_refused |= r->status == 429 || wish > 0;
    p->retry_after_ms = wish > p->retry_after_ms ? wish : p->retry_after_ms;
}

static void back_off(struct http_poll *p)
{
    int64_t wait;

    if (!p->is_refused) {
        p->n_refused = 0;
        return;
    }
    p->n_refused += p->n_refused < 6;
    wait = p->t->poll_ms << p->n_refused;
    wait = wait > p->retry_after_ms ? wait : p->retry_after_ms;
    wait = wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS;
    if (wait > p->t->poll_ms)
        loop_timer_start(&p->timer, wait);
    p->is_refused = false;
    p->retry_after_ms = 0;
}

static void end_round(struct http_poll *p)
{
    back_off(p);
    combine(p);
    p->n_empty += p->state == METRIC_EMPTY;
    p->got_ms = loop_mono_ns(loop_of(p)) / 1000000;
    p->has_answer = true;
    free(p->asks);
    p->asks = NULL;
    p->n_asks = 0;
    trigger_tell(p->t);
}

static void on_answer(void *arg, bool is_sender, const struct http_response *r, struct str body,
                      const struct err *err)
{
    struct poll_ask *a = arg;
    struct http_poll *p = a->p;
    struct err bad = ERR_INIT;

    if (is_sender)
        count(p, err ? 0 : r->status);
    if (!err)
        note_refusal(p, r);
    if (err)
        tell_failure(p, err, a->why, sizeof(a->why));
    else if (poll_check_status(r->status, p->ops->only_200, p->ops->key, &bad) < 0 ||
             p->ops->read(p->t, body, &a->state, &a->value, &bad) < 0)
        snprintf(a->why, sizeof(a->why), "%s at %.70s: %.150s", p->ops->peer, p->shown, bad.msg);
    else
        a->is_good = true;
    if (!err && (r->status == 401 || r->status == 403) && (p->auth.modes & HTTP_AUTH_OAUTH))
        snprintf(a->why, sizeof(a->why),
                 "%s at %.70s: it answered HTTP %d: authModes oauth sends nothing (as in KEDA); "
                 "use bearer",
                 p->ops->peer, p->shown, r->status);
    if (--p->n_open == 0)
        end_round(p);
}

static void fail_round(struct http_poll *p, const char *why)
{
    p->asks = mem_array(1, sizeof(*p->asks));
    p->n_asks = 1;
    snprintf(p->asks[0].why, sizeof(p->asks[0].why), "%s at %.70s: %.150s", p->ops->peer, p->shown,
             why);
    end_round(p);
}

static void send_all(struct http_poll *p, const char *url, const struct net_addr *to, size_t n)
{
    struct http_headers headers = {p->auth.headers, p->auth.n_headers},
                        secrets = {p->auth.secrets, p->auth.n_secrets};

    p->asks = mem_array(n, sizeof(*p->asks));
    p->n_asks = p->n_open = n;
    p->asked_ns = loop_mono_ns(loop_of(p));
    for (size_t i = 0; i < n; i++) {
        p->asks[i].p = p;
        p->asks[i].waiter = (struct share_waiter){.on_answer = on_answer, .arg = &p->asks[i]};
        share_send(p->t->w->hub, p->t->w->http,
                   &(struct http_call_options){.url = url,
                                               .addr = to ? &to[i] : NULL,
                                               .headers = &headers,
                                               .secrets = &secrets,
                                               .timeout_ms = p->timeout_ms,
                                               .max_body = POLL_ANSWER_MAX,
                                               .max_redirects = REDIRECTS_MAX,
                                               .tls = p->auth.tls},
                   &p->asks[i].waiter);
    }
}

static void ask(struct http_poll *p)
{
    struct buf url = BUF_INIT, addresses = BUF_INIT;
    struct err bad = ERR_INIT;
    size_t n = 1;

    if (p->auth.problem) {
        fail_round(p, p->auth.problem);
        return;
    }
    if (p->ops->addresses) {
        if (!p->ops->addresses(p->t, &addresses, &bad)) {
            buf_done(&addresses);
            fail_round(p, bad.msg);
            return;
        }
        n = addresses.n / sizeof(struct net_addr);
        n = n > ASKS_MAX ? ASKS_MAX : n;
    }
    p->ops->url(p->t, &url);
    if (p->auth.query)
        buf_printf(&url, "%c%s", strchr(buf_cstr(&url), '?') ? '&' : '?', p->auth.query);
    send_all(p, buf_cstr(&url),
             n && addresses.n ? (const struct net_addr *)(void *)addresses.p : NULL, n ? n : 1);
    if (url.p)
        explicit_bzero(url.p, url.n);
    buf_done(&url);
    buf_done(&addresses);
}

/* Each question has its place in the interval, so that not all are asked at once; the same
 * question of several triggers the same one, so that it is asked once (share.h). */
static int64_t interval_ms(const struct http_poll *p)
{
    const struct trigger *t = p->t;
    uint64_t period = (uint64_t)(t->poll_ms > 0 ? t->poll_ms : 1),
             place = (str_hash(str_of(p->address)) ^ str_hash(str_of(t->query)) * 3) % period,
             now = (uint64_t)loop_mono_ns(loop_of(p)) / 1000000 + period - place;

    return (int64_t)(period - now % period);
}

static void on_timer(void *arg)
{
    struct http_poll *p = arg;

    loop_timer_start(&p->timer, interval_ms(p));
    if (p->ops->is_off && p->ops->is_off(p->t))
        p->has_answer = false; /* an answer of another time is none */
    else if (p->n_open == 0)
        ask(p);
}

/* --- life --- */

void poll_parse(struct http_poll *p, struct trigger *t, const struct http_poll_ops *ops,
                const json_t *meta, const char *address, unsigned modes, struct err *err)
{
    size_t host;

    p->t = t;
    p->ops = ops;
    p->address = mem_strdup(address ? address : "");
    meta_duration(t, meta, "timeout", POLL_TIMEOUT_MS, &p->timeout_ms, err);
    http_auth_parse(t, meta, modes, &p->auth, err);
    http_auth_take_user(&p->auth, p->address);
    p->shown = mem_strdup(p->address);
    host = strstr(p->shown, "://") ? (size_t)(strstr(p->shown, "://") - p->shown) + 3 : 0;
    p->shown[strcspn(p->shown, "?#")] = '\0';
    if (meta_is_hidden(t, meta, ops->key)) /* of one out of the environment no more than the host */
        p->shown[host + strcspn(p->shown + host, "/")] = '\0';
}

void poll_start(struct http_poll *p)
{
    p->state = METRIC_UNKNOWN;
    loop_timer_init(&p->timer, loop_of(p), on_timer, p);
    loop_timer_start(&p->timer, 0);
}

void poll_done(struct http_poll *p)
{
    if (p->timer.loop)
        loop_timer_stop(&p->timer);
    for (size_t i = 0; i < p->n_asks; i++)
        share_leave(&p->asks[i].waiter);
    free(p->asks);
    free(p->statuses);
    http_auth_done(&p->auth);
    free(p->address);
    free(p->shown);
}

bool poll_is_waiting(const struct http_poll *p)
{
    return !p->has_answer;
}

void poll_value(const struct http_poll *p, struct decision_metric *m)
{
    int64_t stale = (p->t->poll_ms * 3 > STALE_MS ? p->t->poll_ms * 3 : STALE_MS) + p->timeout_ms,
            age = loop_mono_ns(loop_of(p)) / 1000000 - p->got_ms;

    m->state = p->state;
    m->value = p->value;
    m->at_ms -= age;
    snprintf(m->why, sizeof(m->why), "%s", p->why);
    if (m->state != METRIC_UNKNOWN && age > stale)
        trigger_unknown(m, "the last answer is too old, and none has come since");
}

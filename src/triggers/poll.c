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
    struct polled *p;
    struct share_waiter waiter;
    bool is_good;
    enum metric_state state;
    double value;
    char why[240];
};

struct poll_run {
    struct polled *p;
    struct loop_timer timer;
    struct poll_ask *asks;
    size_t n_asks, n_open;
    int64_t asked_ns, got_ms; /* mono */
    bool has_answer, is_refused;
    int n_refused;          /* rounds in a row that were answered by "too many" */
    int64_t retry_after_ms; /* what the server wished for by then */
    enum metric_state state;
    double value;
    char why[240];
    struct poll_status *statuses;
    size_t n_statuses, cap_statuses;
    uint64_t n_empty;
    double latency_s;
};

/* As "%.*s" of a text. */
#define SHOWN(p, max) (int)((p)->shown_n < (max) ? (p)->shown_n : (max)), (p)->address

static struct polled *polled_of(const struct trigger *t)
{
    return (struct polled *)(uintptr_t)t;
}

static struct loop *loop_of(const struct polled *p)
{
    return p->t.w->cluster->loop;
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
                   : status == 407                ? "the proxy wants USER:PASSWORD@ in HTTP_PROXY"
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
static void tell_failure(const struct polled *p, const struct err *err, char *out, size_t cap)
{
    const char *todo = NULL;
    char check[80];

    snprintf(check, sizeof(check),
             err->code == ERR_BAD_INPUT ? "check %s: is that %s?"
             : err->code == ERR_LIMIT   ? "check %s"
                                        : "check %s, and whether it runs",
             p->ops->key, p->ops->what);
    if (says(err, "the proxy:"))
        todo = says(err, "HTTP 407") ? "put USER:PASSWORD@ into HTTPS_PROXY"
                                     : "check HTTP_PROXY and HTTPS_PROXY, and whether it runs";
    else if (says(err, "certificate") || says(err, "TLS"))
        todo = tls_advice(err);
    else if (err->code == ERR_TIMEOUT)
        todo = "set timeout, or make the query cheaper";
    else if (err->code == ERR_LIMIT && !says(err, "redirect"))
        todo = p->ops->narrow;
    snprintf(out, cap, "%s at %.*s: %.80s; %s", p->ops->peer, SHOWN(p, 60), err->msg,
             todo ? todo : check);
}

/* --- counting --- */

const double poll_bounds[POLL_BUCKETS - 1] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};

static void count(struct poll_run *r, int status)
{
    double seconds = (double)(loop_mono_ns(loop_of(r->p)) - r->asked_ns) / 1e9;
    struct poll_status *s;
    size_t b = 0, i = 0;

    while (i < r->n_statuses && r->statuses[i].status != status)
        i++;
    if (i == r->n_statuses) {
        if (i == POLL_STATUSES_MAX)
            return;
        mem_grow(&r->statuses, &r->cap_statuses, i);
        r->statuses[r->n_statuses++] = (struct poll_status){.status = status};
    }
    s = &r->statuses[i];
    while (b < POLL_BUCKETS - 1 && seconds > poll_bounds[b])
        b++;
    s->n++;
    s->buckets[b]++;
    s->sum_s += seconds;
    r->latency_s = seconds;
}

struct poll_counts poll_counts(const struct polled *p)
{
    const struct poll_run *r = p->run;

    return r ? (struct poll_counts){r->statuses, r->n_statuses, r->n_empty, r->latency_s}
             : (struct poll_counts){0};
}

/* --- a question --- */

static void combine(struct poll_run *r)
{
    double *values = mem_array(r->n_asks, sizeof(*values));
    size_t n = 0;

    for (size_t i = 0; i < r->n_asks; i++)
        if (r->asks[i].is_good && r->asks[i].state == METRIC_VALUE)
            values[n++] = r->asks[i].value;
    r->state = n ? METRIC_VALUE : METRIC_UNKNOWN;
    r->why[0] = '\0';
    if (n)
        r->value = r->n_asks > 1 ? r->p->ops->combine(&r->p->t, values, n) : values[0];
    for (size_t i = 0; i < r->n_asks && !n; i++) {
        const struct poll_ask *a = &r->asks[i];

        if (a->is_good) { /* an empty answer is one */
            r->state = METRIC_EMPTY;
            r->value = 0;
            r->why[0] = '\0';
            break;
        }
        snprintf(r->why, sizeof(r->why), "%s", a->why);
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

static void note_refusal(struct poll_run *run, const struct http_response *r)
{
    int64_t wish = r->status == 429 || r->status == 503 ? retry_after_ms(r) : 0;

    run->is_refused |= r->status == 429 || wish > 0;
    run->retry_after_ms = wish > run->retry_after_ms ? wish : run->retry_after_ms;
}

static void back_off(struct poll_run *r)
{
    int64_t poll_ms = r->p->t.poll_ms, wait;

    if (!r->is_refused) {
        r->n_refused = 0;
        return;
    }
    r->n_refused += r->n_refused < 6;
    wait = poll_ms << r->n_refused;
    wait = wait > r->retry_after_ms ? wait : r->retry_after_ms;
    wait = wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS;
    if (wait > poll_ms)
        loop_timer_start(&r->timer, wait);
    r->is_refused = false;
    r->retry_after_ms = 0;
}

static void end_round(struct poll_run *r)
{
    back_off(r);
    combine(r);
    r->n_empty += r->state == METRIC_EMPTY;
    r->got_ms = loop_mono_ns(loop_of(r->p)) / 1000000;
    r->has_answer = true;
    free(r->asks);
    r->asks = NULL;
    r->n_asks = 0;
    trigger_tell(&r->p->t);
}

static void on_answer(void *arg, bool is_sender, const struct http_response *r, struct str body,
                      const struct err *err)
{
    struct poll_ask *a = arg;
    struct polled *p = a->p;
    struct err bad = ERR_INIT;

    if (is_sender)
        count(p->run, err ? 0 : r->status);
    if (!err)
        note_refusal(p->run, r);
    if (err)
        tell_failure(p, err, a->why, sizeof(a->why));
    else if (poll_check_status(r->status, p->ops->only_200, p->ops->key, &bad) < 0 ||
             p->ops->read(&p->t, body, &a->state, &a->value, &bad) < 0)
        snprintf(a->why, sizeof(a->why), "%s at %.*s: %.150s", p->ops->peer, SHOWN(p, 70), bad.msg);
    else
        a->is_good = true;
    if (!err && (r->status == 401 || r->status == 403) && p->auth &&
        (p->auth->modes & HTTP_AUTH_OAUTH))
        snprintf(a->why, sizeof(a->why),
                 "%s at %.*s: it answered HTTP %d: authModes oauth sends nothing (as in KEDA); "
                 "use bearer",
                 p->ops->peer, SHOWN(p, 70), r->status);
    if (--p->run->n_open == 0)
        end_round(p->run);
}

static void fail_round(struct polled *p, const char *why)
{
    struct poll_run *r = p->run;

    r->asks = mem_array(1, sizeof(*r->asks));
    r->n_asks = 1;
    snprintf(r->asks[0].why, sizeof(r->asks[0].why), "%s at %.*s: %.150s", p->ops->peer,
             SHOWN(p, 70), why);
    end_round(r);
}

static void send_all(struct polled *p, const char *url, const struct net_addr *to, size_t n)
{
    struct http_headers headers = {0}, secrets = {0};
    struct poll_run *r = p->run;

    if (p->auth) {
        headers = (struct http_headers){p->auth->headers, p->auth->n_headers};
        secrets = (struct http_headers){p->auth->secrets, p->auth->n_secrets};
    }
    r->asks = mem_array(n, sizeof(*r->asks));
    r->n_asks = r->n_open = n;
    r->asked_ns = loop_mono_ns(loop_of(p));
    for (size_t i = 0; i < n; i++) {
        r->asks[i].p = p;
        r->asks[i].waiter = (struct share_waiter){.on_answer = on_answer, .arg = &r->asks[i]};
        share_send(p->t.w->hub, p->t.w->http,
                   &(struct http_call_options){.url = url,
                                               .addr = to ? &to[i] : NULL,
                                               .headers = &headers,
                                               .secrets = &secrets,
                                               .timeout_ms = p->timeout_ms,
                                               .max_body = POLL_ANSWER_MAX,
                                               .max_redirects = REDIRECTS_MAX,
                                               .proxies = p->t.w->proxies,
                                               .tls = p->auth ? p->auth->tls : NULL},
                   &r->asks[i].waiter);
    }
}

static void ask(struct polled *p)
{
    struct buf url = BUF_INIT, addresses = BUF_INIT;
    struct err bad = ERR_INIT;
    size_t n = 1;

    if (p->auth && p->auth->problem) {
        fail_round(p, p->auth->problem);
        return;
    }
    if (p->ops->addresses) {
        if (!p->ops->addresses(&p->t, &addresses, &bad)) {
            buf_done(&addresses);
            fail_round(p, bad.msg);
            return;
        }
        n = addresses.n / sizeof(struct net_addr);
        n = n > ASKS_MAX ? ASKS_MAX : n;
    }
    p->ops->url(&p->t, &url);
    if (p->auth && p->auth->query)
        buf_printf(&url, "%c%s", strchr(buf_cstr(&url), '?') ? '&' : '?', p->auth->query);
    send_all(p, buf_cstr(&url),
             n && addresses.n ? (const struct net_addr *)(void *)addresses.p : NULL, n ? n : 1);
    if (url.p)
        explicit_bzero(url.p, url.n);
    buf_done(&url);
    buf_done(&addresses);
}

/* Each question has its place in the interval, so that not all are asked at once; the same
 * question of several triggers the same one, so that it is asked once (share.h). */
static int64_t interval_ms(const struct polled *p)
{
    const struct trigger *t = &p->t;
    uint64_t period = (uint64_t)(t->poll_ms > 0 ? t->poll_ms : 1),
             place = (str_hash(str_of(p->address)) ^ str_hash(str_of(t->query)) * 3) % period,
             now = (uint64_t)loop_mono_ns(loop_of(p)) / 1000000 + period - place;

    return (int64_t)(period - now % period);
}

static bool is_off(const struct polled *p)
{
    return p->ops->is_off && p->ops->is_off(&p->t);
}

static void on_timer(void *arg)
{
    struct poll_run *r = arg;

    if (is_off(r->p)) {
        r->has_answer = false; /* an answer of another time is none */
        return;                /* until somebody looks who finds it on */
    }
    loop_timer_start(&r->timer, interval_ms(r->p));
    if (r->n_open == 0)
        ask(r->p);
}

static struct poll_run *run_of(struct polled *p)
{
    if (!p->run) {
        p->run = mem_zalloc(sizeof(*p->run));
        p->run->p = p;
        p->run->state = METRIC_UNKNOWN;
        loop_timer_init(&p->run->timer, loop_of(p), on_timer, p->run);
    }
    if (!loop_timer_is_running(&p->run->timer))
        loop_timer_start(&p->run->timer, 0);
    return p->run;
}

/* --- the trigger --- */

void polled_parse(struct trigger *t, const struct polled_ops *ops, const json_t *meta,
                  const char *address, unsigned modes, struct err *err)
{
    struct polled *p = polled_of(t);
    struct http_auth auth = {0};
    int64_t timeout_ms;
    const char *host;

    p->ops = ops;
    p->address = mem_strdup(address ? address : "");
    meta_duration(t, meta, "timeout", POLL_TIMEOUT_MS, &timeout_ms, err);
    p->timeout_ms = (int32_t)timeout_ms;
    http_auth_parse(t, meta, modes, &auth, err);
    http_auth_take_user(&auth, p->address);
    p->auth = http_auth_keep(&auth);
    p->shown_n = (uint32_t)strcspn(p->address, "?#");
    if (meta_is_hidden(t, meta, ops->key)) { /* of one out of the environment only the host */
        host = strstr(p->address, "://") ? strstr(p->address, "://") + 3 : p->address;
        p->shown_n = (uint32_t)(host - p->address + (ptrdiff_t)strcspn(host, "/?#"));
    }
}

void polled_start(struct trigger *t)
{
    if (!is_off(polled_of(t)))
        run_of(polled_of(t));
}

void polled_done(struct trigger *t)
{
    struct polled *p = polled_of(t);
    struct poll_run *r = p->run;

    if (r) {
        loop_timer_stop(&r->timer);
        for (size_t i = 0; i < r->n_asks; i++)
            share_leave(&r->asks[i].waiter);
        free(r->asks);
        free(r->statuses);
        free(r);
    }
    if (p->auth)
        http_auth_done(p->auth);
    free(p->auth);
    free(p->address);
}

bool polled_is_waiting(const struct trigger *t)
{
    struct polled *p = polled_of(t);

    return !is_off(p) && !run_of(p)->has_answer;
}

void polled_value(struct trigger *t, int64_t now_ms, const struct trigger_target *target,
                  struct decision_metric *m, char *warning, size_t cap)
{
    struct polled *p = polled_of(t);
    const struct poll_run *r = run_of(p);
    int64_t stale = (t->poll_ms * 3 > STALE_MS ? t->poll_ms * 3 : STALE_MS) + p->timeout_ms,
            age = loop_mono_ns(loop_of(p)) / 1000000 - r->got_ms;

    (void)warning;
    (void)cap;
    m->state = r->state;
    m->value = r->value;
    m->at_ms = now_ms - age;
    if (r->state == METRIC_UNKNOWN)
        trigger_unknown(m, r->why);
    else if (age > stale)
        trigger_unknown(m, "the last answer is too old, and none has come since");
    else if (r->state == METRIC_EMPTY && target->ready > 0 && p->ops->no_series &&
             !(p->ops->may_be_empty && p->ops->may_be_empty(t)))
        trigger_unknown(m, p->ops->no_series);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * external and external-push (keda.md 5.3). Which scaler an address leads to may change while the
 * trigger lives (a Service is pointed elsewhere), so it is looked up again every second. */
#include "triggers/external.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "triggers/home.h"
#include "triggers/metric_name.h"
#include "triggers/trigger_int.h"

#define LOOK_MS 1000

struct external {
    struct trigger t;
    char *address;
    json_t *sent; /* the metadata as the scaler gets it */
    bool uses_tls, is_insecure;
    struct home home;
    struct loop_timer look;
    struct external_own *own;       /* one of the two, */
    struct external_remote *remote; /* or neither and why: */
    char *why;
};

static struct external *external_of(const struct trigger *t)
{
    return (struct external *)(uintptr_t)t;
}

/* --- metadata --- */

/* Keys that end in FromEnv carry what the target's container has under that name. */
static json_t *sent_metadata(const struct trigger *t, const json_t *meta)
{
    json_t *sent = json_object();
    const json_t *v;
    const char *key;

    json_members (meta, key, v) {
        AUTO_FREE char *name = NULL;
        const char *value;

        if (!str_ends(str_of(key), STR("FromEnv"))) {
            json_object_set(sent, key, (json_t *)(uintptr_t)v);
            continue;
        }
        name = str_dup(str_trim(json_strv(v)));
        value = *name ? trigger_env(t, name) : NULL;
        if (value && *value)
            json_object_set_new(sent, key, json_str_new(str_of(value)));
    }
    return sent;
}

static void set_name(struct trigger *t, const char *metric)
{
    free(t->name);
    t->name = trigger_metric_name_of(t->type->name, t->index, NULL, str_of(t->ns), metric);
}

/* --- whose scaler it is --- */

static bool is_own(struct external *x)
{
    const struct trigger_world *w = x->t.w;
    struct str host;
    uint16_t port;

    if (home_is_known(&x->home, w))
        return x->home.is_ours;
    if (!w->scaler.len || !external_split_address(str_of(x->address), &host, &port))
        return home_is_fixed(&x->home, false);
    if (str_is(host, "localhost"))
        return home_is_fixed(&x->home,
                             port == net_addr_port(&w->scaler) && net_addr_is_loopback(&w->scaler));
    return home_look(&x->home, w, host, port, &w->scaler);
}

static void on_changed(void *arg)
{
    trigger_tell(&((struct external *)arg)->t);
}

/* --- the metrics that a scaler names beside its first --- */

struct more {
    struct trigger t;
    struct external *of;
    size_t index; /* from 1 */
};

static void more_value(struct trigger *t, int64_t now_ms, const struct trigger_target *target,
                       struct decision_metric *m, char *warning, size_t cap)
{
    const struct more *x = (const struct more *)t;

    (void)now_ms;
    (void)target;
    (void)warning;
    (void)cap;
    if (x->of->remote)
        external_remote_value(x->of->remote, x->index, m);
    else
        trigger_unknown(m, "the external scaler is not asked now");
    trigger_scrub(&x->of->t, m->why);
}

static bool more_is_active(const struct trigger *t, const struct decision_metric *m)
{
    const struct more *x = (const struct more *)t;

    (void)m;
    return x->of->remote && external_remote_is_active(x->of->remote);
}

static const struct trigger_type trigger_more = {.name = "external",
                                                 .scaler = "externalScaler",
                                                 .size = sizeof(struct more),
                                                 .is_external = true,
                                                 .value = more_value,
                                                 .is_active = more_is_active};

static struct trigger *make_more(struct external *x, size_t index)
{
    struct more *m = mem_zalloc(sizeof(*m));

    m->of = x;
    m->index = index;
    m->t.type = &trigger_more;
    m->t.w = x->t.w;
    trigger_set_texts(&m->t, str_of(x->t.ns), str_of(x->t.so_name), x->t.given_name,
                      x->t.metric_type);
    m->t.query = mem_strdup(x->t.query);
    m->t.index = x->t.index;
    m->t.is_average = x->t.is_average;
    list_init(&m->t.hub_link);
    return &m->t;
}

/* They stay when a scaler names fewer: somebody may still look at them. */
static void set_metrics(struct external *x, size_t n)
{
    if (n > 1 && !x->t.more)
        x->t.more = mem_array(TRIGGER_METRICS_MAX - 1, sizeof(struct trigger *));
    for (size_t i = 0; i < n; i++) {
        struct trigger *t = i ? x->t.more[i - 1] : &x->t;

        if (!t)
            t = x->t.more[i - 1] = make_more(x, i);
        set_name(t, external_remote_metric(x->remote, i));
        t->threshold = external_remote_target(x->remote, i);
    }
    x->t.n_more = n - 1;
}

static void on_respec(void *arg)
{
    struct external *x = arg;

    set_metrics(x, external_remote_count(x->remote));
    if (x->t.respec)
        x->t.respec(x->t.changed_arg);
}

static int open_own(struct external *x, struct err *err)
{
    struct external_own_options o = {.loop = x->t.w->cluster->loop,
                                     .db = x->t.w->db,
                                     .metadata = x->sent,
                                     .ns = str_of(x->t.ns),
                                     .so_name = str_of(x->t.so_name),
                                     .metrics = x->t.w->addon_metrics,
                                     .changed = on_changed,
                                     .arg = x};
    AUTO_FREE char *metric = mem_printf("%s-%s", x->t.ns, x->t.so_name);
    int r = external_own_new(&o, &x->own, err);

    if (r < 0)
        return r;
    set_name(&x->t, metric);
    x->t.threshold = external_own_target(x->own);
    x->t.n_more = 0;
    return 0;
}

static struct str param(const struct external *x, const char *name)
{
    const char *text = trigger_param(&x->t, name);

    return str_of(text ? text : "");
}

static int open_remote(struct external *x, struct err *err)
{
    struct tls_client_options tls = {.ca_pem = param(x, "caCert"),
                                     .cert_pem = param(x, "tlsClientCert"),
                                     .key_pem = param(x, "tlsClientKey"),
                                     .insecure = x->is_insecure};
    struct external_remote_options o = {.loop = x->t.w->cluster->loop,
                                        .grpc = x->t.w->grpc,
                                        .address = x->address,
                                        .tls = x->uses_tls ? &tls : NULL,
                                        .ref = {str_of(x->t.so_name), str_of(x->t.ns), x->sent},
                                        .poll_ms = x->t.poll_ms,
                                        .is_push = x->t.type == &trigger_external_push,
                                        .changed = on_changed,
                                        .respec = on_respec,
                                        .arg = x};

    if (!x->t.w->grpc)
        return err_set(err, ERR_UNSUPPORTED, "only our own external scaler can be asked here");
    return external_remote_new(&o, &x->remote, err);
}

static void close_both(struct external *x)
{
    external_own_free(x->own);
    external_remote_free(x->remote);
    free(x->why);
    x->own = NULL;
    x->remote = NULL;
    x->why = NULL;
}

/* Opens what the address leads to now; false: it is open already. */
static bool follow_address(struct external *x)
{
    struct err err = ERR_INIT;
    bool own = is_own(x);

    if (own ? x->own != NULL : x->remote != NULL)
        return false;
    close_both(x);
    if ((own ? open_own(x, &err) : open_remote(x, &err)) < 0)
        x->why = mem_printf("%s at %.80s: %.400s", x->t.type->name, x->address, err.msg);
    return true;
}

static void on_look(void *arg)
{
    struct external *x = arg;
    bool had_none = !x->own && !x->remote;

    loop_timer_start(&x->look, LOOK_MS);
    if (!follow_address(x) || (had_none && !x->own && !x->remote))
        return;
    if (x->t.respec)
        x->t.respec(x->t.changed_arg);
    trigger_tell(&x->t);
}

/* --- the type --- */

static int check_own(struct trigger *t, struct external *x, struct err *err)
{
    struct err bad = ERR_INIT;

    if (open_own(x, &bad) < 0)
        return meta_wrong(t, err, "%s", bad.msg);
    close_both(x);
    return 0;
}

static int parse(struct trigger *t, const json_t *meta, struct err *err)
{
    struct external *x = external_of(t);

    meta_required(t, meta, "scalerAddress", &x->address, err);
    meta_flag(t, meta, "enableTLS", false, &x->uses_tls, err);
    meta_flag(t, meta, "unsafeSsl", false, &x->is_insecure, err);
    if (trigger_param(t, "caCert") ||
        (trigger_param(t, "tlsClientCert") && trigger_param(t, "tlsClientKey")))
        x->uses_tls = true;
    if (!trigger_param(t, "tlsClientCert") != !trigger_param(t, "tlsClientKey"))
        meta_wrong(t, err,
                   "tlsClientCert and tlsClientKey belong together: one of them is missing");
    x->sent = sent_metadata(t, meta);
    if (err->code)
        return err->code;
    t->query = mem_strdup(json_text(x->sent, "metricQuery", x->address));
    t->activation = 0;
    return is_own(x) ? check_own(t, x, err) : 0;
}

static void start(struct trigger *t)
{
    struct external *x = external_of(t);

    loop_timer_init(&x->look, t->w->cluster->loop, on_look, x);
    loop_timer_start(&x->look, LOOK_MS);
    follow_address(x);
}

static void done(struct trigger *t)
{
    struct external *x = external_of(t);

    if (x->look.loop)
        loop_timer_stop(&x->look);
    close_both(x);
    json_decref(x->sent);
    free(x->address);
}

static bool is_waiting(const struct trigger *t)
{
    const struct external *x = external_of(t);

    return x->own      ? external_own_is_waiting(x->own)
           : x->remote ? external_remote_is_waiting(x->remote)
                       : false;
}

static void value(struct trigger *t, int64_t now_ms, const struct trigger_target *target,
                  struct decision_metric *m, char *warning, size_t cap)
{
    struct external *x = external_of(t);

    (void)warning;
    (void)cap;
    if (x->own)
        external_own_value(x->own, now_ms, target->ready, m);
    else if (x->remote)
        external_remote_value(x->remote, 0, m);
    else
        trigger_unknown(m, x->why ? x->why : "the external scaler is not asked yet");
}

static double latency(const struct trigger *t)
{
    const struct external *x = external_of(t);

    if (x->remote)
        return external_remote_latency(x->remote);
    return x->own && t->took_ns ? (double)t->took_ns / 1e9 : -1;
}

static bool is_active(const struct trigger *t, const struct decision_metric *m)
{
    const struct external *x = external_of(t);

    return x->remote ? external_remote_is_active(x->remote)
                     : m->state != METRIC_UNKNOWN && m->value > 0;
}

static bool has_spec(const struct trigger *t, const char **ret_why)
{
    const struct external *x = external_of(t);

    *ret_why = x->remote ? external_remote_why(x->remote) : x->why;
    return x->own || (x->remote && external_remote_count(x->remote) > 0);
}

const json_t *external_sent_metadata(const struct trigger *t)
{
    return external_of(t)->sent;
}

bool external_uses_tls(const struct trigger *t)
{
    return external_of(t)->uses_tls;
}

const struct trigger_type trigger_external = {.name = "external",
                                              .scaler = "externalScaler",
                                              .size = sizeof(struct external),
                                              .is_external = true,
                                              .parse = parse,
                                              .start = start,
                                              .done = done,
                                              .value = value,
                                              .latency = latency,
                                              .is_waiting = is_waiting,
                                              .is_active = is_active,
                                              .has_spec = has_spec};

const struct trigger_type trigger_external_push = {.name = "external-push",
                                                   .scaler = "externalPushScaler",
                                                   .size = sizeof(struct external),
                                                   .is_external = true,
                                                   .parse = parse,
                                                   .start = start,
                                                   .done = done,
                                                   .value = value,
                                                   .latency = latency,
                                                   .is_waiting = is_waiting,
                                                   .is_active = is_active,
                                                   .has_spec = has_spec};

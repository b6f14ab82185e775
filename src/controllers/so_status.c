/* SPDX-License-Identifier: Apache-2.0
 *
 * The status of a ScaledObject (keda.md 1.2, 1.4). What only moves a number or a time is written
 * every 15 s; anything a person would read differently at once. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "controllers/so_int.h"

#define STATUS_MS 15000

static const char *const initial[] = {"Ready", "Active", "Fallback", "Paused"};

void so_set_condition(json_t *status, const char *type, const struct keda_condition *c)
{
    if (c->status)
        set_condition(json_object_get(status, "conditions"), type, c->status, c->reason, c->message,
                      0, NULL);
}

const char *so_condition(const json_t *status, const char *type, const char *member)
{
    return json_text(find_condition(json_object_get(status, "conditions"), type), member, "");
}

json_t *so_status_begin(struct scaler *s, const struct object *o)
{
    json_t *status = sound_status(status_newest(&s->status, o)),
           *list = json_object_get(status, "conditions");

    for (size_t i = 0; i < ARRAY_LEN(initial); i++)
        if (!find_condition(list, initial[i]))
            set_condition(list, initial[i],
                          s->c->d.is_new_keda && strcmp(initial[i], "Paused") == 0 ? "False"
                                                                                   : "Unknown",
                          "", "", 0, NULL);
    return status;
}

/* --- one look --- */

/* What this look says of it, else what the HPA's status says. */
static bool read_hpa_health(struct hpa_look *l, struct keda_condition *ret)
{
    AUTO_JSON json_t *status = NULL;
    const json_t *c;
    const char *reason, *message;

    for (size_t i = l->d.n_conditions; i-- > 0;) {
        const struct decision_condition *d = &l->d.conditions[i];

        if (strcmp(d->type, "ScalingActive") == 0)
            return keda_hpa_health(d->status, d->reason, d->message, ret);
    }
    status = hpa_look_status(l);
    c = find_condition(json_object_get(status, "conditions"), "ScalingActive");
    reason = arena_strdup(&l->arena, str_of(json_text(c, "reason", "")));
    message = arena_strdup(&l->arena, str_of(json_text(c, "message", "")));
    return keda_hpa_health(json_text(c, "status", NULL), reason, message, ret);
}

static void add(struct buf *b, const struct keda_condition *c)
{
    buf_printf(b, "%s|%s|%s;", c->status ? c->status : "", c->reason ? c->reason : "",
               c->status ? c->message : "");
}

/* The triggers are those of the newest generation. If that could not be built the ones before go on
 * working, and Ready is what the failure has made it. */
static bool is_current(const struct scaler *s)
{
    return s->generation == s->seen->generation;
}

/* Everything that is worth a write at once, as one number. */
static uint64_t digest(const struct scaler *s, const struct so_look *x,
                       const struct keda_condition *hpa)
{
    struct buf b = BUF_INIT;
    const char *metric;
    uint64_t hash;
    json_t *h;

    add(&b, &x->verdict.ready);
    add(&b, &x->verdict.active);
    add(&b, hpa);
    buf_printf(&b, "%d%d;", x->fallback, is_current(s));
    for (size_t i = 0; i < s->n; i++)
        buf_add_char(&b, x->triggers[i].is_active || x->triggers[i].in_fallback ? '1' : '0');
    json_object_foreach (s->health, metric, h) {
        int64_t n = json_int(h, "numberOfFailures", 0), most = s->spec.fallback.threshold + 2;

        buf_printf(&b, ";%s=%lld", metric, (long long)(n < most ? n : most));
    }
    hash = str_hash(buf_str(&b));
    buf_done(&b);
    return hash;
}

static void set_activity(const struct scaler *s, json_t *status, const struct so_look *x)
{
    const char *active[64];
    json_t *flags, *out = json_object();
    const char *name;
    const json_t *v;
    size_t n = 0;

    for (size_t i = 0; i < s->n && n < sizeof(active) / sizeof(active[0]); i++)
        if (x->triggers[i].is_active || x->triggers[i].in_fallback)
            active[n++] = x->triggers[i].metric;
    flags = keda_activity(json_object_get(status, "externalMetricNames"), NULL, active, n, "");
    json_members (flags, name, v)
        json_object_set_new(out, name,
                            json_pack("{s:b}", "isActive", json_is_true((json_t *)(uintptr_t)v)));
    json_decref(flags);
    if (json_object_size(out))
        json_object_set(status, "triggersActivity", out);
    else
        json_object_del(status, "triggersActivity");
    json_decref(out);
}

static void set_health(const struct scaler *s, json_t *status)
{
    if (json_object_size(s->health) && keda_fallback_is_valid(&s->spec))
        json_object_set_new(status, "health", json_deep_copy(s->health));
    else if (!keda_fallback_is_valid(&s->spec))
        json_object_del(status, "health");
}

void so_status_tell(struct scaler *s, const struct object *o, struct hpa_look *l,
                    const struct so_look *x)
{
    struct keda_condition hpa = {0};
    char time[TIME_TEXT_MAX];
    uint64_t hash;
    json_t *status;

    read_hpa_health(l, &hpa);
    hash = digest(s, x, &hpa);
    if (hash == s->told && so_mono_ms(s) - s->status_ms < STATUS_MS)
        return;
    s->told = hash;
    s->status_ms = so_mono_ms(s);
    status = so_status_begin(s, o);
    if (is_current(s))
        so_set_condition(status, "Ready", &x->verdict.ready);
    so_set_condition(status, "Active", &x->verdict.active);
    so_set_condition(status, "HPAActive", &hpa);
    if (x->fallback != KEDA_UNCHANGED)
        so_set_condition(status, "Fallback",
                         x->fallback == KEDA_TRUE ? &KEDA_FALLS_BACK : &KEDA_NO_FALLBACK);
    if (s->last_active_ms >= 0)
        json_object_set_new(status, "lastActiveTime",
                            json_string(time_rfc3339(s->last_active_ms, time)));
    set_activity(s, status, x);
    set_health(s, status);
    status_say(&s->status, o, status);
}

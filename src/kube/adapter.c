/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/adapter.h"

#include <ctype.h>
#include <math.h>

#define LABEL_MAX 320

struct walk {
    const struct adapter_query *q;
    void (*fn)(void *arg, const struct series *s, int64_t t, double v);
    void *arg;
};

/* Value of the series' label that stands for a Kubernetes label. */
static struct str label_of(void *arg, const char *key)
{
    char name[LABEL_MAX];
    size_t n = 0;

    for (; key[n] && n < sizeof(name) - 1; n++)
        name[n] = (char)(isalnum((unsigned char)key[n]) ? key[n] : '_');
    name[n] = '\0';
    return series_label(arg, name);
}

static void add_series(void *arg, struct series *s)
{
    const struct walk *w = arg;
    int64_t t;
    double v;

    if (!selector_matches_by(w->q->selector, label_of, s) ||
        !series_at(s, w->q->now_ms, ADAPTER_BACK_MS, &t, &v) || !isfinite(v))
        return;
    w->fn(w->arg, s, t, v);
}

void adapter_each(const struct adapter_query *q,
                  void (*fn)(void *arg, const struct series *s, int64_t t, double v), void *arg)
{
    struct matcher m[] = {{MATCH_EQ, STR("__name__"), q->name, NULL, NULL},
                          {MATCH_EQ, STR("namespace"), q->ns, NULL, NULL},
                          {MATCH_EQ, q->kind, q->object, NULL, NULL}};
    struct walk w = {q, fn, arg};

    tsdb_select(q->db, m, q->kind.n ? 3 : 2, add_series, &w);
}

int64_t adapter_milli(double v)
{
    double m = v < 0 ? floor(v * 1000) : ceil(v * 1000);

    return m >= 0x1p63 ? INT64_MAX : m <= -0x1p63 ? INT64_MIN : (int64_t)m;
}

static bool each_container(struct tsdb *db, const json_t *pod, const char *path, bool only_staying,
                           int64_t now, int64_t window,
                           void (*fn)(void *arg, struct str container, const struct usage *u),
                           void *arg)
{
    struct str ns = str_of(json_text(pod, "metadata.namespace", "")),
               name = str_of(json_text(pod, "metadata.name", ""));
    const json_t *c;
    struct usage u;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)json_at(pod, path), i, c) {
        if (only_staying && strcmp(json_text(c, "restartPolicy", ""), "Always") != 0)
            continue;
        if (!usage_of_container(db, ns, name, str_of(json_text(c, "name", "")), now, window, &u))
            return false;
        fn(arg, str_of(json_text(c, "name", "")), &u);
    }
    return true;
}

bool adapter_each_usage(struct tsdb *db, const json_t *pod, int64_t now, int64_t window,
                        void (*fn)(void *arg, struct str container, const struct usage *u),
                        void *arg)
{
    return each_container(db, pod, "spec.containers", false, now, window, fn, arg) &&
           each_container(db, pod, "spec.initContainers", true, now, window, fn, arg);
}

struct sum {
    struct usage u;
    struct str only;
    size_t n;
};

static void add_usage(void *arg, struct str container, const struct usage *u)
{
    struct sum *s = arg;

    if (s->only.n && !str_eq(s->only, container))
        return;
    s->u.cpu += u->cpu;
    s->u.memory += u->memory;
    if (s->n++ == 0 || u->at_ms < s->u.at_ms)
        s->u.at_ms = u->at_ms;
    if (s->n == 1 || u->window_ms > s->u.window_ms)
        s->u.window_ms = u->window_ms;
}

bool adapter_pod_usage(struct tsdb *db, const json_t *pod, struct str container, int64_t now,
                       int64_t window, struct usage *ret)
{
    struct sum s = {.only = container};

    if (!adapter_each_usage(db, pod, now, window, add_usage, &s) || s.n == 0)
        return false;
    *ret = s.u;
    return true;
}

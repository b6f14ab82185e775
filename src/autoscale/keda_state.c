/* SPDX-License-Identifier: Apache-2.0
 *
 * What the triggers say together, and what the HPA is told of it (keda.md 3.2, 3.8, 4.1). */
#include <stdlib.h>
#include <string.h>

#include "autoscale/formula.h"
#include "autoscale/keda.h"
#include "base/mem.h"
#include "codec/quantity.h"

void keda_aggregate(const struct keda_spec *s, const struct keda_trigger *t, size_t n,
                    const double *composite, struct keda_state *x)
{
    const double *value = composite;
    size_t resources = 0;

    *x = (struct keda_state){0};
    for (size_t i = 0; i < n; i++) {
        resources += t[i].is_resource;
        x->is_error |= t[i].has_error;
        x->is_active |= t[i].is_active || t[i].in_fallback;
        if (t[i].in_fallback && !x->in_fallback && s->modifiers.is_used)
            value = &t[i].value; /* the first one's replaces the formula */
        x->in_fallback |= t[i].in_fallback;
    }
    if (s->modifiers.is_used) {
        x->is_active = x->is_composite = !x->is_error && value && *value > s->modifiers.activation;
    }
    if (n <= resources && !x->is_error)
        x->is_active = true; /* nothing else could ever make it */
}

size_t keda_active_names(const struct keda_state *x, const struct keda_trigger *t, size_t n,
                         const char **ret)
{
    size_t count = 0;

    if (x->is_composite)
        ret[count++] = KEDA_COMPOSITE;
    for (size_t i = 0; i < n && !x->is_composite && x->is_active; i++)
        if (!t[i].is_resource && !t[i].has_error && (t[i].is_active || t[i].in_fallback))
            ret[count++] = t[i].metric;
    return count;
}

enum keda_answer keda_request(const struct keda_spec *s, const struct keda_trigger *t, size_t n,
                              const char *metric, bool has_composite, size_t *ret_index)
{
    bool has_error = false;

    if (s->modifiers.is_used && s->modifiers.target > 0) {
        for (size_t i = 0; i < n; i++) {
            if (t[i].in_fallback) { /* hides the error of another */
                *ret_index = i;
                return KEDA_TRIGGER;
            }
            has_error |= t[i].has_error;
        }
        return has_error || !has_composite ? KEDA_NOTHING : KEDA_FORMULA;
    }
    for (size_t i = 0; i < n; i++) {
        if (t[i].is_resource || !str_eq_nocase(str_of(t[i].metric), str_of(metric)))
            continue;
        *ret_index = i;
        return t[i].has_error ? KEDA_NOTHING : KEDA_TRIGGER;
    }
    return KEDA_NOTHING;
}

int keda_composite(const struct keda_spec *s, const struct formula *f, const struct keda_trigger *t,
                   size_t n, int64_t *ret_milli, struct err *err)
{
    struct formula_variable *v = mem_array(n + 1, sizeof(*v));
    struct quantity q;
    double value = 0;
    bool is_nil = false;
    int r;

    for (size_t i = 0; i < n; i++)
        v[i] = (struct formula_variable){
            .name = str_of(t[i].name), .value = t[i].value, .is_nil = t[i].is_nil};
    r = formula_eval(f, v, n, &is_nil, &value, err);
    free(v);
    if (r < 0)
        return r;
    if (is_nil)
        value = (double)s->fallback.replicas * s->modifiers.target;
    q = quantity_of_double_cut(value);
    *ret_milli = quantity_milli(&q);
    return 0;
}

bool keda_stream_is_current(struct str stream_uid, int64_t stream_generation, struct str uid,
                            int64_t generation)
{
    return str_eq(stream_uid, uid) && stream_generation == generation;
}

/* --- status.triggersActivity --- */

static bool is_among(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

json_t *keda_activity(const json_t *external_names, const json_t *existing,
                      const char *const *active, size_t n, const char *push_metric)
{
    json_t *out;
    const json_t *v;
    size_t i;

    if (*push_metric) {
        out = json_is_object(existing) ? json_deep_copy(existing) : json_object();
        json_object_set_new(out, push_metric, json_boolean(is_among(push_metric, active, n)));
        return out;
    }
    out = json_object();
    json_array_foreach ((json_t *)(uintptr_t)external_names, i, v)
        json_object_set_new(out, json_string_value(v),
                            json_boolean(is_among(json_string_value(v), active, n)));
    return out;
}

json_t *keda_activity_merge(const json_t *baseline, const json_t *result, const json_t *fresh,
                            bool *ret_changed)
{
    json_t *out = json_is_object(fresh) ? json_deep_copy(fresh) : json_object();
    const char *name;
    const json_t *v;

    json_members (result, name, v)
        if (!json_object_get(baseline, name) || !json_equal(json_object_get(baseline, name), v))
            json_object_set(out, name, (json_t *)(uintptr_t)v);
    json_members (baseline, name, v)
        if (!json_object_get(result, name))
            json_object_del(out, name);
    *ret_changed = fresh ? !json_equal(out, fresh) : json_object_size(out) > 0;
    return out;
}

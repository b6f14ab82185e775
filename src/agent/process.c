/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/process.h"

static bool is_in(struct str s, const struct str *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(s, list[i]))
            return true;
    return false;
}

static bool passes(const struct agent_step *s, struct str metric)
{
    if (s->has_include && !is_in(metric, s->include, s->n_include))
        return false;
    if (is_in(metric, s->exclude, s->n_exclude))
        return false;
    for (size_t i = 0; i < s->n_drop; i++)
        if (str_eq(metric, s->drop[i].name) == s->drop[i].is_equal)
            return false;
    return true;
}

static void set(const struct agent_step *s, struct arena *a, struct attrs *resource,
                struct attrs *point)
{
    struct attrs *to = s->scope == SCOPE_RESOURCE ? resource : point;
    const struct otlpw_value *v =
        s->from == SCOPE_LITERAL
            ? &s->literal
            : attrs_get(s->from == SCOPE_RESOURCE ? resource : point, s->from_key);
    bool is_there = attrs_get(to, s->key) != NULL;

    if (!v || (s->when == WHEN_ABSENT && is_there) || (s->when == WHEN_PRESENT && !is_there))
        return; /* what is not there sets nothing */
    attrs_set(a, to, s->key, *v);
}

bool process_run(const struct agent_config *c, struct arena *a, struct str metric,
                 struct attrs *resource, struct attrs *point)
{
    for (size_t i = 0; i < c->n_steps; i++) {
        const struct agent_step *s = &c->steps[i];

        switch (s->kind) {
        case STEP_ENVIRONMENT:
            for (size_t k = 0; k < s->environment.n; k++)
                if (s->override || !attrs_get(resource, s->environment.items[k].key))
                    attrs_set(a, resource, s->environment.items[k].key,
                              s->environment.items[k].value);
            break;
        case STEP_SET:
            set(s, a, resource, point);
            break;
        case STEP_DELETE:
            attrs_del(s->scope == SCOPE_RESOURCE ? resource : point, s->key);
            break;
        case STEP_FILTER:
            if (!passes(s, metric))
                return false;
            break;
        }
    }
    return true;
}

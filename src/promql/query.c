/* SPDX-License-Identifier: Apache-2.0
 *
 * What can be said of a parsed query without evaluating it. */
#include <stdlib.h>

#include "promql/ast.h"

void promql_free(struct promql *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->n_patterns; i++)
        re2_free(q->patterns[i]);
    free(q->patterns);
    arena_done(&q->arena);
    free(q);
}

static const struct expr *bare(const struct expr *e)
{
    while (e->type == N_PAREN)
        e = e->args[0];
    return e;
}

bool promql_is_bare_selector(const struct promql *q)
{
    return bare(q->root)->type == N_SELECTOR;
}

static bool any_comparison(const struct expr *e)
{
    if (e->type == N_BINARY && e->op <= OP_GTR && !e->bool_modifier)
        return true;
    for (size_t i = 0; i < e->n_args; i++)
        if (any_comparison(e->args[i]))
            return true;
    return false;
}

bool promql_may_be_empty(const struct promql *q)
{
    return any_comparison(q->root);
}

const char *promql_text(const struct promql *q)
{
    return q->text;
}

enum promql_type promql_type_of(const struct promql *q)
{
    return q->root->value_type;
}

static void each_selector(const struct expr *e,
                          void (*fn)(void *arg, const struct matcher *m, size_t n), void *arg)
{
    if (e->type == N_SELECTOR)
        fn(arg, e->matchers, e->n_matchers);
    for (size_t i = 0; i < e->n_args; i++)
        each_selector(e->args[i], fn, arg);
}

void promql_each_selector(const struct promql *q,
                          void (*fn)(void *arg, const struct matcher *m, size_t n), void *arg)
{
    each_selector(q->root, fn, arg);
}

struct str promql_metric_of(const struct matcher *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (m[i].op == MATCH_EQ && m[i].value.n && str_is(m[i].name, "__name__"))
            return m[i].value;
    return STR_NONE;
}

struct selecting {
    struct tsdb *db;
    void (*fn)(void *arg, struct series *s);
    void *arg;
};

static void select_series(void *arg, const struct matcher *m, size_t n)
{
    const struct selecting *x = arg;

    tsdb_select(x->db, m, n, x->fn, x->arg);
}

void promql_each_series(struct tsdb *db, const struct promql *q,
                        void (*fn)(void *arg, struct series *s), void *arg)
{
    each_selector(q->root, select_series, &(struct selecting){db, fn, arg});
}

int promql_parse_selector(struct str text, struct promql **ret, const struct matcher **ret_m,
                          size_t *ret_n, struct err *err)
{
    int r = promql_parse(text, ret, err);

    if (r < 0)
        return r;
    if (!promql_is_bare_selector(*ret)) {
        promql_free(*ret);
        return err_set(err, ERR_BAD_INPUT, "1:1: parse error: a series selector is expected");
    }
    *ret_m = bare((*ret)->root)->matchers;
    *ret_n = bare((*ret)->root)->n_matchers;
    return 0;
}

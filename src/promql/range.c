/* SPDX-License-Identifier: Apache-2.0
 *
 * A range query: one instant after the other, gathered into series. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/table.h"
#include "promql/eval.h"

#define MAX_STEPS 11000

struct promql_job {
    struct eval e;
    const struct promql *q;
    int64_t t, step;
    struct arena scratch; /* of one step */
    struct promql_result r;
    struct table index; /* hash of labels -> place in the matrix + 1 */
    size_t cap;
};

int promql_job_new(struct tsdb *db, const struct promql *q, int64_t start, int64_t end,
                   int64_t step, const struct promql_options *o, struct promql_job **ret,
                   struct err *err)
{
    struct promql_job *j;

    if (step <= 0 || end < start || (end - start) / step > MAX_STEPS)
        return err_set(err, ERR_BAD_INPUT,
                       "exceeded maximum resolution of 11,000 points per timeseries");
    j = mem_zalloc(sizeof(*j));
    j->e = eval_begin(db, q, o, &j->r, NULL);
    j->e.a = &j->scratch;
    j->e.start = start;
    j->e.end = end;
    j->q = q;
    j->t = start;
    j->step = step;
    j->r.type = PROMQL_MATRIX;
    *ret = j;
    return 0;
}

void promql_job_free(struct promql_job *j)
{
    if (!j)
        return;
    arena_done(&j->scratch);
    table_done(&j->index);
    promql_result_done(&j->r);
    free(j);
}

/* Labels outlive the step, and the series that they may belong to. */
static struct labels keep(struct arena *a, struct labels l)
{
    struct label *items = arena_alloc(a, (l.n + 1) * sizeof(*items));

    for (size_t i = 0; i < l.n; i++)
        items[i] = (struct label){arena_str(a, l.items[i].name), arena_str(a, l.items[i].value)};
    return (struct labels){l.n, items};
}

static struct promql_series *series_of(struct promql_job *j, struct labels l)
{
    uint64_t h = labels_hash(l);
    size_t k = (size_t)(uintptr_t)table_get(&j->index, str_n(&h, sizeof(h)));

    if (k == 0) {
        j->r.matrix = arena_grow(&j->r.arena, j->r.matrix, &j->cap, j->r.n, sizeof(*j->r.matrix));
        j->r.matrix[j->r.n++] = (struct promql_series){.labels = keep(&j->r.arena, l)};
        k = j->r.n;
        table_set(&j->index, str_n(&h, sizeof(h)), (void *)(uintptr_t)k);
    }
    return &j->r.matrix[k - 1];
}

int promql_job_step(struct promql_job *j, struct err *err)
{
    struct value v;
    int r;

    j->e.t = j->t;
    j->e.err = err;
    r = eval_expr(&j->e, j->q->root, &v);
    if (r == 0 && v.type == PROMQL_SCALAR) {
        double s = v.scalar;

        v = (struct value){.type = PROMQL_VECTOR};
        value_add(&j->e, &v, (struct labels){0, NULL}, s);
    }
    for (size_t i = 0; r == 0 && i < v.n; i++) {
        struct promql_series *s = series_of(j, v.vec[i].labels);

        s->points = arena_grow(&j->r.arena, s->points, &s->cap, s->n, sizeof(*s->points));
        s->points[s->n++] = (struct promql_point){j->t, v.vec[i].v};
    }
    arena_reset(&j->scratch);
    j->t += j->step;
    return r < 0 ? r : j->t <= j->e.end;
}

static int by_labels(const void *a, const void *b)
{
    struct labels x = ((const struct promql_series *)a)->labels,
                  y = ((const struct promql_series *)b)->labels;

    for (size_t i = 0; i < x.n && i < y.n; i++) {
        int c = str_cmp(x.items[i].name, y.items[i].name);

        c = c ? c : str_cmp(x.items[i].value, y.items[i].value);
        if (c)
            return c;
    }
    return x.n < y.n ? -1 : x.n > y.n;
}

void promql_job_result(struct promql_job *j, struct promql_result *ret)
{
    if (j->r.n > 1)
        qsort(j->r.matrix, j->r.n, sizeof(*j->r.matrix), by_labels);
    *ret = j->r;
    j->r = (struct promql_result){0};
}

int promql_range(struct tsdb *db, const struct promql *q, int64_t start, int64_t end, int64_t step,
                 const struct promql_options *o, struct promql_result *ret, struct err *err)
{
    struct promql_job *j;
    int r = promql_job_new(db, q, start, end, step, o, &j, err);

    *ret = (struct promql_result){0};
    if (r < 0)
        return r;
    do {
        r = promql_job_step(j, err);
    } while (r > 0);
    if (r == 0)
        promql_job_result(j, ret);
    promql_job_free(j);
    return r;
}

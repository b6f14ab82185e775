/* SPDX-License-Identifier: Apache-2.0
 *
 * PromQL over HTTP. A range query is answered in parts of two milliseconds: nothing else on the
 * control loop, no decision and no scrape, waits for a dashboard. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "codec/json.h"
#include "promql/promql.h"
#include "telemetry/web_int.h"

#define PART_NS 2000000
#define TIMEOUT_MS 120000 /* Prometheus' own */

static void answer(struct http_x *x, struct promql_result *r)
{
    struct buf b = BUF_INIT_MAX((size_t)256 << 20);
    struct str rest = buf_str(&r->warnings), line;
    bool warned = false, informed = false;

    buf_add_cstr(&b, "{\"status\":\"success\",\"data\":");
    promql_write_json(&b, r);
    for (int info = 0; info < 2; info++) {
        rest = buf_str(&r->warnings);
        while (str_split(&rest, '\n', &line)) {
            bool is_info = str_starts(line, STR("PromQL info"));

            if (line.n == 0 || is_info != info)
                continue;
            buf_add_cstr(&b, info ? (informed ? "," : ",\"infos\":[")
                                  : (warned ? "," : ",\"warnings\":["));
            json_write_str(&b, line);
            warned |= !info;
            informed |= info;
        }
        if (info ? informed : warned)
            buf_add_char(&b, ']');
    }
    buf_add_char(&b, '}');
    if (b.overflow)
        web_fail(x, 422, "execution", "the answer is larger than 256 MiB: ask for less");
    else
        web_reply(x, 200, &b);
    buf_done(&b);
}

static void failed(struct http_x *x, const struct err *err)
{
    bool bad = err->code == ERR_BAD_INPUT;

    web_fail(x, bad ? 400 : 422, bad ? "bad_data" : "execution", err->msg);
}

static bool read_expr(const struct ask *a, struct promql **ret)
{
    char *text = mem_alloc(QUERY_MAX);
    struct err err = ERR_INIT;
    char why[1100];
    size_t n = 0;
    int r;

    web_param(a, "query", text, QUERY_MAX, &n);
    r = promql_parse(str_n(text, n), ret, &err);
    free(text);
    if (r < 0) {
        snprintf(why, sizeof(why), "invalid parameter \"query\": %s", err.msg);
        web_fail(a->x, 400, "bad_data", why);
    }
    return r == 0;
}

/* A duration parameter; false after an answer of 400. */
static bool duration_param(const struct ask *a, const char *key, int64_t *ret_ms)
{
    char text[64] = "", why[160];

    if (!web_param(a, key, text, sizeof(text), NULL) && *ret_ms > 0)
        return true;
    if (promql_parse_duration(str_of(text), ret_ms))
        return true;
    snprintf(why, sizeof(why), "invalid parameter \"%s\": cannot parse \"%s\" to a valid duration",
             key, text);
    web_fail(a->x, 400, "bad_data", why);
    return false;
}

void web_query(const struct ask *a)
{
    struct promql *q;
    struct promql_result r;
    struct err err = ERR_INIT;
    int64_t t, timeout = TIMEOUT_MS;

    if (!web_time_param(a, "time", loop_wall_ms(a->w->loop), false, &t) ||
        !duration_param(a, "timeout", &timeout) || !read_expr(a, &q))
        return;
    if (promql_instant(a->w->o.db, q, t, NULL, &r, &err) < 0) {
        failed(a->x, &err);
    } else {
        answer(a->x, &r);
        promql_result_done(&r);
    }
    promql_free(q);
}

/* --- range queries --- */

struct query {
    struct list link;
    struct web *w;
    struct http_x *x;
    struct promql *q;
    struct promql_job *job;
    struct loop_timer next;
    int64_t deadline_ns;
};

static void end_query(struct query *q)
{
    list_del(&q->link);
    loop_timer_stop(&q->next);
    promql_job_free(q->job);
    promql_free(q->q);
    free(q);
}

static void on_close(void *arg, struct http_x *x)
{
    (void)x;
    end_query(arg);
}

/* The exchange closes after its answer, which ends the query. */
static void on_part(void *arg)
{
    struct query *q = arg;
    int64_t began = clock_mono_ns(&clock_system); /* the loop's own stands still in a turn */
    struct promql_result result;
    struct err err = ERR_INIT;
    int r;

    do {
        r = promql_job_step(q->job, &err);
    } while (r > 0 && clock_mono_ns(&clock_system) - began < PART_NS);
    if (r < 0) {
        failed(q->x, &err);
    } else if (r == 0) {
        promql_job_result(q->job, &result);
        answer(q->x, &result);
        promql_result_done(&result);
    } else if (loop_mono_ns(q->w->loop) > q->deadline_ns) {
        web_fail(q->x, 503, "timeout", "query timed out in expression evaluation");
    } else {
        loop_timer_start(&q->next, 0);
    }
}

void web_query_range(const struct ask *a)
{
    int64_t start, end, step = 0, timeout = TIMEOUT_MS;
    struct err err = ERR_INIT;
    struct promql_job *job;
    struct promql *expr;
    struct query *q;

    if (!web_time_param(a, "start", 0, true, &start) || !web_time_param(a, "end", 0, true, &end))
        return;
    if (end < start) {
        web_fail(a->x, 400, "bad_data",
                 "invalid parameter \"end\": end timestamp must not be before start time");
        return;
    }
    if (!duration_param(a, "step", &step))
        return;
    if (step <= 0) {
        web_fail(a->x, 400, "bad_data",
                 "invalid parameter \"step\": zero or negative query resolution step widths are "
                 "not accepted. Try a positive integer");
        return;
    }
    if ((end - start) / step > 11000) {
        web_fail(a->x, 400, "bad_data",
                 "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the "
                 "query resolution (?step=XX)");
        return;
    }
    if (!duration_param(a, "timeout", &timeout) || !read_expr(a, &expr))
        return;
    if (promql_type_of(expr) != PROMQL_SCALAR && promql_type_of(expr) != PROMQL_VECTOR) {
        web_fail(a->x, 400, "bad_data",
                 "invalid parameter \"query\": invalid expression type for range query, must be "
                 "Scalar or instant Vector");
        promql_free(expr);
        return;
    }
    if (promql_job_new(a->w->o.db, expr, start, end, step, NULL, &job, &err) < 0) {
        failed(a->x, &err);
        promql_free(expr);
        return;
    }
    q = mem_zalloc(sizeof(*q));
    *q = (struct query){.w = a->w, .x = a->x, .q = expr, .job = job};
    q->deadline_ns =
        loop_mono_ns(a->w->loop) + (timeout < TIMEOUT_MS ? timeout : TIMEOUT_MS) * INT64_C(1000000);
    list_add_tail(&a->w->queries, &q->link);
    loop_timer_init(&q->next, a->w->loop, on_part, q);
    http_x_on_close(a->x, on_close, q);
    on_part(q);
}

void web_end_queries(struct web *w)
{
    list_each (it, &w->queries) {
        struct query *q = container_of(it, struct query, link);

        http_x_on_close(q->x, NULL, NULL);
        end_query(q);
    }
}

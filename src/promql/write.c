/* SPDX-License-Identifier: Apache-2.0
 *
 * Results as the HTTP API writes them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/json.h"
#include "promql/promql.h"

void promql_write_float(struct buf *out, double v)
{
    char t[40];
    double a = fabs(v);
    char *e;
    int exp10;

    if (isnan(v)) {
        buf_add_cstr(out, "NaN");
        return;
    }
    if (isinf(v)) {
        buf_add_cstr(out, v > 0 ? "+Inf" : "-Inf");
        return;
    }
    if (a == 0 || (a >= 1e-6 && a < 1e21)) {
        json_write_double(out, v);
        return;
    }
    for (int prec = a < 1e-290 ? 1 : 15; prec <= 17; prec++) {
        snprintf(t, sizeof(t), "%.*e", prec - 1, v);
        if (strtod(t, NULL) == v)
            break;
    }
    e = strchr(t, 'e');
    exp10 = atoi(e + 1);
    while (e > t && e[-1] == '0' && memchr(t, '.', (size_t)(e - t)))
        e--;
    if (e[-1] == '.')
        e--;
    buf_add(out, t, (size_t)(e - t));
    buf_printf(out, "e%c%02d", exp10 < 0 ? '-' : '+', abs(exp10));
}

static void write_time(struct buf *out, int64_t ms)
{
    buf_add_i64(out, ms / 1000);
    if (ms % 1000) {
        char frac[8];

        snprintf(frac, sizeof(frac), ".%03d", (int)llabs(ms % 1000));
        for (size_t n = strlen(frac); frac[n - 1] == '0'; n--)
            frac[n - 1] = '\0';
        buf_add_cstr(out, frac);
    }
}

static void write_labels(struct buf *out, struct labels l)
{
    buf_add_cstr(out, "{\"metric\":{");
    for (size_t i = 0; i < l.n; i++) {
        if (i)
            buf_add_char(out, ',');
        json_write_str(out, l.items[i].name);
        buf_add_char(out, ':');
        json_write_str(out, l.items[i].value);
    }
    buf_add_cstr(out, "},");
}

static void write_point(struct buf *out, int64_t t, double v)
{
    buf_add_char(out, '[');
    write_time(out, t);
    buf_add_cstr(out, ",\"");
    promql_write_float(out, v);
    buf_add_cstr(out, "\"]");
}

void promql_write_json(struct buf *out, const struct promql_result *r)
{
    static const char *const types[] = {"scalar", "string", "vector", "matrix"};

    buf_printf(out, "{\"resultType\":\"%s\",\"result\":", types[r->type]);
    if (r->type == PROMQL_SCALAR) {
        write_point(out, r->t_ms, r->scalar);
    } else if (r->type == PROMQL_STRING) {
        buf_add_char(out, '[');
        write_time(out, r->t_ms);
        buf_add_char(out, ',');
        json_write_str(out, r->string);
        buf_add_char(out, ']');
    } else {
        buf_add_char(out, '[');
        for (size_t i = 0; i < r->n; i++) {
            buf_add_cstr(out, i ? "," : "");
            write_labels(out, r->type == PROMQL_VECTOR ? r->vector[i].labels : r->matrix[i].labels);
            if (r->type == PROMQL_VECTOR) {
                buf_add_cstr(out, "\"value\":");
                write_point(out, r->t_ms, r->vector[i].v);
            } else {
                buf_add_cstr(out, "\"values\":[");
                for (size_t k = 0; k < r->matrix[i].n; k++) {
                    buf_add_cstr(out, k ? "," : "");
                    write_point(out, r->matrix[i].points[k].t_ms, r->matrix[i].points[k].v);
                }
                buf_add_char(out, ']');
            }
            buf_add_char(out, '}');
        }
        buf_add_char(out, ']');
    }
    buf_add_char(out, '}');
}

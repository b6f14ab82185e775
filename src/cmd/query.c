/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/fetch.h"
#include "codec/json.h"
#include "codec/promtext.h"
#include "promql/promql.h"

struct query {
    const char *from, *server, *data_dir, *time, *start, *end, *step;
    bool json;
};

static void usage(FILE *f)
{
    fputs("Usage: flyball query [OPTION]... EXPR\n\n"
          "Evaluates a PromQL expression on the flyball that runs, or over a file.\n\n"
          "      --from FILE      OpenMetrics file with timestamps, loaded as promtool loads it\n"
          "      --time T         RFC 3339 or Unix seconds (default now)\n"
          "      --start T --end T --step D   a range instead of one time\n"
          "      --server URL     a Prometheus API (default: that of the flyball on --data-dir)\n"
          "      --data-dir DIR\n"
          "      --output json|text\n",
          f);
}

static bool parse_time(const char *s, int64_t *ret)
{
    double v;

    if (str_to_double(str_of(s), &v) && isfinite(v) && fabs(v) < 9e12) {
        *ret = llround(v * 1000);
        return true;
    }
    return time_parse(str_of(s), ret);
}

/* --- over a file --- */

static bool load_sample(void *arg, const struct promtext_sample *s)
{
    struct label l[PROMTEXT_LABELS_MAX + 1] = {{STR("__name__"), s->name}};
    struct tsdb *db = arg;
    struct series *series;

    for (size_t i = 0; i < s->n_labels; i++)
        l[i + 1] = (struct label){s->labels[i].name, s->labels[i].value};
    series = tsdb_series(db, l, s->n_labels + 1);
    tsdb_append(db, series, s->t_ms, s->value);
    return true;
}

static char *read_file(const char *path, size_t *ret_n)
{
    struct buf b = BUF_INIT_MAX((size_t)2 << 30);
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char part[65536];
    size_t n;

    if (!f)
        return NULL;
    while ((n = fread(part, 1, sizeof(part), f)) > 0)
        buf_add(&b, part, n);
    if (f != stdin)
        fclose(f);
    return buf_take(&b, ret_n);
}

static void print_labels(struct labels l)
{
    bool first = true;

    for (size_t i = 0; i < l.n; i++)
        if (str_is(l.items[i].name, "__name__"))
            printf("%.*s", STR_ARG(l.items[i].value));
    putchar('{');
    for (size_t i = 0; i < l.n; i++) {
        if (str_is(l.items[i].name, "__name__"))
            continue;
        printf("%s%.*s=\"%.*s\"", first ? "" : ", ", STR_ARG(l.items[i].name),
               STR_ARG(l.items[i].value));
        first = false;
    }
    putchar('}');
}

static void print_value(double v, int64_t t)
{
    struct buf b = BUF_INIT;

    promql_write_float(&b, v);
    printf("%s @[%.3f]", buf_cstr(&b), (double)t / 1000);
    buf_done(&b);
}

static void print_text(const struct promql_result *r)
{
    if (r->type == PROMQL_SCALAR) {
        printf("scalar: ");
        print_value(r->scalar, r->t_ms);
        putchar('\n');
    } else if (r->type == PROMQL_STRING) {
        printf("%.*s\n", STR_ARG(r->string));
    }
    for (size_t i = 0; i < r->n; i++) {
        if (r->type == PROMQL_VECTOR) {
            print_labels(r->vector[i].labels);
            printf(" => ");
            print_value(r->vector[i].v, r->t_ms);
        } else {
            print_labels(r->matrix[i].labels);
            printf(" =>");
            for (size_t k = 0; k < r->matrix[i].n; k++) {
                printf("\n");
                print_value(r->matrix[i].points[k].v, r->matrix[i].points[k].t_ms);
            }
        }
        putchar('\n');
    }
}

static int over_file(const struct query *o, const char *expr)
{
    struct tsdb *db =
        tsdb_new(&(struct tsdb_options){.retention_ms = -1, .max_bytes = (size_t)8 << 30});
    struct promql *q = NULL;
    struct promql_result r;
    struct err err = ERR_INIT;
    int64_t t = clock_wall_ms(&clock_system), start = 0, end = 0, step = 0;
    size_t n = 0;
    char *text = read_file(o->from, &n);
    int rc = 1;

    if (!text) {
        fprintf(stderr, "flyball query: cannot read '%s': %s\n", o->from, strerror(errno));
    } else if (promql_parse(str_of(expr), &q, &err) < 0) {
        fprintf(stderr, "flyball query: %s\n", err.msg);
    } else if (promtext_parse(str_n(text, n), PROMTEXT_OPENMETRICS, load_sample, NULL, db, &err) <
               0) {
        fprintf(stderr, "flyball query: %s: %s\n", o->from, err.msg);
    } else if ((o->time && !parse_time(o->time, &t)) ||
               (o->start &&
                (!o->end || !o->step || !parse_time(o->start, &start) ||
                 !parse_time(o->end, &end) || !promql_parse_duration(str_of(o->step), &step)))) {
        fprintf(stderr, "flyball query: times are RFC 3339 or Unix seconds; a range needs --start, "
                        "--end and --step\n");
    } else if ((o->start ? promql_range(db, q, start, end, step, NULL, &r, &err)
                         : promql_instant(db, q, t, NULL, &r, &err)) < 0) {
        fprintf(stderr, "flyball query: %s\n", err.msg);
    } else {
        if (o->json) {
            struct buf b = BUF_INIT_MAX((size_t)1 << 30);

            promql_write_json(&b, &r);
            puts(buf_cstr(&b));
            buf_done(&b);
        } else {
            print_text(&r);
        }
        fputs(buf_cstr(&r.warnings), stderr);
        promql_result_done(&r);
        rc = 0;
    }
    promql_free(q);
    free(text);
    tsdb_free(db);
    return rc;
}

/* --- over HTTP --- */

static int over_http(const struct query *o, const char *expr)
{
    struct buf path = BUF_INIT, body = BUF_INIT;
    struct err err = ERR_INIT;
    int status, rc;

    buf_printf(&path, "/api/v1/%s?query=", o->start ? "query_range" : "query");
    http_pct_encode(&path, str_of(expr));
    const char *const params[][2] = {
        {"time", o->time}, {"start", o->start}, {"end", o->end}, {"step", o->step}};

    for (size_t i = 0; i < ARRAY_LEN(params); i++)
        if (params[i][1]) {
            buf_printf(&path, "&%s=", params[i][0]);
            http_pct_encode(&path, str_of(params[i][1]));
        }
    rc = fetch(o->server, o->data_dir, buf_cstr(&path), &status, &body, &err);
    if (rc < 0) {
        fprintf(stderr, "flyball query: %s\n", err.msg);
    } else if (status != 200) {
        json_t *answer = NULL;

        if (json_parse(buf_str(&body), &answer, NULL) == 0)
            fprintf(stderr, "flyball query: %s\n", json_text(answer, "error", buf_cstr(&body)));
        json_decref(answer);
    } else {
        puts(buf_cstr(&body));
    }
    buf_done(&path);
    buf_done(&body);
    return rc < 0 || status != 200;
}

int cmd_query(int argc, char **argv)
{
    static const struct option longs[] = {
        {"from", required_argument, NULL, 'f'},     {"time", required_argument, NULL, 't'},
        {"start", required_argument, NULL, 's'},    {"end", required_argument, NULL, 'e'},
        {"step", required_argument, NULL, 'p'},     {"server", required_argument, NULL, 'u'},
        {"data-dir", required_argument, NULL, 'd'}, {"output", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},           {0}};
    struct query o = {0};
    int c;

    while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        switch (c) {
        case 'f':
            o.from = optarg;
            break;
        case 't':
            o.time = optarg;
            break;
        case 's':
            o.start = optarg;
            break;
        case 'e':
            o.end = optarg;
            break;
        case 'p':
            o.step = optarg;
            break;
        case 'u':
            o.server = optarg;
            break;
        case 'd':
            o.data_dir = optarg;
            break;
        case 'o':
            o.json = strcmp(optarg, "json") == 0;
            break;
        default:
            usage(c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 2;
        }
    }
    if (optind + 1 != argc) {
        usage(stderr);
        return 2;
    }
    return o.from ? over_file(&o, argv[optind]) : over_http(&o, argv[optind]);
}

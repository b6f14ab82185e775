/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/explain.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "autoscale/decision_log.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/fetch.h"

static const char usage[] =
    "Usage: flyball explain [KIND [NAME]] [OPTION]...\n\n"
    "Says why there are that many replicas. KIND is scaledobject or hpa; without NAME all of that "
    "kind,\n"
    "without KIND all there are.\n\n"
    "  -n, --namespace NS      namespace of NAME (default: default), or only that one\n"
    "      --last N            the last N decisions of each, newest first (default 10 with a NAME, "
    "else 1)\n"
    "  -o, --output json       JSON with every input, target, proposal and limit, newest last\n"
    "      --data-dir DIR      state of the instance (default $FLYBALL_DATA_DIR, "
    "$XDG_DATA_HOME/flyball)\n";

/* What users call the two kinds, kubectl's ways included. */
static const struct {
    const char *given, *kind;
} kinds[] = {
    {"scaledobject", "ScaledObject"},
    {"scaledobjects", "ScaledObject"},
    {"so", "ScaledObject"},
    {"scaledobject.keda.sh", "ScaledObject"},
    {"hpa", "HorizontalPodAutoscaler"},
    {"horizontalpodautoscaler", "HorizontalPodAutoscaler"},
    {"horizontalpodautoscalers", "HorizontalPodAutoscaler"},
};

static const char *kind_of_word(struct str word)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq_nocase(word, str_of(kinds[i].given)))
            return kinds[i].kind;
    return NULL;
}

/* --- the running program's end --- */

int explain_answer(struct hpa_book *b, struct str query, struct buf *out)
{
    char kind[64] = "", ns[256] = "", name[256] = "", last[24] = "1", o[16] = "";
    struct hpa_book_query q = {0};

    http_query_get(query, "kind", kind, sizeof(kind), NULL);
    http_query_get(query, "ns", ns, sizeof(ns), NULL);
    http_query_get(query, "name", name, sizeof(name), NULL);
    http_query_get(query, "last", last, sizeof(last), NULL);
    http_query_get(query, "o", o, sizeof(o), NULL);
    q.kind = *kind ? str_of(kind_of_word(str_of(kind))) : STR("");
    q.ns = str_of(ns);
    q.name = str_of(name);
    q.as_json = strcmp(o, "json") == 0;
    if (!q.kind.p || !str_to_i64(str_of(last), &q.last) || q.last < 1 || (*o && !q.as_json)) {
        buf_add_cstr(out, "kind is scaledobject or hpa, last a number from 1 on, o is json\n");
        return 400;
    }
    if (q.last > DECISION_LOG_MAX)
        q.last = DECISION_LOG_MAX;
    if (hpa_book_explain(b, &q, out) || (q.as_json && !q.name.n))
        return 200;
    buf_clear(out);
    if (!q.name.n) {
        buf_printf(out, "there is no %s\n",
                   q.kind.n ? q.kind.p : "ScaledObject or HorizontalPodAutoscaler");
        return 200;
    }
    buf_printf(out, "there is no %s \"%s\" in namespace \"%s\"%s\n", q.kind.n ? q.kind.p : "object",
               name, ns, *ns ? "" : " (any)");
    return 404;
}

/* --- the command's end --- */

struct asked {
    const char *dir, *ns, *kind, *name, *last, *output;
};

/* 0: go on; else the exit status + 1. */
static int parse(int argc, char **argv, struct asked *a)
{
    static const struct option longs[] = {
        {"data-dir", required_argument, NULL, 'd'}, {"namespace", required_argument, NULL, 'n'},
        {"last", required_argument, NULL, 'l'},     {"output", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},           {0}};
    char *slash;
    int64_t n;
    int c;

    while ((c = getopt_long(argc, argv, "hn:o:", longs, NULL)) != -1) {
        if (c == 'd') {
            a->dir = optarg;
        } else if (c == 'n') {
            a->ns = optarg;
        } else if (c == 'l') {
            a->last = optarg;
        } else if (c == 'o') {
            a->output = optarg;
        } else {
            fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 1 : 3;
        }
    }
    if (optind < argc) {
        a->kind = argv[optind++];
        slash = strchr(argv[optind - 1], '/'); /* scaledobject/NAME */
        if (slash) {
            *slash = '\0';
            a->name = slash + 1;
        }
    }
    if (optind < argc && !a->name)
        a->name = argv[optind++];
    if (optind < argc)
        fprintf(stderr, "flyball explain: unexpected '%s'; see flyball help explain\n",
                argv[optind]);
    else if (a->kind && !kind_of_word(str_of(a->kind)))
        fprintf(stderr, "flyball explain: '%s' is neither scaledobject nor hpa\n", a->kind);
    else if (a->last && (!str_to_i64(str_of(a->last), &n) || n < 1))
        fprintf(stderr, "flyball explain: --last '%s' is not a number from 1 on\n", a->last);
    else if (a->output && strcmp(a->output, "json") != 0)
        fprintf(stderr, "flyball explain: --output '%s': json is the only one\n", a->output);
    else
        return 0;
    return 3;
}

static void add_param(struct buf *path, const char *key, const char *value)
{
    if (!value)
        return;
    buf_printf(path, "%c%s=", strchr(buf_cstr(path), '?') ? '&' : '?', key);
    http_pct_encode(path, str_of(value));
}

int cmd_explain(int argc, char **argv)
{
    struct buf body = BUF_INIT, path = BUF_INIT;
    struct err err = ERR_INIT;
    struct asked a = {0};
    int r = parse(argc, argv, &a), status = 0;

    if (r)
        return r - 1;
    if (a.name && !a.ns)
        a.ns = "default";
    buf_add_cstr(&path, "/explain");
    add_param(&path, "kind", a.kind);
    add_param(&path, "name", a.name);
    add_param(&path, "ns", a.ns);
    add_param(&path, "last", a.last ? a.last : a.name ? "10" : NULL);
    add_param(&path, "o", a.output);
    r = fetch(NULL, a.dir, buf_cstr(&path), &status, &body, &err);
    if (r < 0)
        fprintf(stderr, "flyball explain: %s\n", err.msg);
    else if (status != 200)
        fprintf(stderr, "flyball explain: %s", buf_cstr(&body));
    else
        fputs(buf_cstr(&body), stdout);
    buf_done(&path);
    buf_done(&body);
    return r < 0 || status != 200;
}

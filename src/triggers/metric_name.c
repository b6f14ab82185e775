/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/metric_name.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

static void normalise(struct buf *b, const char *text)
{
    for (; *text; text++)
        buf_add_char(b, strchr("/.:%()", *text) ? '-' : *text);
}

/* A cron schedule without characters that a name may not have. */
static void add_schedule(struct buf *b, const char *s)
{
    for (; *s; s++)
        switch (*s) {
        case ' ':
            break;
        case '*':
            buf_add_char(b, 'x');
            break;
        case '/':
            buf_add_cstr(b, "Sl");
            break;
        case '?':
            buf_add_cstr(b, "Qm");
            break;
        case ',':
            buf_add_cstr(b, "Cm");
            break;
        default:
            buf_add_char(b, *s);
        }
}

static void name_prometheus(struct buf *b, const json_t *meta, struct str ns, const char *remote)
{
    (void)meta;
    (void)ns;
    (void)remote;
    buf_add_cstr(b, "prometheus");
}

static void name_cron(struct buf *b, const json_t *meta, struct str ns, const char *remote)
{
    (void)ns;
    (void)remote;
    buf_printf(b, "cron-%s-", json_text(meta, "timezone", ""));
    add_schedule(b, json_text(meta, "start", ""));
    buf_add_char(b, '-');
    add_schedule(b, json_text(meta, "end", ""));
}

static void name_workload(struct buf *b, const json_t *meta, struct str ns, const char *remote)
{
    (void)meta;
    (void)remote;
    buf_printf(b, "workload-%.*s", STR_ARG(ns));
}

static void name_metrics_api(struct buf *b, const json_t *meta, struct str ns, const char *remote)
{
    (void)ns;
    (void)remote;
    buf_printf(b, "metric-api-%s", json_text(meta, "valueLocation", ""));
}

static void name_external(struct buf *b, const json_t *meta, struct str ns, const char *remote)
{
    (void)meta;
    (void)ns;
    buf_add_cstr(b, remote ? remote : "");
}

static const struct {
    const char *type;
    void (*name)(struct buf *b, const json_t *meta, struct str ns, const char *remote);
    bool is_verbatim; /* not normalised */
} types[] = {
    {"prometheus", name_prometheus, false},
    {"cron", name_cron, false},
    {"kubernetes-workload", name_workload, false},
    {"metrics-api", name_metrics_api, false},
    {"external", name_external, true},
    {"external-push", name_external, true},
};

char *trigger_metric_name_of(const char *type, int index, const json_t *meta, struct str ns,
                             const char *remote)
{
    struct buf name = BUF_INIT, out = BUF_INIT;
    char *text = NULL;

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (strcmp(types[i].type, type) != 0)
            continue;
        types[i].name(&name, meta, ns, remote);
        buf_printf(&out, "s%d-", index);
        if (types[i].is_verbatim)
            buf_add_cstr(&out, buf_cstr(&name));
        else
            normalise(&out, buf_cstr(&name));
        text = buf_take(&out, NULL);
    }
    buf_done(&name);
    return text;
}

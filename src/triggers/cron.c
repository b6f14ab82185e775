/* SPDX-License-Identifier: Apache-2.0
 *
 * cron (keda.md 5.4): desiredReplicas from each time `start` fires until `end` does. */
#include "triggers/cron.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "triggers/trigger_int.h"

struct cron {
    struct trigger t;
    struct schedule start, end;
    struct zone *zone; /* NULL: not there, a fault of every look and not of the metadata, as KEDA */
    char *zone_name;
    double replicas;
    /* what the last look found; holds until the sooner of the two */
    int64_t looked_s, next_start_s, next_end_s;
};

bool cron_is_active(int64_t next_start, int64_t next_end)
{
    return !(next_start < next_end);
}

static void parse_schedule(const struct trigger *t, const json_t *meta, const char *key,
                           char **ret_text, struct schedule *ret, struct err *err)
{
    struct err bad = ERR_INIT;

    if (meta_required(t, meta, key, ret_text, err) < 0)
        return;
    if (schedule_parse(str_of(*ret_text), ret, &bad) < 0)
        meta_wrong(t, err, "error parsing %s schedule: %s", key, bad.msg);
}

static int parse(struct trigger *t, const json_t *meta, struct err *err)
{
    struct cron *c = (struct cron *)t;
    AUTO_FREE char *start = NULL;
    AUTO_FREE char *end = NULL;
    AUTO_FREE char *replicas = NULL;
    int64_t n = 0;

    meta_required(t, meta, "timezone", &c->zone_name, err);
    parse_schedule(t, meta, "start", &start, &c->start, err);
    parse_schedule(t, meta, "end", &end, &c->end, err);
    if (start && end && strcmp(start, end) == 0)
        meta_wrong(t, err, "start and end can not have exactly the same time input");
    if (meta_required(t, meta, "desiredReplicas", &replicas, err) == 0 &&
        (!str_to_i64(str_of(replicas), &n) || n == 0))
        meta_wrong(t, err,
                   "unable to set param \"desiredReplicas\" value \"%s\": a whole number "
                   "other than 0 is expected",
                   replicas);
    if (err->code)
        return err->code;
    c->replicas = (double)n;
    t->threshold = 1;
    t->query = mem_printf("%s to %s, %s", start, end, c->zone_name);
    zone_load(str_of(c->zone_name), &c->zone, NULL);
    return 0;
}

/* A schedule without characters that a name may not have. */
static void add_schedule(struct buf *b, const char *s)
{
    static const struct {
        char from;
        const char *to;
    } others[] = {{' ', ""}, {'*', "x"}, {'/', "Sl"}, {'?', "Qm"}, {',', "Cm"}};

    for (; *s; s++) {
        size_t i = 0;

        while (i < ARRAY_LEN(others) && others[i].from != *s)
            i++;
        if (i < ARRAY_LEN(others))
            buf_add_cstr(b, others[i].to);
        else
            buf_add_char(b, *s);
    }
}

static void metric_name(struct buf *b, const json_t *meta, struct str ns)
{
    (void)ns;
    buf_printf(b, "cron-%s-", json_text(meta, "timezone", ""));
    add_schedule(b, json_text(meta, "start", ""));
    buf_add_char(b, '-');
    add_schedule(b, json_text(meta, "end", ""));
}

static void done(struct trigger *t)
{
    struct cron *c = (struct cron *)t;

    zone_free(c->zone);
    free(c->zone_name);
}

static void value(struct trigger *t, int64_t now_ms, const struct trigger_target *target,
                  struct decision_metric *m, char *warning, size_t cap)
{
    struct cron *c = (struct cron *)t;
    int64_t now = now_ms / 1000;
    struct err err = ERR_INIT;

    (void)target;
    (void)warning;
    (void)cap;
    if (!c->zone && zone_load(str_of(c->zone_name), &c->zone, &err) < 0) {
        trigger_unknown(m, err.msg);
        return;
    }
    if (now < c->looked_s || now >= c->next_start_s || now >= c->next_end_s) {
        c->next_start_s = schedule_next(&c->start, c->zone, now);
        c->next_end_s = schedule_next(&c->end, c->zone, now);
        c->looked_s = now;
    }
    m->state = METRIC_VALUE;
    m->value = cron_is_active(c->next_start_s, c->next_end_s) ? c->replicas : 0;
}

static const char *const keys[] = {"timezone", "start", "end", "desiredReplicas", NULL};

const struct trigger_type trigger_cron = {.name = "cron",
                                          .scaler = "cronScaler",
                                          .metric_name = metric_name,
                                          .keys = keys,
                                          .size = sizeof(struct cron),
                                          .is_external = true,
                                          .parse = parse,
                                          .done = done,
                                          .value = value};

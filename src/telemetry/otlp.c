/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/otlp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"
#include "base/rand.h"
#include "telemetry/clock_watch.h"
#include "telemetry/otlp_int.h"

#define SWEEP_MS 30000
#define IDLE_MS ((int64_t)5 * 60 * 1000)   /* a point not seen for as long is looked up anew */
#define AHEAD_MS ((int64_t)10 * 60 * 1000) /* how far a sender's clock may be ahead */

#define MAKE_ROOM_MS 1000 /* between sweeps of a store that stays full */

/* One request on its way. */
struct call {
    struct otlp *o;
    struct otlp_outcome *out;
    struct otlp_reason reasons[OTLP_REASONS_MAX];
    char example[200]; /* the first metric that lost a point */
    uint64_t latest_ns;
    unsigned resource_no, metric_no;
    struct otlp_resource *resource;
    const char *resource_why;
    uint64_t metric_hash;
    int64_t newest_ms; /* of what the resource had stored */
};

/* --- points --- */

static void end_resource(struct call *c)
{
    if (c->resource && c->newest_ms)
        otlp_resource_seen(c->o, c->resource, c->newest_ms);
    c->newest_ms = 0;
}

static void begin_resource(struct call *c, const struct otlp_point *p)
{
    end_resource(c);
    c->resource_no = p->resource_no;
    c->resource_why = NULL;
    c->resource = otlp_resource_of(c->o, p->resource, &c->resource_why);
    if (c->resource && c->resource->refused)
        c->resource_why = c->resource->refused;
}

static void begin_metric(struct call *c, const struct otlp_point *p)
{
    uint64_t head[2] = {(uint64_t)c->resource->id << 32 | (uint64_t)p->kind << 8 |
                            (uint64_t)(p->temporality & 3) << 1 | p->is_monotonic,
                        XXH3_64bits_withSeed(p->name.p, p->name.n, c->o->seed)};

    c->metric_no = p->metric_no;
    c->metric_hash = XXH3_64bits_withSeed(head, sizeof(head), c->o->seed);
}

static const char *add_number(struct otlp *o, struct otlp_entry *e, const struct otlp_point *p)
{
    struct series *s = (struct series *)e->target;
    int64_t t = (int64_t)(p->time_ns / 1000000), start;

    if (p->is_absent) {
        otlp_end_series(o->o.db, s, t);
        return NULL;
    }
    if (p->kind == OTLP_SUM && p->start_ns) {
        start = (int64_t)(p->start_ns / 1000000);
        if (start > e->start_ms && e->start_ms && p->is_monotonic)
            otlp_mark_reset(o->o.db, s, start, t, p->value);
        e->start_ms = start;
    }
    return tsdb_put(o->o.db, s, t, p->value) == TSDB_OUT_OF_ORDER
               ? "a point is older than the newest of its series"
               : NULL;
}

static bool is_plain(const struct otlp_point *p)
{
    return p->kind == OTLP_GAUGE || (p->kind == OTLP_SUM && p->temporality != OTLP_DELTA);
}

static const char *add_to(struct otlp *o, struct otlp_entry *e, const struct otlp_resource *r,
                          const struct otlp_point *p)
{
    struct otlp_group *g = (struct otlp_group *)(e->target & ~(uintptr_t)1);

    return e->target & 1 ? otlp_group_add(o, &g, r, p) : add_number(o, e, p);
}

/* A point seen for the first time. */
static const char *add_new(struct call *c, const struct otlp_point *p, uint64_t hash,
                           uint32_t check)
{
    static const struct label none;
    struct otlp *o = c->o;
    struct series *s = NULL;
    struct otlp_group *g = NULL;
    struct otlp_entry *e;
    const char *why = NULL;

    if (is_plain(p))
        s = otlp_series(o, c->resource, p, "", none, &why);
    else
        why = otlp_group_add(o, &g, c->resource, p);
    if (!why) {
        e = otlp_enter(o, hash, check);
        if (e) {
            e->resource = c->resource->id;
            e->target = s ? (uintptr_t)s : (uintptr_t)g | 1;
            return s ? add_number(o, e, p) : NULL;
        }
        why = "the store is full and takes no new series";
    }
    tsdb_release(s);
    otlp_group_free(g);
    return why;
}

static const char *add(struct call *c, const struct otlp_point *p)
{
    const char *why = otlp_fault(p);
    struct otlp_entry *e;
    XXH128_hash_t h;

    if (why)
        return why;
    if (p->time_ns > c->latest_ns)
        return "a point lies more than 10 minutes in the future";
    if (c->resource_no != p->resource_no)
        begin_resource(c, p);
    if (c->resource_why)
        return c->resource_why;
    if (c->metric_no != p->metric_no)
        begin_metric(c, p);
    h = XXH3_128bits_withSeed(p->attributes.bytes.p, p->attributes.bytes.n, c->metric_hash);
    e = otlp_find(c->o, h.low64, (uint32_t)h.high64);
    why = e ? add_to(c->o, e, c->resource, p) : add_new(c, p, h.low64, (uint32_t)h.high64);
    if (!why && (int64_t)(p->time_ns / 1000000) > c->newest_ms)
        c->newest_ms = (int64_t)(p->time_ns / 1000000);
    return why;
}

/* --- counting --- */

static void count(struct otlp_reason *reasons, const char *text, uint64_t n)
{
    for (size_t i = 0; i < OTLP_REASONS_MAX; i++) {
        if (reasons[i].text && reasons[i].text != text && i + 1 < OTLP_REASONS_MAX)
            continue;
        reasons[i].text = text;
        reasons[i].n += n;
        return;
    }
}

static void on_point(void *arg, const struct otlp_point *p)
{
    struct call *c = arg;
    const char *why = add(c, p);

    if (!why) {
        c->out->accepted++;
        return;
    }
    if (c->out->rejected++ == 0)
        snprintf(c->example, sizeof(c->example), "%.*s", (int)(p->name.n < 150 ? p->name.n : 150),
                 p->name.n ? p->name.p : "");
    count(c->reasons, why, 1);
}

static void explain(const struct call *c)
{
    struct buf b = BUF_INIT;

    if (!c->out->rejected)
        return;
    buf_printf(&b, "%zu of %zu points were left out, the first in '%s': ", c->out->rejected,
               c->out->rejected + c->out->accepted, c->example);
    for (size_t i = 0; i < OTLP_REASONS_MAX && c->reasons[i].text; i++)
        buf_printf(&b, "%s%s (%llu)", i ? "; " : "", c->reasons[i].text,
                   (unsigned long long)c->reasons[i].n);
    snprintf(c->out->message, sizeof(c->out->message), "%s", buf_cstr(&b));
    buf_done(&b);
}

int otlp_receive(struct otlp *o, struct str request, struct otlp_outcome *ret, struct err *err)
{
    int64_t now = loop_wall_ms(o->o.loop);
    struct call c = {.o = o, .out = ret, .latest_ns = (uint64_t)(now + AHEAD_MS) * 1000000};
    int r;

    *ret = (struct otlp_outcome){0};
    o->requests++;
    o->bytes += request.n;
    if ((r = otlp_check(request, err)) < 0) {
        o->malformed++;
        return r;
    }
    clock_watch(o->o.db, o->o.loop);
    if (tsdb_is_full(o->o.db) && now >= o->made_room_ms + MAKE_ROOM_MS) {
        o->made_room_ms = now;
        tsdb_sweep(o->o.db, now);
    }
    if (tsdb_is_full(o->o.db)) {
        o->full++;
        return err_set(err, ERR_LIMIT, "the store is full (%zu bytes, %zu series): try again later",
                       tsdb_bytes(o->o.db), tsdb_series_count(o->o.db));
    }
    otlp_walk(request, on_point, &c);
    end_resource(&c);
    explain(&c);
    o->accepted += ret->accepted;
    o->rejected += ret->rejected;
    for (size_t i = 0; i < OTLP_REASONS_MAX && c.reasons[i].text; i++)
        count(o->reasons, c.reasons[i].text, c.reasons[i].n);
    return 0;
}

/* --- life --- */

static void on_sweep(void *arg)
{
    struct otlp *o = arg;
    int64_t now = loop_wall_ms(o->o.loop);

    otlp_sweep_entries(o, now - IDLE_MS);
    otlp_resources_sweep(o, now);
    loop_timer_start(&o->sweep, SWEEP_MS);
}

struct otlp *otlp_new(const struct otlp_options *options)
{
    struct otlp *o = mem_zalloc(sizeof(*o));

    o->o = *options;
    rand_bytes(&o->seed, sizeof(o->seed)); /* nobody can make two points one from outside */
    loop_timer_init(&o->sweep, options->loop, on_sweep, o);
    loop_timer_start(&o->sweep, SWEEP_MS);
    otlp_resources_open(o);
    return o;
}

void otlp_free(struct otlp *o)
{
    if (!o)
        return;
    loop_timer_stop(&o->sweep);
    otlp_free_entries(o);
    otlp_resources_close(o);
    buf_done(&o->text);
    free(o);
}

static void counter(struct buf *out, const char *name, const char *help, uint64_t v)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n%s %llu\n", name, help, name, name,
               (unsigned long long)v);
}

void otlp_metrics(const struct otlp *o, struct buf *out)
{
    counter(out, "flyball_otlp_requests_total", "OTLP requests decoded or refused.", o->requests);
    counter(out, "flyball_otlp_malformed_requests_total", "OTLP requests that were malformed.",
            o->malformed);
    counter(out, "flyball_otlp_store_full_total",
            "OTLP requests refused because the store was full.", o->full);
    counter(out, "flyball_otlp_bytes_total", "Bytes of OTLP requests in protobuf, uncompressed.",
            o->bytes);
    counter(out, "flyball_otlp_accepted_points_total", "Data points stored.", o->accepted);
    buf_add_cstr(out, "# HELP flyball_otlp_refused_points_total Data points left out.\n"
                      "# TYPE flyball_otlp_refused_points_total counter\n");
    for (size_t i = 0; i < OTLP_REASONS_MAX && o->reasons[i].text; i++)
        buf_printf(out, "flyball_otlp_refused_points_total{reason=\"%s\"} %llu\n",
                   o->reasons[i].text, (unsigned long long)o->reasons[i].n);
    buf_printf(out,
               "# HELP flyball_otlp_known_points Points whose series is at hand.\n"
               "# TYPE flyball_otlp_known_points gauge\nflyball_otlp_known_points %zu\n",
               o->n_entries);
}

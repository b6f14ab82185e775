/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/hpa_stats.h"

#define PREFIX "horizontal_pod_autoscaler_controller_"

static const char *const actions[] = {"scale_down", "scale_up", "none"};
static const char *const errors[] = {"spec", "internal", "none"};

/* Upper ends in seconds: 1 ms, doubling. */
static double bucket_end(size_t i)
{
    return 0.001 * (double)(1 << i);
}

static size_t action_of(int64_t current, int64_t wanted)
{
    return wanted < current ? 0 : wanted > current ? 1 : 2;
}

/* A wrong specification is the user's to change, all else is internal. */
static size_t error_of(const struct decision *d)
{
    if (!d->has_failed)
        return 2;
    for (size_t i = 0; i < d->n_conditions; i++) {
        const char *reason = d->conditions[i].reason;

        if (strcmp(reason, "InvalidSelector") == 0 || strcmp(reason, "AmbiguousSelector") == 0 ||
            strcmp(reason, "InvalidMetricSourceType") == 0)
            return 0;
    }
    return 1;
}

void hpa_stats_count(struct hpa_stats *s, const struct decision *d, int64_t took_ns)
{
    struct hpa_histogram *h = &s->passes[action_of(d->current, d->desired)][error_of(d)];
    double took = (double)took_ns / 1e9;

    h->count++;
    h->sum_s += took;
    for (size_t i = 0; i < HPA_BUCKETS; i++)
        if (took <= bucket_end(i)) {
            h->buckets[i]++;
            break;
        }
    for (size_t i = 0; d->has_metrics && i < d->n; i++) {
        const struct decision_metric *m = &d->metrics[i];
        bool is_known = m->proposal >= 0;

        s->metrics[is_known ? action_of(d->current, m->proposal) : 2][is_known ? 2 : 1][m->type]++;
    }
}

static void write_histogram(const struct hpa_histogram *h, const char *action, const char *error,
                            struct buf *out)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < HPA_BUCKETS; i++) {
        sum += h->buckets[i];
        buf_printf(out,
                   PREFIX
                   "reconciliation_duration_seconds_bucket{action=\"%s\",error=\"%s\",le=\"%g"
                   "\"} %llu\n",
                   action, error, bucket_end(i), (unsigned long long)sum);
    }
    buf_printf(out,
               PREFIX "reconciliation_duration_seconds_bucket{action=\"%s\",error=\"%s\",le=\"+Inf"
                      "\"} %llu\n",
               action, error, (unsigned long long)h->count);
    buf_printf(out, PREFIX "reconciliation_duration_seconds_sum{action=\"%s\",error=\"%s\"} %.9g\n",
               action, error, h->sum_s);
    buf_printf(out,
               PREFIX "reconciliation_duration_seconds_count{action=\"%s\",error=\"%s\"} %llu\n",
               action, error, (unsigned long long)h->count);
}

static void each_pass(const struct hpa_stats *s, bool durations, struct buf *out)
{
    for (size_t a = 0; a < HPA_ACTIONS; a++)
        for (size_t e = 0; e < HPA_ERRORS; e++) {
            const struct hpa_histogram *h = &s->passes[a][e];

            if (h->count && durations)
                write_histogram(h, actions[a], errors[e], out);
            else if (h->count)
                buf_printf(out, PREFIX "reconciliations_total{action=\"%s\",error=\"%s\"} %llu\n",
                           actions[a], errors[e], (unsigned long long)h->count);
        }
}

void hpa_stats_write(const struct hpa_stats *s, struct buf *out)
{
    buf_add_cstr(out, "# HELP " PREFIX "reconciliations_total Looks at HorizontalPodAutoscalers.\n"
                      "# TYPE " PREFIX "reconciliations_total counter\n");
    each_pass(s, false, out);
    buf_add_cstr(out, "# HELP " PREFIX "reconciliation_duration_seconds How long a look took.\n"
                      "# TYPE " PREFIX "reconciliation_duration_seconds histogram\n");
    each_pass(s, true, out);
    buf_add_cstr(out, "# HELP " PREFIX "metric_computation_total Metrics that were looked at.\n"
                      "# TYPE " PREFIX "metric_computation_total counter\n");
    for (size_t a = 0; a < HPA_ACTIONS; a++)
        for (size_t e = 0; e < HPA_ERRORS; e++)
            for (size_t t = 0; t < HPA_METRIC_TYPES; t++)
                if (s->metrics[a][e][t])
                    buf_printf(out,
                               PREFIX "metric_computation_total{action=\"%s\",error=\"%s\","
                                      "metric_type=\"%s\"} %llu\n",
                               actions[a], errors[e], hpa_metric_names[t].type,
                               (unsigned long long)s->metrics[a][e][t]);
}

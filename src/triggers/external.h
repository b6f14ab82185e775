/* SPDX-License-Identifier: Apache-2.0
 *
 * What the triggers external and external-push are made of (keda.md 5.3), apart from any trigger.
 * Their scaler is either our own store, asked as the otel-add-on would be and told of every changed
 * sample (external_own), or somebody else's, asked over gRPC (external_remote). */
#ifndef FB_TRIGGERS_EXTERNAL_H
#define FB_TRIGGERS_EXTERNAL_H

#include "autoscale/decision.h"
#include "net/grpc_client.h"
#include "triggers/scaler_messages.h"
#include "tsdb/tsdb.h"

/* --- our own store --- */

struct addon_metrics;
struct external_own;

struct external_own_options {
    struct loop *loop;
    struct tsdb *db;
    const json_t *metadata; /* borrowed for the call, as ns and name of the ScaledObject */
    struct str ns, so_name;
    struct addon_metrics *metrics; /* may be NULL */
    /* The value may be another. Never called from inside a call of this header. */
    void (*changed)(void *arg);
    void *arg;
};
/* ERR_INVALID: metadata that the add-on would not understand. */
int external_own_new(const struct external_own_options *o, struct external_own **ret,
                     struct err *err);
void external_own_free(struct external_own *x); /* NULL is fine */
double external_own_target(const struct external_own *x);
/* ready: pods of the target that are; with none, nothing found is 0 and not unknown. */
void external_own_value(struct external_own *x, int64_t now_ms, int64_t ready,
                        struct decision_metric *ret);
/* Nothing has been found yet, for no longer than it takes pods to connect after a start. */
bool external_own_is_waiting(const struct external_own *x);

/* --- somebody else's --- */

struct external_remote;

struct external_remote_options {
    struct loop *loop;
    struct grpc_client *grpc;
    const char *address;                  /* all texts are copied */
    const struct tls_client_options *tls; /* NULL: clear text */
    struct scaler_ref ref;
    int64_t poll_ms;
    bool is_push;
    void (*changed)(void *arg); /* another answer; as above */
    void (*respec)(void *arg);  /* other names or targets; as above, before changed */
    void *arg;
};
/* ERR_BAD_INPUT: address or TLS texts that cannot be used. Starts to poll. */
int external_remote_new(const struct external_remote_options *o, struct external_remote **ret,
                        struct err *err);
void external_remote_free(struct external_remote *r); /* NULL is fine */

/* The metrics that the scaler names, by index; 0: not known yet, then external_remote_why says why
 * (NULL: it has not answered yet). */
#define EXTERNAL_METRICS_MAX 16
size_t external_remote_count(const struct external_remote *r);
const char *external_remote_metric(const struct external_remote *r, size_t i);
double external_remote_target(const struct external_remote *r, size_t i);
const char *external_remote_why(const struct external_remote *r);
/* Seconds that the last poll took; negative: none has ended yet. */
double external_remote_latency(const struct external_remote *r);
bool external_remote_is_waiting(const struct external_remote *r);
/* What the last poll brought for it. */
void external_remote_value(const struct external_remote *r, size_t i, struct decision_metric *ret);
/* What IsActive said last, or a pushed true since. */
bool external_remote_is_active(const struct external_remote *r);

/* --- of a trigger of type external or external-push --- */

struct trigger;
/* The metadata as the scaler gets it. */
const json_t *external_sent_metadata(const struct trigger *t);
bool external_uses_tls(const struct trigger *t);

/* --- rules as pure functions --- */

/* How a stream ended, and how long to wait before the next. */
enum external_ending {
    EXTERNAL_FAILED,
    EXTERNAL_FAILED_LATER, /* after at least one message */
    EXTERNAL_ENDED,        /* with OK */
    EXTERNAL_UNIMPLEMENTED
};
struct external_backoff {
    int64_t next_ms; /* 0: 2 s */
};
/* -1: not again. 2 s doubling to 60 s; from 2 s again after a stream that worked. */
int64_t external_backoff(struct external_backoff *b, enum external_ending e);

/* The metric name that the scaler knows, of one of the HPA: "s0-m" of trigger 0 is "m".
 * ERR_INVALID: of another trigger. */
int external_metric_of(int index, struct str hpa_name, struct str *ret, struct err *err);
/* The sum of the values, each as KEDA serves it: never below 0. ERR_NOT_FOUND: there is none. */
int external_sum(const struct scaler_number *values, size_t n, double *ret, struct err *err);
/* HOST:PORT of a gRPC target without its scheme; false: there is no port. */
bool external_split_address(struct str address, struct str *ret_host, uint16_t *ret_port);

#endif

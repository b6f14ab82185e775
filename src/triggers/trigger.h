/* SPDX-License-Identifier: Apache-2.0
 *
 * KEDA triggers (keda.md 5): one file and one row a type. A trigger is made from its metadata and
 * yields a value, empty (0), or unknown with a reason. Unknown never lowers a count.
 *
 * Authentication (auth.h) is resolved when a trigger is made, and again when one of the objects it
 * comes from changes: the trigger is then made anew in place, and says so by `changed`. One that
 * cannot be made any more yields unknown with the reason, until the next change. */
#ifndef FB_TRIGGERS_TRIGGER_H
#define FB_TRIGGERS_TRIGGER_H

#include "autoscale/decision.h"
#include "kube/cluster.h"
#include "net/grpc_client.h"
#include "net/http_client.h"
#include "promql/promql.h"
#include "triggers/auth.h"
#include "triggers/hub.h"
#include "triggers/samples.h"
#include "tsdb/tsdb.h"

struct addon_metrics;
struct proxies;

/* What triggers look at; owned by whoever starts the controllers. */
struct trigger_world {
    struct cluster *cluster;
    struct http_client *http;
    const struct proxies *proxies; /* to what is not of the cluster (net/proxy.h); may be NULL */
    struct tsdb *db;
    struct net_addr
        web; /* where our own Prometheus API listens: a query there is answered from db */
    struct net_addr scaler;              /* the same of our own external scaler; none: len 0 */
    struct grpc_client *grpc;            /* to those of others; NULL: they cannot be asked */
    struct addon_metrics *addon_metrics; /* may be NULL */
    struct trigger_hub *hub;    /* NULL: changes of Secrets are not seen, nothing is counted */
    struct sample_hub *samples; /* NULL: pushed samples wake nobody */
    const char *cluster_ns;     /* of what a ClusterTriggerAuthentication names; NULL: "keda" */
    const char *file_root;      /* of filePath; NULL: refused */
    struct auth_tokens tokens;  /* of ServiceAccounts; may be empty */
};

struct trigger_target { /* the workload that is scaled */
    struct str ns, name;
    int64_t ready;
    bool is_set; /* a StatefulSet: its series have the label statefulset instead of deployment */
};

struct trigger;

struct trigger_options {
    const struct trigger_world *world; /* borrowed for life */
    struct str ns;                     /* of the ScaledObject */
    struct str so_name;                /* may be empty */
    const json_t *spec;                /* one element of spec.triggers */
    const json_t *scale_target;        /* spec.scaleTargetRef; may be NULL */
    bool has_modifiers;                /* the ScaledObject has a formula */
    int index;
    int64_t poll_ms; /* of what must be polled */
    /* There is another value, or another reason why not: of triggers that no round brings one. May
     * be NULL; never called from inside a call of this header. */
    void (*changed)(void *arg);
    /* Its metric has another name or target: what trigger_metric_spec gave is no longer true. May
     * be NULL; as changed, but must not free the trigger. */
    void (*respec)(void *arg);
    void *arg;
    /* Instead of resolving any: emptied into the trigger. For tests; may be NULL. */
    struct auth *auth;
};

/* ERR_INVALID: unknown type or bad metadata, in KEDA's words. */
int trigger_new(const struct trigger_options *o, struct trigger **ret, struct err *err);
void trigger_free(struct trigger *t);
/* An external scaler may name several metrics; each is a trigger by itself, of which only the first
 * is to be freed: the others live as long. i < the count, which may change before respec is called.
 */
#define TRIGGER_METRICS_MAX 16
size_t trigger_metric_count(const struct trigger *t);
struct trigger *trigger_metric(struct trigger *t, size_t i);
const char *trigger_metric_name(const struct trigger *t); /* "s0-prometheus" */
const char *trigger_query(const struct trigger *t);       /* what it asks, for texts; may be "" */
/* What KEDA's metrics call it: its given name, else "prometheusScaler". */
const char *trigger_scaler(const struct trigger *t);
bool trigger_is_external(const struct trigger *t); /* false: cpu, memory */
double trigger_activation(const struct trigger *t);
/* m: what trigger_value gave. An external scaler says it apart from its value. */
bool trigger_is_active(const struct trigger *t, const struct decision_metric *m);
/* Name and target of its metric are known. False: there can be no HPA yet, and why (NULL: who knows
 * them has not been asked yet, respec will tell). */
bool trigger_has_spec(const struct trigger *t, const char **ret_why);
double trigger_threshold(const struct trigger *t); /* its target in the HPA */
/* Has not yet been answered at all: there is nothing to decide on, and nothing to complain of. */
bool trigger_is_waiting(const struct trigger *t);
/* True: evaluated by rounds on the built-in store; false: it tells when it has changed. */
bool trigger_is_builtin(const struct trigger *t);
/* The value as of now. Polled triggers give what the last poll brought. warning (cap bytes) may get
 * a text. */
void trigger_value(struct trigger *t, int64_t now_ms, const struct trigger_target *target,
                   struct decision_metric *ret, char *warning, size_t cap);
/* For HPA objects: an element of spec.metrics. */
json_t *trigger_metric_spec(const struct trigger *t, const char *so_name);
/* Metadata keys that no trigger of this type reads, comma-separated, appended to out: KEDA's
 * KEDA_CHECK_UNEXPECTED_SCALERS_PARAMS. False: none. */
bool trigger_unexpected_keys(const json_t *spec, struct buf *out);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * A trigger that asks a server over HTTP, again and again: one question at a time, of one server or
 * of several at once whose values become one. What comes of an answer is the type's; how it is
 * asked, who is asked as whom, what is said of failures and counted is here. Questions are
 * asked at instants of their own, not all at once, and the same one of several triggers is asked
 * once; who answers 429 is asked less often for a while, at most every minute.
 *
 * A type's struct begins with struct polled, and its row with POLLED_TRIGGER. */
#ifndef FB_TRIGGERS_POLL_H
#define FB_TRIGGERS_POLL_H

#include "triggers/http_auth.h"

#define POLL_TIMEOUT_MS 3000
#define POLL_ANSWER_MAX ((size_t)4 << 20)

struct polled_ops {
    /* For texts: */
    const char *peer;      /* "prometheus" */
    const char *key;       /* of the address: "serverAddress" */
    const char *what;      /* "a Prometheus" */
    const char *narrow;    /* what to do about an answer that is too long */
    bool only_200;         /* no other status is good */
    const char *no_series; /* of an empty answer though pods are ready; NULL: it counts as 0 */
    /* Not now: somebody else answers. May be NULL. */
    bool (*is_off)(const struct trigger *t);
    /* An empty answer is one, and counts as 0. NULL: never. */
    bool (*may_be_empty)(const struct trigger *t);
    /* Appends the whole URL. */
    void (*url)(struct trigger *t, struct buf *out);
    /* Appends other addresses to ask at than the URL's, and returns false where that is known to be
     * in vain, with the reason. NULL: the URL's. */
    bool (*addresses)(struct trigger *t, struct buf *out_net_addrs, struct err *err);
    /* An answer with a good status. METRIC_VALUE or METRIC_EMPTY, or why not and what to do. */
    int (*read)(struct trigger *t, struct str body, enum metric_state *state, double *value,
                struct err *err);
    /* Of the values of several addresses, n > 0. */
    double (*combine)(struct trigger *t, const double *values, size_t n);
};

#define POLL_STATUSES_MAX 12
#define POLL_BUCKETS 12                            /* up to each of the bounds, and above */
extern const double poll_bounds[POLL_BUCKETS - 1]; /* seconds */

struct poll_run; /* poll.c: made with the first question */

struct polled {
    struct trigger t;
    const struct polled_ops *ops;
    struct http_auth *auth; /* NULL: nothing is sent of any */
    char *address;          /* without user and password */
    uint32_t shown_n;       /* bytes of it that a text may have */
    int32_t timeout_ms;     /* of a whole question */
    bool ignores_null;      /* for the type: what an empty answer counts as */
    struct poll_run *run;   /* NULL: nothing has been asked */
};

struct poll_status {
    int status; /* 0: none came */
    uint64_t n, buckets[POLL_BUCKETS];
    double sum_s;
};

/* What was asked since it was made. */
struct poll_counts {
    const struct poll_status *statuses; /* at most POLL_STATUSES_MAX */
    size_t n_statuses;
    uint64_t n_empty;
    double latency_s; /* of the last answer */
};

/* Reads timeout and, by http_auth_parse, authentication. address: "serverAddress"; a copy is kept,
 * from which a password is moved to the authentication. */
void polled_parse(struct trigger *t, const struct polled_ops *ops, const json_t *meta,
                  const char *address, unsigned modes, struct err *err);
/* struct trigger_type's. done: also of one that was never parsed. value: what the last question
 * brought, if it is not too old. */
void polled_start(struct trigger *t);
void polled_done(struct trigger *t);
bool polled_is_waiting(const struct trigger *t);
void polled_value(struct trigger *t, int64_t now_ms, const struct trigger_target *target,
                  struct decision_metric *m, char *warning, size_t cap);
#define POLLED_TRIGGER \
    .is_external = true, .is_polled = true, .start = polled_start, .is_waiting = polled_is_waiting

struct poll_counts poll_counts(const struct polled *p);
/* The error of a status beyond 2xx, or of all but 200, with what to do; 0 of others. */
int poll_check_status(int status, bool only_200, const char *address_key, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * A trigger that asks a server over HTTP, again and again: one question at a time, of one server or
 * of several at once whose values become one. What comes of an answer is the type's; how it is
 * asked, who is asked as whom, what is said of failures and counted is here. Questions are
 * asked at instants of their own, not all at once, and the same one of several triggers is asked
 * once; who answers 429 is asked less often for a while, at most
 * every minute. Embedded in the type's struct. */
#ifndef FB_TRIGGERS_POLL_H
#define FB_TRIGGERS_POLL_H

#include "triggers/http_auth.h"

#define POLL_TIMEOUT_MS 3000
#define POLL_ANSWER_MAX ((size_t)4 << 20)

struct http_poll;

struct http_poll_ops {
    /* For texts: */
    const char *peer;   /* "prometheus" */
    const char *key;    /* of the address: "serverAddress" */
    const char *what;   /* "a Prometheus" */
    const char *narrow; /* what to do about an answer that is too long */
    bool only_200;      /* no other status is good */
    /* Not now: somebody else answers. May be NULL. */
    bool (*is_off)(const struct trigger *t);
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

struct poll_ask; /* poll.c */

struct http_poll {
    struct trigger *t;
    const struct http_poll_ops *ops;
    struct http_auth auth;
    char *address;      /* without user and password */
    char *shown;        /* of it what a text may have */
    int64_t timeout_ms; /* of a whole question */
    struct loop_timer timer;
    struct poll_ask *asks;
    size_t n_asks, n_open;
    int64_t asked_ns, got_ms; /* mono */
    bool has_answer, is_refused;
    int n_refused;          /* rounds in a row that were answered by "too many" */
    int64_t retry_after_ms; /* what the server wished for by then */
    enum metric_state state;
    double value;
    char why[240];
    /* since it was made: */
    struct poll_status {
        int status; /* 0: none came */
        uint64_t n, buckets[POLL_BUCKETS];
        double sum_s;
    } * statuses; /* at most POLL_STATUSES_MAX */
    size_t n_statuses, cap_statuses;
    uint64_t n_empty;
    bool ignores_null; /* for the type: what an empty answer counts as */
    double latency_s;  /* of the last answer */
};

/* Reads timeout and, by http_auth_parse, authentication. address: "serverAddress"; p keeps a
 * copy, from which a password is moved to the authentication. */
void poll_parse(struct http_poll *p, struct trigger *t, const struct http_poll_ops *ops,
                const json_t *meta, const char *address, unsigned modes, struct err *err);
void poll_start(struct http_poll *p);
void poll_done(struct http_poll *p); /* also one that was never parsed */
bool poll_is_waiting(const struct http_poll *p);
/* What the last question brought, if it is not too old. */
void poll_value(const struct http_poll *p, struct decision_metric *m);
/* The error of a status beyond 2xx, or of all but 200, with what to do; 0 of others. */
int poll_check_status(int status, bool only_200, const char *address_key, struct err *err);

#endif

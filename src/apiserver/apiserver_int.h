/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the room: one request taken apart, and the handlers it can go to. */
#ifndef FB_APISERVER_APISERVER_INT_H
#define FB_APISERVER_APISERVER_INT_H

#include "apiserver/apiserver.h"
#include "kube/selector.h"

#define BODY_MAX ((size_t)3 << 20)

struct apiserver {
    struct loop *loop;
    struct apiserver_options o;
    struct http_server *http;
    struct list watches;
    struct metrics_api metrics; /* db NULL: the metrics APIs are not there */
};

/* How the answer is to look. */
enum view { VIEW_JSON, VIEW_TABLE, VIEW_METADATA };

struct request {
    struct apiserver *a;
    struct http_x *x;
    const struct kind *kind;
    const struct kind_alias *alias; /* another served version of it, or NULL */
    char path[1024];                /* decoded; the strs below point into it */
    struct str ns, name, sub;
    enum view view;
    char include; /* of a table: 'M', 'N', 'O' */
    struct selector *labels;
    struct field_selector *fields;
};

/* Sends a Status (or any JSON) and ends. */
void reply_body(struct http_x *x, int http, struct buf *body);
void reply_bad_request(struct http_x *x, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void request_free(struct request *r);
/* As Kubernetes reads one: there, and neither "false" nor "0". */
bool query_flag(const struct http_x *x, const char *key);
/* Object bytes as this request wants to see them (alias applied). */
void write_object(struct buf *out, const struct request *r, const struct object *o);

void serve_discovery(struct apiserver *a, struct http_x *x, struct str path);
bool is_discovery(struct str path);
void serve_get(struct request *r);
void serve_list(struct request *r);
void serve_watch(struct request *r); /* takes r over */
void serve_write(struct request *r); /* takes r over */
void serve_log(struct request *r);   /* takes r over */
void serve_scale_get(struct request *r);
void write_scale(struct buf *out, const struct object *o);
/* authorization.k8s.io, authentication.k8s.io: true if it was one. */
bool serve_review(struct apiserver *a, struct http_x *x, struct str path);
/* metrics_api.c: true if the path belongs to one of its groups. */
bool serve_metrics(struct apiserver *a, struct http_x *x);
void metrics_api_groups(struct apiserver *a, struct buf *b); /* ",{...}" for the APIGroupList */
/* APIGroup (version empty) or APIResourceList; false: not one of its groups. */
bool metrics_api_discovery(struct apiserver *a, struct str group, struct str version,
                           struct buf *b);
/* token_api.c */
void serve_token(struct request *r); /* POST serviceaccounts/NAME/token; takes r over */
/* TokenReview, /openid/v1/jwks and its description: true if it was one. */
bool serve_tokens(struct apiserver *a, struct http_x *x);
/* Whether the token is one of ours; its user in out. */
bool is_service_account(const struct apiserver *a, struct str token, char *out, size_t cap);
void close_watches(struct apiserver *a);

#endif

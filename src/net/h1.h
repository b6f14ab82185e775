/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 as bytes in, events out (llhttp does the grammar). One parser reads one message after
 * the other in one direction; it stops after each message so that its user decides when the next
 * may begin. On top of llhttp's strict mode it refuses what that lets through and proxies disagree
 * about: folded header lines, several or missing Host headers, header blocks over the bounds. */
#ifndef FB_NET_H1_H
#define FB_NET_H1_H

#include <llhttp.h>

#include "base/buf.h"
#include "net/http.h"

#define H1_BLOCK_MAX ((size_t)64 << 10)
#define H1_FIELDS_MAX 100

struct h1_head {
    struct str method, target; /* request */
    int status;                /* response */
    struct http_headers headers;
    bool keep_alive; /* the connection may carry another message after this one */
    bool has_body;   /* a body follows (may turn out empty when chunked) */
    bool is_upgrade;
    bool expect_100;
    bool is_http10;
};

struct h1_events {
    void (*on_head)(void *arg,
                    const struct h1_head *head); /* valid during the call and until on_end */
    void (*on_body)(void *arg, struct str part);
    void (*on_end)(void *arg);
};

struct h1_offsets {
    size_t name, name_n, value, value_n;
};

struct h1_parser {
    llhttp_t p;
    const struct h1_events *ev;
    void *arg;
    struct buf block; /* target, then names and values */
    size_t target_n, status_n;
    struct h1_offsets at[H1_FIELDS_MAX];
    struct http_header items[H1_FIELDS_MAX];
    size_t n;
    bool in_value;
    /* where the bytes being fed and the last part of a value lie, to see a fold between two parts
     */
    const char *feed, *feed_end, *value_end;
    bool continues; /* the feed before ended inside a value */
    bool is_response;
    bool no_body; /* response to HEAD */
    int refuse;   /* HTTP status of what on_headers_complete refused */
    const char *refuse_why;
    struct h1_head head;
};

void h1_init(struct h1_parser *h, bool is_response, const struct h1_events *ev, void *arg);
void h1_done(struct h1_parser *h);
/* The next response belongs to a HEAD request. */
void h1_expect_no_body(struct h1_parser *h);
/* Feeds bytes; *ret_used of them are consumed. Returns 0: wants more; 1: a message has ended, feed
 * the rest when the next may begin (h1_next first); < 0: malformed, *ret_status is what to answer
 * (400, 431, 505). */
int h1_feed(struct h1_parser *h, struct str bytes, size_t *ret_used, int *ret_status,
            struct err *err);
void h1_next(struct h1_parser *h);
/* The peer has closed. 1: that ends a body without length; 0: nothing was open; < 0: in
 * mid-message. */
int h1_eof(struct h1_parser *h);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * What HTTP server and client share: addresses, header lists, TLS settings. */
#ifndef FB_NET_HTTP_H
#define FB_NET_HTTP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct http_header {
    struct str name; /* compared without case; lower case on HTTP/2 */
    struct str value;
};

struct http_headers {
    struct http_header *items;
    size_t n;
};

/* Value of the first header of that name, or STR_NONE (p == NULL). */
struct str http_header_get(const struct http_headers *h, const char *name);

/* A literal IPv4/IPv6 address and port. */
struct net_addr {
    struct sockaddr_storage ss;
    socklen_t len; /* 0: none */
};

/* "127.0.0.1:80", "[::1]:80", ":80" and "80" (both 127.0.0.1). */
int net_addr_parse(struct str text, struct net_addr *ret, struct err *err);
int net_addr_set(struct net_addr *a, const char *ip, uint16_t port);
bool net_addr_eq(const struct net_addr *a, const struct net_addr *b); /* IP and port */
uint16_t net_addr_port(const struct net_addr *a);
/* "IP:port" / "IP"; returns out. */
const char *net_addr_text(const struct net_addr *a, char out[64]);
const char *net_addr_ip(const struct net_addr *a, char out[64]);
bool net_addr_is_loopback(const struct net_addr *a);

/* "http://HOST[:PORT][/PATH][?QUERY]", https as well, without blanks and control characters; all
 * borrowed from the text. */
struct http_url {
    bool is_tls;
    struct str host;   /* without the brackets of an IPv6 address */
    uint16_t port;     /* 80 or 443 where none is given */
    struct str target; /* "/path?query", "?query" or empty */
};
bool http_url_split(struct str url, struct http_url *ret);

/* application/x-www-form-urlencoded and query strings. Finds key in "a=b&c=d", decodes %XX and +
 * into out (NUL-terminated, at most cap - 1 bytes). False where key is absent or too long. *ret_n
 * may be NULL. The n-th (from 0) of several equal keys by http_query_get_nth. */
bool http_query_get(struct str query, const char *key, char *out, size_t cap, size_t *ret_n);
bool http_query_get_nth(struct str query, const char *key, size_t nth, char *out, size_t cap,
                        size_t *ret_n);
/* Percent-decodes (no '+') in place; returns the new length, or -1 on a bad escape. */
ptrdiff_t http_pct_decode(char *p, size_t n);
struct buf;
void http_pct_encode(struct buf *out, struct str s); /* all but RFC 3986 unreserved */

#endif

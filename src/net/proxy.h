/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a request goes through a proxy, as HTTP_PROXY, HTTPS_PROXY and NO_PROXY say it to Go
 * programs. Immutable once made; any thread. */
#ifndef FB_NET_PROXY_H
#define FB_NET_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct proxy {
    char *host;
    uint16_t port;
    char *auth; /* value of Proxy-Authorization, a secret; NULL: none */
};

struct proxies;

/* Each as in the environment; NULL and empty: none. For what begins with http://, with https://,
 * and whom to ask directly. */
struct proxy_settings {
    const char *http, *https, *direct;
};

/* ERR_BAD_INPUT: not http://[USER:PASSWORD@]HOST[:PORT] (the scheme may be left out), which is all
 * that exists; the text holds nothing of it. */
int proxies_new(const struct proxy_settings *s, struct proxies **ret, struct err *err);
void proxies_free(struct proxies *p); /* NULL is fine */
/* NULL: none; always for localhost and loopback addresses. p may be NULL. */
const struct proxy *proxies_for(const struct proxies *p, bool is_tls, struct str host,
                                uint16_t port);

#endif

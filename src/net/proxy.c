/* SPDX-License-Identifier: Apache-2.0 */
#include "net/proxy.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/base64.h"
#include "net/http.h"

/* One of NO_PROXY: addresses, or a domain. */
struct direct {
    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    int bits;       /* of ip that count; -1: a domain */
    char *suffix;   /* ".example.com" */
    bool itself;    /* example.com too */
    uint16_t port;  /* 0: any */
};

struct proxies {
    struct proxy http, https;
    struct direct *direct;
    size_t n, cap;
    bool never; /* "*" */
};

/* --- addresses --- */

static bool read_ip(struct str s, uint8_t ret[16], bool *ret_is_v4)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char text[64];

    if (s.n >= sizeof(text))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    *ret_is_v4 = inet_pton(AF_INET, text, ret + 12) == 1;
    if (*ret_is_v4)
        memcpy(ret, mapped, sizeof(mapped));
    return *ret_is_v4 || inet_pton(AF_INET6, text, ret) == 1;
}

static bool has_prefix(const uint8_t *ip, const uint8_t *net, int bits)
{
    int whole = bits / 8, rest = bits % 8;

    return memcmp(ip, net, (size_t)whole) == 0 &&
           (!rest || (ip[whole] ^ net[whole]) >> (8 - rest) == 0);
}

static bool is_loopback(const uint8_t *ip)
{
    static const uint8_t v4[13] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127},
                         v6[16] = {[15] = 1};

    return memcmp(ip, v4, sizeof(v4)) == 0 || memcmp(ip, v6, sizeof(v6)) == 0;
}

/* --- NO_PROXY --- */

/* "HOST:PORT", "[IPv6]:PORT" -> both; else port 0. False: there is no host. */
static bool split_port(struct str s, struct str *ret_host, uint16_t *ret_port)
{
    ptrdiff_t colon = str_chr(s, ':');
    uint64_t port;

    *ret_host = s;
    *ret_port = 0;
    if (s.n && s.p[0] == '[') {
        ptrdiff_t end = str_chr(s, ']');

        if (end < 0)
            return false;
        *ret_host = str_n(s.p + 1, (size_t)end - 1);
        colon = (size_t)end + 1 < s.n && s.p[end + 1] == ':' ? end + 1 : -1;
    } else if (colon >= 0 && str_chr(str_skip(s, (size_t)colon + 1), ':') >= 0) {
        return true; /* an IPv6 address */
    } else if (colon >= 0) {
        *ret_host = str_n(s.p, (size_t)colon);
    }
    if (colon >= 0 && str_to_u64(str_skip(s, (size_t)colon + 1), &port) && port <= UINT16_MAX)
        *ret_port = (uint16_t)port;
    return ret_host->n > 0;
}

static bool read_net(struct str s, struct direct *d)
{
    ptrdiff_t slash = str_chr(s, '/');
    uint64_t bits;
    bool is_v4;

    if (slash < 0 || !read_ip(str_n(s.p, (size_t)slash), d->ip, &is_v4) ||
        !str_to_u64(str_skip(s, (size_t)slash + 1), &bits) || bits > (is_v4 ? 32 : 128))
        return false;
    d->bits = (int)bits + (is_v4 ? 96 : 0);
    return true;
}

static void add_direct(struct proxies *p, struct str s)
{
    struct direct d = {.bits = -1};
    struct str host;
    bool is_v4;

    if (str_is(s, "*"))
        p->never = true;
    if (!read_net(s, &d)) {
        if (!split_port(s, &host, &d.port))
            return;
        if (read_ip(host, d.ip, &is_v4)) {
            d.bits = 128;
        } else {
            if (str_starts(host, STR("*.")))
                host = str_skip(host, 1);
            d.itself = host.p[0] != '.';
            d.suffix = mem_printf("%s%.*s", d.itself ? "." : "", STR_ARG(host));
        }
    }
    mem_grow(&p->direct, &p->cap, p->n);
    p->direct[p->n++] = d;
}

static bool is_of_domain(struct str host, const struct direct *d)
{
    struct str suffix = str_of(d->suffix), name = str_skip(suffix, 1);

    if (d->itself && str_eq_nocase(host, name))
        return true;
    return host.n >= suffix.n && str_eq_nocase(str_skip(host, host.n - suffix.n), suffix);
}

static bool is_direct(const struct proxies *p, struct str host, uint16_t port)
{
    uint8_t ip[16];
    bool is_v4, is_ip = read_ip(host, ip, &is_v4);

    if (p->never || str_eq_nocase(host, STR("localhost")) || (is_ip && is_loopback(ip)))
        return true;
    for (size_t i = 0; i < p->n; i++) {
        const struct direct *d = &p->direct[i];

        if (d->port && d->port != port)
            continue;
        if (d->bits >= 0 ? is_ip && has_prefix(ip, d->ip, d->bits)
                         : !is_ip && is_of_domain(host, d))
            return true;
    }
    return false;
}

const struct proxy *proxies_for(const struct proxies *p, bool is_tls, struct str host,
                                uint16_t port)
{
    const struct proxy *via = !p ? NULL : is_tls ? &p->https : &p->http;

    return via && via->host && !is_direct(p, host, port) ? via : NULL;
}

/* --- the proxies --- */

static char *basic(struct str user)
{
    AUTO_FREE char *plain = mem_printf("%.*s%s", STR_ARG(user), str_chr(user, ':') < 0 ? ":" : "");
    size_t whole = strlen(plain);
    ptrdiff_t n = http_pct_decode(plain, whole);
    struct buf b = BUF_INIT;

    if (n >= 0) {
        buf_add_cstr(&b, "Basic ");
        base64_encode(&b, str_n(plain, (size_t)n));
    }
    explicit_bzero(plain, whole);
    return n < 0 ? NULL : buf_take(&b, NULL);
}

static int read_proxy(const char *what, const char *text, struct proxy *ret, struct err *err)
{
    struct str s = str_trim(str_of(text ? text : "")), user = STR_NONE;
    AUTO_FREE char *url = NULL;
    struct http_url u;
    const char *at;

    if (!s.n)
        return 0;
    if (str_starts(s, STR("http://")))
        s = str_skip(s, strlen("http://"));
    at = memrchr(s.p, '@', s.n);
    if (at) {
        user = str_n(s.p, (size_t)(at - s.p));
        s = str_skip(s, user.n + 1);
    }
    url = mem_printf("http://%.*s", STR_ARG(s));
    if (str_find(s, STR("://")) >= 0 || !http_url_split(str_of(url), &u) || !u.host.n)
        goto bad;
    if (user.n && !(ret->auth = basic(user)))
        goto bad;
    ret->host = str_dup(u.host);
    ret->port = u.port;
    return 0;
bad:
    return err_set(err, ERR_BAD_INPUT, "%s is not http://[USER:PASSWORD@]HOST[:PORT]", what);
}

int proxies_new(const struct proxy_settings *s, struct proxies **ret, struct err *err)
{
    struct proxies *p = mem_zalloc(sizeof(*p));
    struct str rest = str_of(s->direct ? s->direct : ""), one;
    int r = read_proxy("HTTP_PROXY", s->http, &p->http, err);

    if (r == 0)
        r = read_proxy("HTTPS_PROXY", s->https, &p->https, err);
    if (r < 0) {
        proxies_free(p);
        return r;
    }
    while (str_split(&rest, ',', &one))
        if (str_trim(one).n)
            add_direct(p, str_trim(one));
    *ret = p;
    return 0;
}

static void proxy_done(struct proxy *p)
{
    if (p->auth)
        explicit_bzero(p->auth, strlen(p->auth));
    free(p->auth);
    free(p->host);
}

void proxies_free(struct proxies *p)
{
    if (!p)
        return;
    proxy_done(&p->http);
    proxy_done(&p->https);
    for (size_t i = 0; i < p->n; i++)
        free(p->direct[i].suffix);
    free(p->direct);
    free(p);
}

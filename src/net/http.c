/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/buf.h"

struct str http_header_get(const struct http_headers *h, const char *name)
{
    for (size_t i = 0; i < h->n; i++)
        if (str_eq_nocase(h->items[i].name, str_of(name)))
            return h->items[i].value;
    return STR_NONE;
}

int net_addr_set(struct net_addr *a, const char *ip, uint16_t port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a->ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a->ss;

    memset(a, 0, sizeof(*a));
    if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        a->len = sizeof(*v4);
        return 0;
    }
    if (inet_pton(AF_INET6, ip, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        a->len = sizeof(*v6);
        return 0;
    }
    return ERR_BAD_INPUT;
}

int net_addr_parse(struct str text, struct net_addr *ret, struct err *err)
{
    struct str host = STR("127.0.0.1"), port = text;
    char ip[64];
    uint64_t n;

    for (size_t i = text.n; i > 0; i--) {
        if (text.p[i - 1] == ':') {
            if (i > 1)
                host = (struct str){text.p, i - 1};
            port = str_skip(text, i);
            break;
        }
        if (text.p[i - 1] == ']')
            break;
    }
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct str){host.p + 1, host.n - 2};
    if (str_is(host, "localhost"))
        host = STR("127.0.0.1");
    if (!str_to_u64(port, &n) || n > 65535)
        return err_set(err, ERR_BAD_INPUT,
                       "'%.*s' is not an address: expected IP:PORT, like 127.0.0.1:8080",
                       STR_ARG(text));
    snprintf(ip, sizeof(ip), "%.*s", STR_ARG(host));
    if (net_addr_set(ret, ip, (uint16_t)n) < 0)
        return err_set(err, ERR_BAD_INPUT, "'%.*s': '%s' is not an IP address", STR_ARG(text), ip);
    return 0;
}

uint16_t net_addr_port(const struct net_addr *a)
{
    if (a->ss.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)&a->ss)->sin_port);
    return ntohs(((const struct sockaddr_in6 *)&a->ss)->sin6_port);
}

bool net_addr_eq(const struct net_addr *a, const struct net_addr *b)
{
    const struct sockaddr_in *a4 = (const void *)&a->ss, *b4 = (const void *)&b->ss;
    const struct sockaddr_in6 *a6 = (const void *)&a->ss, *b6 = (const void *)&b->ss;

    if (!a->len || !b->len || a->ss.ss_family != b->ss.ss_family)
        return false;
    if (a->ss.ss_family == AF_INET)
        return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
    return a6->sin6_port == b6->sin6_port &&
           memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

const char *net_addr_ip(const struct net_addr *a, char out[64])
{
    if (a->ss.ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)&a->ss)->sin_addr, out, 64);
    else if (a->ss.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)&a->ss)->sin6_addr, out, 64);
    else
        snprintf(out, 64, "-");
    return out;
}

const char *net_addr_text(const struct net_addr *a, char out[64])
{
    char ip[64];

    snprintf(out, 64, a->ss.ss_family == AF_INET6 ? "[%.48s]:%u" : "%.48s:%u", net_addr_ip(a, ip),
             a->len ? net_addr_port(a) : 0u);
    return out;
}

bool net_addr_is_loopback(const struct net_addr *a)
{
    if (a->ss.ss_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)&a->ss)->sin_addr.s_addr) >> 24) == 127;
    return a->ss.ss_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)&a->ss)->sin6_addr);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static ptrdiff_t decode(char *p, size_t n, bool plus)
{
    size_t to = 0;

    for (size_t i = 0; i < n; i++) {
        if (p[i] == '%') {
            if (i + 2 >= n || hex(p[i + 1]) < 0 || hex(p[i + 2]) < 0)
                return -1;
            p[to++] = (char)(hex(p[i + 1]) << 4 | hex(p[i + 2]));
            i += 2;
        } else {
            p[to++] = plus && p[i] == '+' ? ' ' : p[i];
        }
    }
    return (ptrdiff_t)to;
}

ptrdiff_t http_pct_decode(char *p, size_t n)
{
    return decode(p, n, false);
}

bool http_query_get_nth(struct str query, const char *key, size_t nth, char *out, size_t cap,
                        size_t *ret_n)
{
    struct str part;

    while (str_split(&query, '&', &part)) {
        struct str name = part, value = STR("");
        ptrdiff_t eq = str_chr(part, '=');
        char tmp[256];
        ptrdiff_t n;

        if (eq >= 0) {
            name.n = (size_t)eq;
            value = str_skip(part, (size_t)eq + 1);
        }
        if (name.n > sizeof(tmp))
            continue;
        memcpy(tmp, name.p, name.n);
        n = decode(tmp, name.n, true);
        if (n < 0 || !str_is(str_n(tmp, (size_t)n), key) || nth-- > 0)
            continue;
        if (value.n >= cap)
            return false;
        memcpy(out, value.p, value.n);
        n = decode(out, value.n, true);
        if (n < 0)
            return false;
        out[n] = '\0';
        if (ret_n)
            *ret_n = (size_t)n;
        return true;
    }
    return false;
}

bool http_query_get(struct str query, const char *key, char *out, size_t cap, size_t *ret_n)
{
    return http_query_get_nth(query, key, 0, out, cap, ret_n);
}

void http_pct_encode(struct buf *out, struct str s)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' ||
            c == '.' || c == '_' || c == '~') {
            buf_add_char(out, (char)c);
        } else {
            char esc[3] = {'%', digits[c >> 4], digits[c & 15]};

            buf_add(out, esc, 3);
        }
    }
}

bool http_url_split(struct str u, struct http_url *ret)
{
    ptrdiff_t end, colon = -1;
    uint64_t port;

    *ret = (struct http_url){.is_tls = str_starts(u, STR("https://"))};
    for (size_t i = 0; i < u.n; i++) /* would end the request line, and begin a header */
        if ((unsigned char)u.p[i] <= ' ' || u.p[i] == 0x7f)
            return false;
    if (!ret->is_tls && !str_starts(u, STR("http://")))
        return false;
    u = str_skip(u, ret->is_tls ? 8 : 7);
    end = str_chr(u, '/');
    if (end < 0)
        end = str_chr(u, '?');
    ret->host = end < 0 ? u : (struct str){u.p, (size_t)end};
    ret->target = end < 0 ? STR_NONE : str_skip(u, (size_t)end);
    for (size_t i = ret->host.n; i > 0 && ret->host.p[i - 1] != ']' && colon < 0; i--)
        if (ret->host.p[i - 1] == ':')
            colon = (ptrdiff_t)i - 1;
    port = ret->is_tls ? 443 : 80;
    if (colon >= 0 && (!str_to_u64(str_skip(ret->host, (size_t)colon + 1), &port) || port > 65535))
        return false;
    ret->port = (uint16_t)port;
    if (colon >= 0)
        ret->host.n = (size_t)colon;
    if (ret->host.n > 1 && ret->host.p[0] == '[' && ret->host.p[ret->host.n - 1] == ']')
        ret->host = (struct str){ret->host.p + 1, ret->host.n - 2};
    return ret->host.n > 0;
}

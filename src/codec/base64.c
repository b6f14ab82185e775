/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/base64.h"

static void encode(struct buf *out, struct str s, const char last[3])
{
    static const char common[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    for (size_t i = 0; i < s.n; i += 3) {
        size_t left = s.n - i < 3 ? s.n - i : 3;
        uint32_t v = 0;

        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (k < left ? (unsigned char)s.p[i + k] : 0);
        for (size_t k = 0; k < 4; k++) {
            uint32_t six = v >> (18 - 6 * k) & 63;

            if (k <= left)
                buf_add_char(out, six < 62 ? common[six] : last[six - 62]);
            else if (last[2])
                buf_add_char(out, last[2]);
        }
    }
}

void base64_encode(struct buf *out, struct str s)
{
    encode(out, s, (const char[3]){'+', '/', '='});
}

void base64url_encode(struct buf *out, struct str s)
{
    encode(out, s, (const char[3]){'-', '_', '\0'});
}

static int value_of(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+' || c == '-' ? 62
           : c == '/' || c == '_' ? 63
                                  : -1;
}

bool base64_decode(struct buf *out, struct str s)
{
    size_t before = out->n, digits = 0, pads = 0;
    uint32_t v = 0;

    for (size_t i = 0; i < s.n; i++) {
        int six = value_of(s.p[i]);

        if (s.p[i] == '\n' || s.p[i] == '\r')
            continue;
        if (s.p[i] == '=' && ++pads <= 2)
            continue;
        if (six < 0 || pads)
            goto bad;
        v = v << 6 | (uint32_t)six;
        if (++digits % 4 == 0) {
            buf_add(out, (char[]){(char)(v >> 16), (char)(v >> 8), (char)v}, 3);
            v = 0;
        }
    }
    if (digits % 4 == 1 || (pads && (digits + pads) % 4 != 0))
        goto bad;
    if (digits % 4 == 2)
        buf_add_char(out, (char)(v >> 4));
    else if (digits % 4 == 3)
        buf_add(out, (char[]){(char)(v >> 10), (char)(v >> 2)}, 2);
    return !out->overflow;
bad:
    if (out->p)
        out->p[out->n = before] = '\0';
    return false;
}

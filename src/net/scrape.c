/* SPDX-License-Identifier: Apache-2.0 */
#include "net/scrape.h"

#include "codec/compress.h"

static struct http_header items[] = {
    {{"accept", 6}, {PROMTEXT_ACCEPT, sizeof(PROMTEXT_ACCEPT) - 1}},
    {{"user-agent", 10}, {"flyball/" FLYBALL_VERSION, sizeof("flyball/" FLYBALL_VERSION) - 1}},
};
const struct http_headers scrape_headers = {items, 2};

int scrape_page(const struct http_response *r, struct str body,
                const enum promtext_format *fallback, struct buf *plain, struct str *ret_page,
                enum promtext_format *ret, struct err *err)
{
    struct str encoding = http_header_get(&r->headers, "content-encoding");
    enum compression c;

    if (r->status != 200)
        return err_set(err, ERR_UNAVAILABLE, "server returned HTTP status %d", r->status);
    if (promtext_format_of(http_header_get(&r->headers, "content-type"), ret, err) < 0) {
        if (!fallback)
            return ERR_UNSUPPORTED;
        *ret = *fallback;
    }
    if (!compression_named(encoding, &c))
        return err_set(err, ERR_UNSUPPORTED, "the page has the Content-Encoding '%.*s'",
                       (int)(encoding.n < 40 ? encoding.n : 40), encoding.p);
    *ret_page = body;
    if (c == COMPRESSION_NONE)
        return 0;
    buf_clear(plain);
    if (decompress_body(c, body, plain, err) < 0)
        return err_wrap(err, "the page");
    *ret_page = buf_str(plain);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * What every scraper does with HTTP: the headers it sends, and what makes an answer a page: status
 * 200, a Content-Type that is one of the exposition formats, gzip and zstd undone under the same
 * limit as the page itself. No compression is asked for: the pages come from the same machine or a
 * neighbour, and would cost the model server more time than the network. */
#ifndef FB_NET_SCRAPE_H
#define FB_NET_SCRAPE_H

#include "base/buf.h"
#include "codec/promtext.h"
#include "net/http_client.h"

/* Accept and User-Agent. */
extern const struct http_headers scrape_headers;

/* fallback: the format of a page without a Content-Type that says one, or NULL to refuse it. plain
 * is where a compressed page goes; *ret_page is in there, or is the body. Errors say why, as the
 * target's last error. */
int scrape_page(const struct http_response *r, struct str body,
                const enum promtext_format *fallback, struct buf *plain, struct str *ret_page,
                enum promtext_format *ret, struct err *err);

#endif

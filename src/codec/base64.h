/* SPDX-License-Identifier: Apache-2.0
 *
 * Base64 (RFC 4648): the standard alphabet with padding, as Secrets and HTTP's Basic have it, and
 * the URL-safe one without, as JSON Web Tokens have it. */
#ifndef FB_CODEC_BASE64_H
#define FB_CODEC_BASE64_H

#include "base/buf.h"

void base64_encode(struct buf *out, struct str bytes);
void base64url_encode(struct buf *out, struct str bytes);
/* Both alphabets, padding optional, line breaks skipped. False on anything else; what was appended
 * to out by then is taken back. */
bool base64_decode(struct buf *out, struct str text);

#endif

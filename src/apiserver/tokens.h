/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens of ServiceAccounts (TokenRequest): JSON Web Tokens signed with ES256 by a key of the
 * installation, DIR/pki/sa.key (0600), made at the first start. They say who somebody is, to those
 * who ask TokenReview or /openid/v1/jwks; on this API server they open nothing. */
#ifndef FB_APISERVER_TOKENS_H
#define FB_APISERVER_TOKENS_H

#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"
#include "kube/object.h"

#define TOKEN_ISSUER "https://kubernetes.default.svc.cluster.local"
#define TOKEN_SECONDS_MIN 600
#define TOKEN_SECONDS_DEFAULT 3600
#define TOKEN_SECONDS_MAX 4294967296

struct tokens;

int tokens_open(const char *dir, struct tokens **ret, struct err *err);
void tokens_free(struct tokens *t);
/* A token of the ServiceAccount. audiences: a list of texts, NULL or empty: the API server's. */
int tokens_issue(const struct tokens *t, const struct object *account, const json_t *audiences,
                 int64_t now_ms, int64_t seconds, struct buf *out, struct err *err);
/* Its claims, new, if it is ours and has not ended; else NULL. */
json_t *tokens_verify(const struct tokens *t, struct str token, int64_t now_ms);
/* {"keys":[...]} (RFC 7517) */
void tokens_jwks(const struct tokens *t, struct buf *out);

#endif

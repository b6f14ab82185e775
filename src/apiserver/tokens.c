/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/tokens.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "apiserver/pki.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/base64.h"

#define SIZE 32 /* bytes of a number of the curve P-256 */

struct tokens {
    EVP_PKEY *key;
    char *kid; /* RFC 7638 thumbprint */
};

/* --- the key --- */

static char *key_pem(EVP_PKEY *key)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *data, *text = NULL;

    if (PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) == 1) {
        long n = BIO_get_mem_data(b, &data);

        text = str_dup(str_n(data, (size_t)n));
    }
    BIO_free(b);
    return text;
}

static EVP_PKEY *key_of(const char *pem)
{
    BIO *b = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, NULL, (void *)(uintptr_t) "");

    BIO_free(b);
    return key;
}

static bool coordinate(const EVP_PKEY *key, const char *name, struct buf *out)
{
    unsigned char bytes[SIZE];
    BIGNUM *n = NULL;
    bool ok = EVP_PKEY_get_bn_param(key, name, &n) == 1 && BN_bn2binpad(n, bytes, SIZE) == SIZE;

    if (ok)
        base64url_encode(out, str_n(bytes, SIZE));
    BN_free(n);
    return ok;
}

/* The members of the public key in the order that its thumbprint is made of. */
static bool public_key(const EVP_PKEY *key, struct buf *out)
{
    bool ok;

    buf_add_cstr(out, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
    ok = coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, out);
    buf_add_cstr(out, "\",\"y\":\"");
    ok = ok && coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y, out);
    buf_add_cstr(out, "\"}");
    return ok;
}

static char *thumbprint(const EVP_PKEY *key)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    struct buf text = BUF_INIT, out = BUF_INIT;
    unsigned n = 0;

    if (public_key(key, &text) && EVP_Digest(text.p, text.n, hash, &n, EVP_sha256(), NULL) == 1)
        base64url_encode(&out, str_n(hash, n));
    buf_done(&text);
    return buf_take(&out, NULL);
}

int tokens_open(const char *dir, struct tokens **ret, struct err *err)
{
    AUTO_FREE char *pem = pki_load(dir, "sa.key");
    struct tokens *t = mem_zalloc(sizeof(*t));
    int r = 0;

    t->key = pem ? key_of(pem) : EVP_EC_gen("P-256");
    if (t->key && !pem) {
        pem = key_pem(t->key);
        r = pem ? pki_save(dir, "sa.key", pem, err) : 0;
    }
    if (pem)
        explicit_bzero(pem, strlen(pem));
    if (r == 0 && !t->key)
        r = err_set(err, ERR_IO, "'%s/pki/sa.key' is no private key; remove it to get a new one",
                    dir);
    if (r < 0) {
        tokens_free(t);
        return r;
    }
    t->kid = thumbprint(t->key);
    *ret = t;
    return 0;
}

void tokens_free(struct tokens *t)
{
    if (!t)
        return;
    EVP_PKEY_free(t->key);
    free(t->kid);
    free(t);
}

void tokens_jwks(const struct tokens *t, struct buf *out)
{
    struct buf key = BUF_INIT;

    public_key(t->key, &key);
    buf_printf(out, "{\"keys\":[{\"use\":\"sig\",\"alg\":\"ES256\",\"kid\":\"%s\",%s]}", t->kid,
               buf_cstr(&key) + 1);
    buf_done(&key);
}

/* --- signatures: two numbers, side by side (RFC 7518 3.4), not DER as OpenSSL has them --- */

static bool sign(EVP_PKEY *key, struct str text, unsigned char out[2 * SIZE])
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    unsigned char der[256];
    const unsigned char *at = der;
    size_t n = sizeof(der);
    ECDSA_SIG *s = NULL;
    bool ok = EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(c, der, &n, (const unsigned char *)text.p, text.n) == 1 &&
              (s = d2i_ECDSA_SIG(NULL, &at, (long)n)) != NULL &&
              BN_bn2binpad(ECDSA_SIG_get0_r(s), out, SIZE) == SIZE &&
              BN_bn2binpad(ECDSA_SIG_get0_s(s), out + SIZE, SIZE) == SIZE;

    ECDSA_SIG_free(s);
    EVP_MD_CTX_free(c);
    return ok;
}

static bool is_signed(EVP_PKEY *key, struct str text, struct str signature)
{
    const unsigned char *raw = (const unsigned char *)signature.p;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    ECDSA_SIG *s = ECDSA_SIG_new();
    unsigned char *der = NULL;
    int n = 0;
    bool ok =
        signature.n == 2 * SIZE &&
        ECDSA_SIG_set0(s, BN_bin2bn(raw, SIZE, NULL), BN_bin2bn(raw + SIZE, SIZE, NULL)) == 1 &&
        (n = i2d_ECDSA_SIG(s, &der)) > 0 &&
        EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestVerify(c, der, (size_t)n, (const unsigned char *)text.p, text.n) == 1;

    OPENSSL_free(der);
    ECDSA_SIG_free(s);
    EVP_MD_CTX_free(c);
    return ok;
}

/* --- tokens --- */

static void add_part(struct buf *out, json_t *part)
{
    struct buf text = BUF_INIT;

    json_write(&text, part);
    base64url_encode(out, buf_str(&text));
    buf_done(&text);
    json_decref(part);
}

int tokens_issue(const struct tokens *t, const struct object *account, const json_t *audiences,
                 int64_t now_ms, int64_t seconds, struct buf *out, struct err *err)
{
    json_int_t now = now_ms / 1000;
    json_t *to =
        json_array_size(audiences) ? json_deep_copy(audiences) : json_pack("[s]", TOKEN_ISSUER);
    unsigned char signature[2 * SIZE];
    struct buf text = BUF_INIT;
    struct rng rng;
    char id[37];

    rng_seed_random(&rng);
    rng_uuid(&rng, id);
    add_part(&text, json_pack("{s:s,s:s,s:s}", "alg", "ES256", "kid", t->kid, "typ", "JWT"));
    buf_add_char(&text, '.');
    add_part(&text, json_pack("{s:o,s:I,s:I,s:s,s:s,s:{s:o,s:{s:o,s:o}},s:I,s:o}", "aud", to, "exp",
                              now + seconds, "iat", now, "iss", TOKEN_ISSUER, "jti", id,
                              "kubernetes.io", "namespace", json_str_new(account->ns),
                              "serviceaccount", "name", json_str_new(account->name), "uid",
                              json_str_new(account->uid), "nbf", now, "sub",
                              json_fmt("system:serviceaccount:%.*s:%.*s", STR_ARG(account->ns),
                                       STR_ARG(account->name))));
    if (!sign(t->key, buf_str(&text), signature)) {
        buf_done(&text);
        return err_set(err, ERR_INTERNAL, "the token cannot be signed");
    }
    buf_add_str(out, buf_str(&text));
    buf_add_char(out, '.');
    base64url_encode(out, str_n(signature, sizeof(signature)));
    if (text.p)
        explicit_bzero(text.p, text.n);
    buf_done(&text);
    return 0;
}

json_t *tokens_verify(const struct tokens *t, struct str token, int64_t now_ms)
{
    struct buf signature = BUF_INIT, payload = BUF_INIT;
    struct str rest = token, head, body;
    json_t *claims = NULL;
    bool ok = str_split(&rest, '.', &head) && str_split(&rest, '.', &body) && rest.p &&
              base64_decode(&signature, rest) &&
              is_signed(t->key, (struct str){token.p, head.n + 1 + body.n}, buf_str(&signature)) &&
              base64_decode(&payload, body) && json_parse(buf_str(&payload), &claims, NULL) == 0 &&
              json_int(claims, "exp", 0) > now_ms / 1000;

    if (!ok) {
        json_decref(claims);
        claims = NULL;
    }
    buf_done(&signature);
    buf_done(&payload);
    return claims;
}

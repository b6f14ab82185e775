/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates of our own: a CA for one installation and leaves under it. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"
#include "net/tls.h"

void tls_pair_done(struct tls_pair *p)
{
    free(p->cert_pem);
    if (p->key_pem) /* a private key: leave no copy in freed memory */
        explicit_bzero(p->key_pem, strlen(p->key_pem));
    free(p->key_pem);
    *p = (struct tls_pair){0};
}

static char *pem_of(BIO *b)
{
    char *data;
    long n = BIO_get_mem_data(b, &data);
    char *out = str_dup(str_n(data, (size_t)n));

    BIO_free(b);
    return out;
}

static bool extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX c;
    X509_EXTENSION *e;
    int ok;

    X509V3_set_ctx(&c, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &c, nid, value);
    ok = e && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static X509 *blank(EVP_PKEY *key, const char *cn, const char *org, int days)
{
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    uint64_t serial;

    rand_bytes(&serial, sizeof(serial));
    X509_set_version(x, 2);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600); /* a clock may be a little behind */
    X509_time_adj_ex(X509_getm_notAfter(x), days, 0, NULL);
    if (org)
        X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)org, -1, -1, 0);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
    X509_set_pubkey(x, key);
    return x;
}

static int finish(X509 *x, EVP_PKEY *key, EVP_PKEY *signer, bool ok, struct tls_pair *ret,
                  struct err *err)
{
    int r = 0;

    if (ok && X509_sign(x, signer, EVP_sha256()) > 0) {
        BIO *cert = BIO_new(BIO_s_mem()), *priv = BIO_new(BIO_s_mem());

        PEM_write_bio_X509(cert, x);
        PEM_write_bio_PrivateKey(priv, key, NULL, NULL, 0, NULL, NULL);
        ret->cert_pem = pem_of(cert);
        ret->key_pem = pem_of(priv);
    } else {
        r = err_set(err, ERR_INTERNAL, "a certificate could not be made");
    }
    X509_free(x);
    EVP_PKEY_free(key);
    return r;
}

int tls_make_ca(const char *cn, int days, struct tls_pair *ret, struct err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = blank(key, cn, NULL, days);
    bool ok;

    X509_set_issuer_name(x, X509_get_subject_name(x));
    ok = extend(x, x, NID_basic_constraints, "critical,CA:TRUE") &&
         extend(x, x, NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature") &&
         extend(x, x, NID_subject_key_identifier, "hash");
    return finish(x, key, key, ok, ret, err);
}

int tls_make_leaf(const struct tls_pair *ca, const char *cn, const char *org, const char *sans,
                  int days, struct tls_pair *ret, struct err *err)
{
    BIO *cb = BIO_new_mem_buf(ca->cert_pem, -1), *kb = BIO_new_mem_buf(ca->key_pem, -1);
    X509 *issuer = PEM_read_bio_X509(cb, NULL, NULL, NULL);
    EVP_PKEY *signer = PEM_read_bio_PrivateKey(kb, NULL, NULL, NULL), *key;
    bool ok;
    X509 *x;
    int r;

    BIO_free(cb);
    BIO_free(kb);
    if (!issuer || !signer) {
        X509_free(issuer);
        EVP_PKEY_free(signer);
        return err_set(err, ERR_BAD_INPUT, "the CA's certificate or key cannot be read");
    }
    key = EVP_EC_gen("P-256");
    x = blank(key, cn, org, days);
    X509_set_issuer_name(x, X509_get_subject_name(issuer));
    ok = extend(x, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
         extend(x, issuer, NID_key_usage, "critical,digitalSignature,keyEncipherment") &&
         extend(x, issuer, NID_ext_key_usage, "serverAuth,clientAuth") &&
         extend(x, issuer, NID_authority_key_identifier, "keyid") &&
         (!sans || !*sans || extend(x, issuer, NID_subject_alt_name, sans));
    r = finish(x, key, signer, ok, ret, err);
    X509_free(issuer);
    EVP_PKEY_free(signer);
    return r;
}

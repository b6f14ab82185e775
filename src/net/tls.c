/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/tls_int.h"

struct tls_server {
    SSL_CTX *ctx;
};

struct tls_client {
    SSL_CTX *ctx;
    char *server_name;
    bool insecure;
    uint64_t id;
};

struct tls_session {
    SSL *ssl;
    BIO *in, *out;
    bool is_open, offers_h2;
    char cn[256], o[256];
};

static int ssl_error(struct err *err, const char *what)
{
    char text[256];
    unsigned long e = ERR_get_error();

    snprintf(text, sizeof(text), "%s",
             e && ERR_reason_error_string(e) ? ERR_reason_error_string(e) : "TLS error");
    ERR_clear_error();
    return err_set(err, ERR_UNAVAILABLE, "%s: %s", what, text);
}

static X509 *read_cert(struct str pem)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);

    BIO_free(b);
    return x;
}

/* An encrypted key without a password is an error, not a question on the terminal. */
static EVP_PKEY *read_key(struct str pem, const char *password)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *k =
        PEM_read_bio_PrivateKey(b, NULL, NULL, (void *)(uintptr_t)(password ? password : ""));

    BIO_free(b);
    return k;
}

/* The certificates behind the first lead to the one that the peer trusts. */
static int use_chain(SSL_CTX *ctx, struct str pem)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
    int ok = 1;

    X509_free(x);
    while (ok == 1 && (x = PEM_read_bio_X509(b, NULL, NULL, NULL))) {
        ok = (int)SSL_CTX_add1_chain_cert(ctx, x);
        X509_free(x);
    }
    ERR_clear_error();
    BIO_free(b);
    return ok;
}

static int use_pair(SSL_CTX *ctx, struct str cert_pem, struct str key_pem, const char *password,
                    struct err *err)
{
    X509 *cert = read_cert(cert_pem);
    EVP_PKEY *key = read_key(key_pem, password);
    int ok = cert && key && SSL_CTX_use_certificate(ctx, cert) == 1 &&
             SSL_CTX_use_PrivateKey(ctx, key) == 1 && use_chain(ctx, cert_pem) == 1;

    X509_free(cert);
    EVP_PKEY_free(key);
    return ok ? 0 : ssl_error(err, "certificate and key cannot be used (PEM expected)");
}

static int trust(SSL_CTX *ctx, struct str ca_pem, struct err *err)
{
    BIO *b = BIO_new_mem_buf(ca_pem.p, (int)ca_pem.n);
    int n = 0;
    X509 *x;

    while ((x = PEM_read_bio_X509(b, NULL, NULL, NULL))) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x);
        X509_free(x);
        n++;
    }
    BIO_free(b);
    ERR_clear_error();
    return n > 0 ? 0 : err_set(err, ERR_BAD_INPUT, "the CA holds no PEM certificate");
}

static SSL_CTX *context(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    FB_ASSERT(ctx != NULL);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return ctx;
}

/* A client without, or with a foreign, certificate is let in: who it is, is the API server's
 * question. */
static int accept_any_client(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                           const unsigned char *in, unsigned in_n, void *arg)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1", h1[] = "\x08http/1.1";
    const struct tls_session *s = SSL_get_app_data(ssl);
    bool with_h2 = s && s->offers_h2;

    (void)arg;
    if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_n, with_h2 ? both : h1,
                              (with_h2 ? sizeof(both) : sizeof(h1)) - 1, in,
                              in_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    return SSL_TLSEXT_ERR_OK;
}

int tls_server_new(struct str cert_pem, struct str key_pem, struct str client_ca_pem,
                   struct tls_server **ret, struct err *err)
{
    struct tls_server *t = mem_zalloc(sizeof(*t));
    int r;

    t->ctx = context(TLS_server_method());
    SSL_CTX_set_alpn_select_cb(t->ctx, select_protocol, NULL);
    SSL_CTX_set_session_id_context(t->ctx, (const unsigned char *)"flyball", 7);
    r = use_pair(t->ctx, cert_pem, key_pem, NULL, err);
    if (r == 0 && client_ca_pem.n) {
        r = trust(t->ctx, client_ca_pem, err);
        SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, accept_any_client);
    }
    if (r < 0) {
        tls_server_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

void tls_server_require_client(struct tls_server *t)
{
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

void tls_server_free(struct tls_server *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

static _Atomic uint64_t ids;

int tls_client_new(const struct tls_client_options *o, struct tls_client **ret, struct err *err)
{
    struct tls_client *t = mem_zalloc(sizeof(*t));
    int r = 0;

    t->ctx = context(TLS_client_method());
    t->insecure = o->insecure;
    t->server_name = o->server_name ? mem_strdup(o->server_name) : NULL;
    t->id = atomic_fetch_add(&ids, 1) + 1;
    if (!o->ca_pem.n || o->adds_ca)
        SSL_CTX_set_default_verify_paths(t->ctx);
    if (o->ca_pem.n)
        r = trust(t->ctx, o->ca_pem, err);
    if (r == 0 && o->cert_pem.n)
        r = use_pair(t->ctx, o->cert_pem, o->key_pem, o->key_password, err);
    SSL_CTX_set_verify(t->ctx, o->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (r < 0) {
        tls_client_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

uint64_t tls_client_id(const struct tls_client *t)
{
    return t->id;
}

void tls_client_free(struct tls_client *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t->server_name);
    free(t);
}

static struct tls_session *session(SSL_CTX *ctx)
{
    struct tls_session *s = mem_zalloc(sizeof(*s));

    s->ssl = SSL_new(ctx);
    s->in = BIO_new(BIO_s_mem());
    s->out = BIO_new(BIO_s_mem());
    FB_ASSERT(s->ssl && s->in && s->out);
    BIO_set_mem_eof_return(s->in, -1);
    SSL_set_bio(s->ssl, s->in, s->out);
    SSL_set_app_data(s->ssl, s);
    return s;
}

struct tls_session *tls_session_server(struct tls_server *t)
{
    struct tls_session *s = session(t->ctx);

    SSL_set_accept_state(s->ssl);
    return s;
}

struct tls_session *tls_session_client(struct tls_client *t, const char *host)
{
    struct tls_session *s = session(t->ctx);
    const char *name = t->server_name ? t->server_name : host;

    SSL_set_connect_state(s->ssl);
    if (name && !t->insecure) {
        X509_VERIFY_PARAM *p = SSL_get0_param(s->ssl);

        if (X509_VERIFY_PARAM_set1_ip_asc(p, name) != 1)
            SSL_set1_host(s->ssl, name);
    }
    if (name && strspn(name, "0123456789.:") != strlen(name))
        SSL_set_tlsext_host_name(s->ssl, name);
    return s;
}

void tls_session_offer_h2(struct tls_session *s)
{
    s->offers_h2 = true;
    if (!SSL_is_server(s->ssl))
        SSL_set_alpn_protos(s->ssl, (const unsigned char *)"\x02h2", 3);
}

bool tls_session_alpn_is_h2(const struct tls_session *s)
{
    const unsigned char *name;
    unsigned n;

    SSL_get0_alpn_selected(s->ssl, &name, &n);
    return n == 2 && memcmp(name, "h2", 2) == 0;
}

void tls_session_free(struct tls_session *s)
{
    if (!s)
        return;
    SSL_free(s->ssl);
    free(s);
}

static void drain(struct tls_session *s, struct buf *wire)
{
    size_t n = BIO_ctrl_pending(s->out);
    char *room = n ? buf_room(wire, n) : NULL;
    int got = room ? BIO_read(s->out, room, (int)n) : 0;

    if (got > 0)
        buf_added(wire, (size_t)got);
}

static int handshake_failed(struct tls_session *s, struct err *err)
{
    long v = SSL_get_verify_result(s->ssl);

    if (v != X509_V_OK && (SSL_get_verify_mode(s->ssl) & SSL_VERIFY_PEER) &&
        !SSL_is_server(s->ssl)) {
        ERR_clear_error();
        return err_set(err, ERR_UNAVAILABLE, "the server's certificate is not accepted: %s",
                       X509_verify_cert_error_string(v));
    }
    return ssl_error(err, "TLS handshake");
}

static int shake(struct tls_session *s, struct err *err)
{
    int r = SSL_do_handshake(s->ssl);

    if (r == 1) {
        s->is_open = true;
        return 0;
    }
    r = SSL_get_error(s->ssl, r);
    return r == SSL_ERROR_WANT_READ || r == SSL_ERROR_WANT_WRITE ? 0 : handshake_failed(s, err);
}

int tls_session_start(struct tls_session *s, struct buf *wire, struct err *err)
{
    int r = shake(s, err);

    drain(s, wire);
    return r;
}

int tls_session_feed(struct tls_session *s, struct str bytes, struct buf *plain, struct buf *wire,
                     struct err *err)
{
    int r = 0;

    ERR_clear_error();
    if (bytes.n && BIO_write(s->in, bytes.p, (int)bytes.n) != (int)bytes.n)
        return err_set(err, ERR_INTERNAL, "TLS input buffer");
    if (!s->is_open)
        r = shake(s, err);
    while (r == 0 && s->is_open) {
        char *room = buf_room(plain, 16384);
        int got = room ? SSL_read(s->ssl, room, 16384) : 0;

        if (!room) {
            r = err_set(err, ERR_LIMIT, "too much TLS data at once");
        } else if (got > 0) {
            buf_added(plain, (size_t)got);
        } else {
            int e = SSL_get_error(s->ssl, got);

            if (e == SSL_ERROR_ZERO_RETURN)
                r = 1;
            else if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
                r = ssl_error(err, "TLS read");
            break;
        }
    }
    drain(s, wire);
    return r;
}

bool tls_session_is_open(const struct tls_session *s)
{
    return s->is_open;
}

int tls_session_write(struct tls_session *s, struct str plain, struct buf *wire, struct err *err)
{
    while (plain.n > 0) {
        int n = plain.n > (1 << 20) ? 1 << 20 : (int)plain.n;
        int put;

        ERR_clear_error();
        put = SSL_write(s->ssl, plain.p, n);
        if (put <= 0)
            return ssl_error(err, "TLS write");
        plain = str_skip(plain, (size_t)put);
        drain(s, wire);
    }
    return 0;
}

void tls_session_shutdown(struct tls_session *s, struct buf *wire)
{
    if (s->is_open)
        SSL_shutdown(s->ssl);
    ERR_clear_error();
    drain(s, wire);
}

static const char *subject_part(struct tls_session *s, int nid, char *out, size_t cap)
{
    X509 *peer = SSL_get0_peer_certificate(s->ssl);

    if (!peer || SSL_get_verify_result(s->ssl) != X509_V_OK ||
        X509_NAME_get_text_by_NID(X509_get_subject_name(peer), nid, out, (int)cap) <= 0)
        return NULL;
    return out;
}

const char *tls_session_cn(struct tls_session *s)
{
    return subject_part(s, NID_commonName, s->cn, sizeof(s->cn));
}

const char *tls_session_o(struct tls_session *s)
{
    return subject_part(s, NID_organizationName, s->o, sizeof(s->o));
}

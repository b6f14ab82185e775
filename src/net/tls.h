/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS settings over OpenSSL 3, initialised where first used. tls_server: certificate, key, optional
 * CA for client certificates (requested, not required). tls_client: CA, client certificate,
 * verification. */
#ifndef FB_NET_TLS_H
#define FB_NET_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct tls_server;
struct tls_client;

int tls_server_new(struct str cert_pem, struct str key_pem, struct str client_ca_pem,
                   struct tls_server **ret, struct err *err);
/* A client without a certificate of the CA is not let in any more: its handshake fails. */
void tls_server_require_client(struct tls_server *t);
void tls_server_free(struct tls_server *t);

struct tls_client_options {
    struct str ca_pem;   /* empty: the system's */
    bool adds_ca;        /* ca_pem beside the system's, not instead */
    struct str cert_pem; /* empty: none; intermediate ones may follow the first */
    struct str key_pem;
    const char *key_password; /* NULL: the key is not encrypted */
    bool insecure;            /* do not verify */
    const char *server_name;  /* overrides the host for SNI and verification; may be NULL */
};
int tls_client_new(const struct tls_client_options *o, struct tls_client **ret, struct err *err);
void tls_client_free(struct tls_client *t);
/* Of these settings and of no others in this process, unlike the address: never 0. */
uint64_t tls_client_id(const struct tls_client *t);

/* Certificates of our own (P-256, SHA-256): a CA, and leaves under it. PEM texts for free(). sans:
 * "DNS:localhost,IP:127.0.0.1"; usage server and client auth. */
struct tls_pair {
    char *cert_pem;
    char *key_pem;
};
void tls_pair_done(struct tls_pair *p);
int tls_make_ca(const char *cn, int days, struct tls_pair *ret, struct err *err);
int tls_make_leaf(const struct tls_pair *ca, const char *cn, const char *org, const char *sans,
                  int days, struct tls_pair *ret, struct err *err);

#endif

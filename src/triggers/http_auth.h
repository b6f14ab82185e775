/* SPDX-License-Identifier: Apache-2.0
 *
 * How a trigger that asks over HTTP says who it is (keda.md 5.1, 5.6): authModes, customHeaders,
 * unsafeSsl, and the authentication's parameters for them. */
#ifndef FB_TRIGGERS_HTTP_AUTH_H
#define FB_TRIGGERS_HTTP_AUTH_H

#include "net/http_client.h"
#include "triggers/trigger_int.h"

#define HTTP_AUTH_HEADERS_MAX 32
#define HTTP_AUTH_SECRETS_MAX 2

enum http_auth_mode {
    HTTP_AUTH_API_KEY = 1,
    HTTP_AUTH_BASIC = 2,
    HTTP_AUTH_TLS = 4,
    HTTP_AUTH_BEARER = 8,
    HTTP_AUTH_CUSTOM = 16,
    HTTP_AUTH_OAUTH = 32,
    /* with API_KEY among those of a type: goes without the key too, and then sends none */
    HTTP_AUTH_KEY_IS_OPTIONAL = 64,
};

struct http_auth {
    unsigned modes;              /* of enum http_auth_mode */
    struct http_header *headers; /* these and their texts are owned */
    size_t n_headers, cap_headers, n_secrets;
    struct http_header secrets[HTTP_AUTH_SECRETS_MAX];
    char *query;             /* "api_key=...": appended to the URL; NULL: none */
    struct tls_client *tls;  /* NULL: the system's roots; shared */
    struct trigger_hub *hub; /* whom it goes back to */
    char *problem;           /* why the TLS settings cannot be used: nothing is sent; NULL: none */
};

/* Reads metadata and parameters; allowed: the modes of this trigger type. Problems with PEM texts
 * are no errors of the metadata (a->problem). */
void http_auth_parse(struct trigger *t, const json_t *meta, unsigned allowed, struct http_auth *a,
                     struct err *err);
/* "http://user:password@host/..." gives Basic authentication, unless there is another; url is left
 * without it. */
void http_auth_take_user(struct http_auth *a, char *url);
/* Moves it to the heap; NULL: there is nothing in it. */
struct http_auth *http_auth_keep(struct http_auth *a);
void http_auth_done(struct http_auth *a);

#endif

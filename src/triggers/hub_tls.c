/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS settings that triggers share: connections are pooled by them (http_client.h), so that a
 * thousand triggers that ask one server as one user need few connections, and few handshakes. */
#include <stdlib.h>

#include "base/mem.h"
#include "triggers/hub_int.h"

struct shared_tls {
    struct list link;
    struct tls_client *tls;
    char *key; /* all that it was made of: a secret */
    size_t key_n, users;
};

static void add_part(struct buf *b, struct str s)
{
    buf_printf(b, "%zu:", s.n);
    buf_add_str(b, s);
}

static void make_key(const struct tls_client_options *o, struct buf *b)
{
    buf_printf(b, "%d%d", o->insecure, o->adds_ca);
    add_part(b, o->ca_pem);
    add_part(b, o->cert_pem);
    add_part(b, o->key_pem);
    add_part(b, str_of(o->key_password));
}

static void free_shared(struct shared_tls *s)
{
    list_del(&s->link);
    tls_client_free(s->tls);
    explicit_bzero(s->key, s->key_n);
    free(s->key);
    free(s);
}

int hub_tls_get(struct trigger_hub *h, const struct tls_client_options *o, struct tls_client **ret,
                struct err *err)
{
    struct buf key = BUF_INIT;
    struct shared_tls *s;
    int r;

    if (!h)
        return tls_client_new(o, ret, err);
    make_key(o, &key);
    list_each (it, hub_tls_list(h)) {
        s = container_of(it, struct shared_tls, link);
        if (str_eq(str_n(s->key, s->key_n), buf_str(&key))) {
            explicit_bzero(key.p, key.n);
            buf_done(&key);
            s->users++;
            *ret = s->tls;
            return 0;
        }
    }
    r = tls_client_new(o, ret, err);
    if (r == 0) {
        s = mem_zalloc(sizeof(*s));
        s->tls = *ret;
        s->users = 1;
        s->key = buf_take(&key, &s->key_n);
        list_add_tail(hub_tls_list(h), &s->link);
    } else {
        explicit_bzero(key.p, key.n);
        buf_done(&key);
    }
    return r;
}

void hub_tls_put(struct trigger_hub *h, struct tls_client *tls)
{
    if (!h || !tls) {
        tls_client_free(tls);
        return;
    }
    list_each (it, hub_tls_list(h)) {
        struct shared_tls *s = container_of(it, struct shared_tls, link);

        if (s->tls == tls) {
            if (--s->users == 0)
                free_shared(s);
            return;
        }
    }
}

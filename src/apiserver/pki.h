/* SPDX-License-Identifier: Apache-2.0
 *
 * The installation's keys: a CA, the server's certificate, the administrator's certificate and
 * token, all in DIR/pki (0600), made at the first start; and the kubeconfig that carries them. */
#ifndef FB_APISERVER_PKI_H
#define FB_APISERVER_PKI_H

#include "base/err.h"
#include "net/http.h"
#include "net/tls.h"

struct pki {
    struct tls_pair ca, server, admin;
    char *token;
};

int pki_open(const char *dir, struct pki *ret, struct err *err);
void pki_done(struct pki *p);
/* DIR/pki/NAME: its text, new, or NULL where there is none; and writes it, whole or not at all. */
char *pki_load(const char *dir, const char *name);
int pki_save(const char *dir, const char *name, const char *text, struct err *err);
/* DIR/kubeconfig for an API server at addr. */
int pki_write_kubeconfig(const struct pki *p, const char *dir, const struct net_addr *addr,
                         struct err *err);

#endif

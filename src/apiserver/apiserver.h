/* SPDX-License-Identifier: Apache-2.0
 *
 * The Kubernetes API over a store: discovery, reads, tables, watches, writes, logs, Status errors.
 */
#ifndef FB_APISERVER_APISERVER_H
#define FB_APISERVER_APISERVER_H

#include "apiserver/metrics_api.h"
#include "apiserver/pki.h"
#include "apiserver/pod_logs.h"
#include "apiserver/tokens.h"
#include "net/http_server.h"
#include "store/store.h"

struct apiserver;

struct apiserver_options {
    struct store *store;
    struct net_addr listen;
    struct tls_server *tls;
    const char *token;                 /* of the administrator */
    const struct tokens *tokens;       /* of ServiceAccounts; NULL: none are issued */
    const struct pod_log_source *logs; /* may be NULL */
};

int apiserver_new(struct loop *l, const struct apiserver_options *o, struct apiserver **ret,
                  struct err *err);
struct net_addr apiserver_addr(const struct apiserver *a);
void apiserver_set_logs(struct apiserver *a, const struct pod_log_source *logs);
void apiserver_set_metrics(struct apiserver *a, const struct metrics_api *m);
void apiserver_free(struct apiserver *a);
/* Creates the namespaces and Services that are always there; existing ones stay. */
void apiserver_bootstrap(struct store *s);

#endif

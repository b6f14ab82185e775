/* SPDX-License-Identifier: Apache-2.0
 *
 * One embedded control plane, put together: store, API server, controllers, node, gateway, metrics.
 */
#ifndef FB_CMD_INSTANCE_H
#define FB_CMD_INSTANCE_H

#include "net/http.h"
#include "net/loop.h"

struct instance;

struct instance_options {
    const char *data_dir;
    const char *api_listen, *gateway_listen, *web_listen, *otlp_listen,
        *scaler_listen; /* NULL: the default port, or the next free one */
    const char *otlp_tls_cert, *otlp_tls_key, *otlp_client_ca; /* PEM files; NULL: clear text */
    size_t otlp_max_message;                                   /* bytes; 0: 64 MiB */
    const char *pod_user;                                      /* NULL: the default when root */
    int64_t scrape_interval_ms;
    int64_t retention_ms;                 /* of samples; 0: 15 min, negative: for ever */
    size_t max_samples_bytes, max_series; /* 0: the store's own */
    int64_t sync_period_ms; /* 0: decisions follow rounds; else the originals' timing */
    bool takes_remote_write;
    const char *auth_file_root; /* of filePath in TriggerAuthentications; NULL: refused */
    bool has_new_columns;       /* ScaledObjects print as with KEDA from 2.16 on */
    char **image_maps;          /* "IMAGE=COMMAND", ends with NULL; may be NULL */
};

/* When it returns everything listens, and what a first start makes is stored. */
int instance_new(struct loop *l, const struct instance_options *o, struct instance **ret,
                 struct err *err);
struct net_addr instance_api_addr(const struct instance *i);
struct net_addr instance_gateway_addr(const struct instance *i);
struct net_addr instance_web_addr(const struct instance *i);
struct net_addr instance_otlp_addr(const struct instance *i);
struct net_addr instance_scaler_addr(const struct instance *i);
/* Ends all pods (their objects stay), then calls done. */
void instance_stop(struct instance *i, void (*done)(void *arg), void *arg);
void instance_free(struct instance *i);

#endif

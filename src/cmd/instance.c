/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/instance.h"

#include <stdlib.h>

#include "apiserver/apiserver.h"
#include "base/mem.h"

struct instance {
    struct loop *loop;
    struct pki pki;
    struct tls_server *tls;
    struct store *store;
    struct apiserver *api;
};

static int listen_addr(const char *given, const char *option, uint16_t port, struct net_addr *ret,
                       struct err *err)
{
    if (!given)
        return net_addr_set(ret, "127.0.0.1", port);
    if (net_addr_parse(str_of(given), ret, err) < 0)
        return err_wrap(err, "%s", option);
    return 0;
}

int instance_new(struct loop *l, const struct instance_options *o, struct instance **ret,
                 struct err *err)
{
    struct instance *i = mem_zalloc(sizeof(*i));
    struct store_options so = {.loop = l, .dir = o->data_dir, .service_block = 0x7f800000};
    struct apiserver_options ao = {0};
    int r;

    i->loop = l;
    if ((r = store_open(&so, &i->store, err)) < 0 || (r = pki_open(o->data_dir, &i->pki, err)) < 0)
        goto fail;
    r = tls_server_new(str_of(i->pki.server.cert_pem), str_of(i->pki.server.key_pem),
                       str_of(i->pki.ca.cert_pem), &i->tls, err);
    if (r < 0 || (r = listen_addr(o->api_listen, "--api-listen", 6443, &ao.listen, err)) < 0)
        goto fail;
    ao.store = i->store;
    ao.tls = i->tls;
    ao.token = i->pki.token;
    if ((r = apiserver_new(l, &ao, &i->api, err)) < 0)
        goto fail;
    struct net_addr a = apiserver_addr(i->api);
    if ((r = pki_write_kubeconfig(&i->pki, o->data_dir, &a, err)) < 0)
        goto fail;
    apiserver_bootstrap(i->store);
    *ret = i;
    return 0;
fail:
    instance_free(i);
    return r;
}

struct net_addr instance_api_addr(const struct instance *i)
{
    return apiserver_addr(i->api);
}

struct net_addr instance_gateway_addr(const struct instance *i)
{
    return apiserver_addr(i->api);
}

struct net_addr instance_web_addr(const struct instance *i)
{
    return apiserver_addr(i->api);
}

void instance_stop(struct instance *i, void (*done)(void *arg), void *arg)
{
    loop_post(i->loop, done, arg);
}

void instance_free(struct instance *i)
{
    if (!i)
        return;
    apiserver_free(i->api);
    store_close(i->store);
    tls_server_free(i->tls);
    pki_done(&i->pki);
    free(i);
}

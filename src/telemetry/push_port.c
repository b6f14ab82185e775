/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/push_port.h"

#include "base/mem.h"
#include "telemetry/hosts.h"

struct push_port {
    struct push_port_options o;
    struct http_server *http;
};

static void refuse(struct http_x *x, int status, const char *text)
{
    http_x_reply(x, status, "text/plain; charset=utf-8", NULL, str_of(text));
}

static bool is_grpc(const struct http_request *req)
{
    return req->is_h2 &&
           str_starts(http_header_get(&req->headers, "content-type"), STR("application/grpc"));
}

static void on_request(void *ctx, struct http_x *x)
{
    struct push_port *p = ctx;
    const struct http_request *req = http_x_request(x);

    /* a browser cannot speak gRPC, which may come under any name */
    if (!req->is_tls && !is_grpc(req) && !host_is_ours(req)) {
        refuse(x, 421, "this name does not belong to flyball: use its address\n");
        return;
    }
    if (p->o.wants_client_cert && !req->tls_cn) {
        refuse(x, 401, "a client certificate of the CA in --otlp-client-ca is needed\n");
        return;
    }
    for (size_t i = 0; i < PUSH_SERVICES_MAX && p->o.services[i].take; i++)
        if (p->o.services[i].take(p->o.services[i].ctx, x))
            return;
    refuse(x, 404, "no such path; OTLP metrics are taken at /v1/metrics\n");
}

int push_port_new(struct loop *l, const struct push_port_options *o, struct push_port **ret,
                  struct err *err)
{
    struct push_port *p = mem_zalloc(sizeof(*p));
    struct http_server_options so = {.addr = o->listen,
                                     .tls = o->tls,
                                     .on_request = on_request,
                                     .ctx = p,
                                     .server_name = o->name};
    int r;

    p->o = *o;
    r = http_server_new(l, &so, &p->http, err);
    if (r < 0) {
        free(p);
        return r;
    }
    *ret = p;
    return 0;
}

struct net_addr push_port_addr(const struct push_port *p)
{
    return http_server_addr(p->http);
}

void push_port_free(struct push_port *p)
{
    if (!p)
        return;
    http_server_free(p->http);
    free(p);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * gRPC client: unary and server-streaming calls over channels. A channel is one HTTP/2 connection
 * to one address with one set of TLS settings, shared by everybody who asks for the same. It
 * connects when a call needs it; after a failure the next attempt waits 1 s to 120 s (times 1.6
 * with 20 % jitter, as gRPC does), and calls fail at once meanwhile, unless they wait for it.
 * GOAWAY: new calls go to a new connection, those that the server has not looked at are sent again,
 * the others end where they are. More calls than the server's MAX_CONCURRENT_STREAMS wait in order.
 *
 * A call ends exactly once, in on_done. Nothing is called back from inside grpc_call_start or
 * grpc_call_cancel; cancelling is silent. Codes of what happens here: UNAVAILABLE (cannot connect,
 * connection lost), DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED (answer over the maximum), INTERNAL
 * (answer that is not gRPC's), and gRPC's mapping of HTTP statuses and reset codes.
 *
 * Small on purpose: base, compress, libuv, nghttp2; OpenSSL is only touched when TLS is asked for.
 */
#ifndef FB_NET_GRPC_CLIENT_H
#define FB_NET_GRPC_CLIENT_H

#include "net/grpc.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls.h"

struct grpc_client; /* all channels of one loop */
struct grpc_channel;
struct grpc_call;

struct grpc_client_options {
    /* Names inside the cluster: fills ret and returns true where host:port is one; asked before
     * DNS, at every connect. May be NULL. (As http_client.h's.) */
    bool (*resolve)(void *ctx, struct str host, uint16_t port, struct net_addr *ret);
    void *resolve_ctx;
    const char *user_agent; /* NULL: "flyball/VERSION" */
    int64_t backoff_min_ms; /* 0: 1000 */
    int64_t backoff_max_ms; /* 0: 120000 */
    int64_t connect_ms;     /* 0: 20000: one attempt, name resolution and TLS included */
    int64_t keepalive_ms;   /* 0: none; else PING after so long without a byte, while calls run */
    int64_t keepalive_wait_ms; /* 0: 20000: without an answer the connection is given up */
};

struct grpc_client *grpc_client_new(struct loop *l, const struct grpc_client_options *o);
/* Cancels all calls silently and drops all channels. NULL is fine. */
void grpc_client_free(struct grpc_client *c);

struct grpc_channel_options {
    const char *target; /* "HOST:PORT", "[::1]:PORT"; also "dns:///HOST:PORT" and "http(s)://..." */
    const struct tls_client_options *tls; /* copied; NULL: clear text */
    const char *authority;                /* :authority; NULL: target */
};

/* Counted: as often as get, release. The same target, authority and TLS settings give the same
 * channel. ERR_BAD_INPUT: not a target, or TLS settings that cannot be used. */
int grpc_channel_get(struct grpc_client *c, const struct grpc_channel_options *o,
                     struct grpc_channel **ret, struct err *err);
/* The connection stays while calls run on it. NULL is fine. */
void grpc_channel_release(struct grpc_channel *ch);
/* Connected now; and why not, if an attempt has failed since (else err is untouched). */
bool grpc_channel_is_ready(const struct grpc_channel *ch, struct err *err);

struct grpc_call_options {
    const char *method; /* "/package.Service/Method" */
    struct str message; /* copied */
    int64_t timeout_ms; /* 0: none; goes to the server as grpc-timeout */
    /* Waits for a connection instead of failing with UNAVAILABLE and the last error. */
    bool wait_for_ready;
    const struct http_headers *metadata; /* copied; lower-case names; may be NULL */
    enum compression compression;        /* of the request */
    size_t max_message;                  /* of an answer; 0: 4 MiB, gRPC's default */
    void *arg;
    void (*on_message)(void *arg, struct str message); /* valid during the call; may be NULL */
    /* The call is gone; may be NULL. A unary call that ends OK has had exactly one message. */
    void (*on_done)(void *arg, const struct grpc_status *status);
    bool is_stream; /* the answer is a stream: any number of messages */
};

struct grpc_call *grpc_call_start(struct grpc_channel *ch, const struct grpc_call_options *o);
/* Silent: no on_done. The server sees a reset. NULL is fine. */
void grpc_call_cancel(struct grpc_call *call);
/* Stops and resumes on_message of a stream: back-pressure towards the server. */
void grpc_call_pause(struct grpc_call *call, bool paused);

#endif

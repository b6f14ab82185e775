/* SPDX-License-Identifier: Apache-2.0
 *
 * gRPC over http_server's exchanges: a table of methods. It owns no socket: a port's on_request
 * hands it exchanges and goes on with its plain HTTP paths where it says no, so gRPC and HTTP share
 * a port:
 *
 *     static void on_request(void *ctx, struct http_x *x)
 *     {
 *         if (!grpc_server_take(w->grpc, x))
 *             ... plain HTTP ...
 *     }
 *
 * Life of a call (struct grpc_x): on_request with the one request message (unary calls and server
 * streaming), or on_stream at once, then each message (client and bidirectional streaming) -> any
 * number of grpc_x_send -> grpc_x_end with a status, at any later time -> on_close exactly once,
 * when the answer was handed to the socket or the client cancelled, left, or its deadline
 * (grpc-timeout) passed; then the call is gone. After grpc_x_end and after on_close nothing may be
 * done with it; what is sent after the end is dropped.
 *
 * Answered here, without the handler: unknown method or encoding (UNIMPLEMENTED, with
 * grpc-accept-encoding), message over the maximum before or after decompression
 * (RESOURCE_EXHAUSTED), malformed framing or compression (INTERNAL), none or several messages for a
 * unary method (INTERNAL), a deadline that passes (DEADLINE_EXCEEDED), HTTP/1.1 and other methods
 * than POST. Encodings: identity, gzip, zstd; answers are sent as they are. */
#ifndef FB_NET_GRPC_SERVER_H
#define FB_NET_GRPC_SERVER_H

#include "net/grpc.h"
#include "net/http_server.h"

struct grpc_server;
struct grpc_x; /* call */

struct grpc_method {
    const char *name; /* "Export" */
    /* One of the two. message is valid during the call of the function. */
    void (*on_request)(void *ctx, struct grpc_x *x, struct str message);
    void (*on_stream)(void *ctx, struct grpc_x *x); /* sets grpc_x_read before it returns */
};

struct grpc_service {
    const char *name; /* "opentelemetry.proto.collector.metrics.v1.MetricsService" */
    const struct grpc_method *methods;
    size_t n_methods;
    void *ctx;
    size_t max_message; /* 0: GRPC_MAX_MESSAGE_DEFAULT */
};

struct grpc_server *grpc_server_new(void);
/* Free it after the http_server whose exchanges it took. NULL is fine. */
void grpc_server_free(struct grpc_server *s);
/* The service (its texts, methods and ctx) is borrowed and must outlive the server. */
void grpc_server_add(struct grpc_server *s, const struct grpc_service *service);
/* Of the services added, in that order; NULL behind the last one. */
const struct grpc_service *grpc_server_service(const struct grpc_server *s, size_t i);
/* True: the exchange is a gRPC request (content type application/grpc, +proto or ;...) and is taken
 * care of. False: nothing was done with it. */
bool grpc_server_take(struct grpc_server *s, struct http_x *x);

/* Path, metadata, peer; valid until on_close. */
const struct http_request *grpc_x_request(const struct grpc_x *x);
struct loop *grpc_x_loop(const struct grpc_x *x);
void grpc_x_set_data(struct grpc_x *x, void *data);
void *grpc_x_data(const struct grpc_x *x);
void grpc_x_on_close(struct grpc_x *x, void (*fn)(void *arg, struct grpc_x *x), void *arg);
/* Monotonic time of the loop when the client's deadline passes; 0: none. */
int64_t grpc_x_deadline_ns(const struct grpc_x *x);
/* Streaming requests: each message; then once with end set and an empty message, when the client
 * has half-closed. */
void grpc_x_read(struct grpc_x *x,
                 void (*fn)(void *arg, struct grpc_x *x, struct str message, bool end), void *arg);
/* Stops and resumes the messages of a streaming request: back-pressure towards the client. */
void grpc_x_pause(struct grpc_x *x, bool paused);
/* Sends one message (the first one sends the header block). False: more than the high-water mark
 * waits for the client; stop until on_drain. */
bool grpc_x_send(struct grpc_x *x, struct str message);
void grpc_x_on_drain(struct grpc_x *x, void (*fn)(void *arg, struct grpc_x *x), void *arg);
/* Sends the header block now, before the first message. */
void grpc_x_start(struct grpc_x *x);
/* Ends the call. message may be NULL; it is for people, UTF-8. */
void grpc_x_end(struct grpc_x *x, int code, const char *message);
/* With details: a google.rpc.Status in protobuf, which tells programs more (RetryInfo, ...). */
void grpc_x_end_with(struct grpc_x *x, int code, const char *message, struct str details);
/* The usual ends: one message and OK; the code and message of an error of ours. */
void grpc_x_reply(struct grpc_x *x, struct str message);
void grpc_x_fail(struct grpc_x *x, const struct err *err);

#endif

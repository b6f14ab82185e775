/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the gRPC client: channels and their connections (grpc_channel.c) carry calls
 * (grpc_client.c). Everything that ends is freed by a posted call, so that callbacks may cancel,
 * release and free whatever they like. */
#ifndef FB_NET_GRPC_CLIENT_INT_H
#define FB_NET_GRPC_CLIENT_INT_H

#include "base/rand.h"
#include "net/conn.h"
#include "net/grpc_client.h"
#include "net/h2.h"

#define ADDRESSES_MAX 8

struct grpc_client {
    struct loop *loop;
    struct grpc_client_options o;
    char *user_agent;
    struct list channels;
    struct rng rng;
    bool is_gone;
};

/* One connection, from the first attempt until its last stream has ended. */
struct grpc_link {
    struct grpc_channel *ch;
    struct list at; /* channel->links */
    struct conn *conn;
    struct h2 *h2;
    struct list calls;       /* on streams of this connection */
    struct loop_timer timer; /* until it is ready: gives up; then: keep-alive */
    bool is_ready, is_draining, is_turn_posted, is_gone;
};

enum grpc_channel_state {
    GRPC_CHANNEL_IDLE,       /* nothing to do, or nothing asked */
    GRPC_CHANNEL_CONNECTING, /* name, TCP, TLS, and the server's settings */
    GRPC_CHANNEL_READY,
    GRPC_CHANNEL_BACKOFF, /* the last attempt failed; timer runs */
};

struct grpc_channel {
    struct grpc_client *client;
    struct list at; /* client->channels */
    char *key, *host, *authority;
    uint16_t port;
    struct tls_client *tls;
    int refs;
    enum grpc_channel_state state;
    struct grpc_link *link; /* being made, or ready; NULL otherwise */
    struct list links;      /* that one, and those that only end their streams */
    struct list waiting;    /* calls without a stream, in order */
    struct list finishing;  /* calls whose stream has ended, but that are paused */
    struct net_addr addresses[ADDRESSES_MAX];
    size_t n_addresses, next_address;
    struct lookup *lookup;   /* a name is being resolved */
    struct loop_timer timer; /* back-off, or a resolution that takes too long */
    int64_t backoff_ms;
    struct err last; /* why the last attempt failed; code 0 after a success */
    bool is_turn_posted, is_gone;
};

struct grpc_call {
    struct grpc_channel *ch;
    struct grpc_call_options o; /* callbacks and flags; pointers of the caller are not kept */
    struct list at;             /* channel->waiting, link->calls, or channel->finishing */
    struct grpc_link *link;
    struct h2_stream *stream; /* NULL while waiting */
    char *method;
    struct buf metadata; /* name NUL value NUL ... */
    struct buf request;  /* framed; until the answer begins */
    struct grpc_reader reader;
    struct str message; /* of a unary answer, in the reader, until its status */
    size_t unused;      /* bytes that came while paused */
    struct loop_timer deadline, resume;
    struct grpc_status status;
    int tries;
    bool has_head, has_message, has_status, is_paused, is_gone, in_pump;
};

/* Looks after a channel in the next turn: connects, sends calls that wait, fails those that may
 * not, and ends it when nobody needs it. */
void channel_post(struct grpc_channel *ch);
/* Drops a channel and its connections; its calls are gone already. */
void channel_drop(struct grpc_channel *ch);
void link_post(struct grpc_link *link);
void link_check(struct grpc_link *link); /* a call has left it */

/* Puts the call on a stream of the ready connection. */
void call_send(struct grpc_call *call, struct grpc_link *link);
/* The call ends with a status of ours. */
__attribute__((format(printf, 3, 4))) void call_fail(struct grpc_call *call, int code,
                                                     const char *fmt, ...);
extern const struct h2_events grpc_link_events;
void link_on_settings(void *arg);
void link_on_goaway(void *arg, uint32_t code, struct str why);
bool link_on_bytes(void *arg, struct str bytes);
void link_want_send(void *arg);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * What gRPC's server and client share, without I/O: status codes, the five-byte framing of
 * messages, grpc-timeout, grpc-message. */
#ifndef FB_NET_GRPC_H
#define FB_NET_GRPC_H

#include "base/buf.h"
#include "base/err.h"
#include "codec/compress.h"

enum grpc_code {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
};

#define GRPC_MAX_MESSAGE_DEFAULT ((size_t)64 << 20)
#define GRPC_PREFIX 5 /* bytes before a message: 1 flag (1: compressed), 4 length, big-endian */

struct grpc_status {
    int code; /* enum grpc_code, or what a peer sent */
    char message[1000];
    int64_t retry_ms; /* so long the server asks to wait (RetryInfo); 0: it does not */
};

const char *grpc_code_name(int code); /* "DEADLINE_EXCEEDED"; of an unknown one "UNKNOWN" */

/* Takes messages out of a stream of bytes, however it is cut. Give it an encoding and a maximum (of
 * a message before and after decompression), feed it, and take messages until there is none. */
struct grpc_reader {
    enum compression encoding; /* of messages whose flag says compressed */
    size_t max_message;
    struct buf in;    /* bytes behind the last message taken; bounded by max_message */
    struct buf plain; /* the last decompressed message */
    size_t at;        /* bytes of `in` already taken */
};

void grpc_reader_init(struct grpc_reader *r, size_t max_message);
void grpc_reader_done(struct grpc_reader *r);
void grpc_reader_feed(struct grpc_reader *r, struct str bytes);
/* 1: *ret is a message, valid until the next call; 0: more bytes are needed; < 0: malformed
 * (ERR_BAD_INPUT: a flag other than 0 and 1, a compressed message without an encoding, corrupt) or
 * too large (ERR_LIMIT), for good. */
int grpc_reader_next(struct grpc_reader *r, struct str *ret, struct err *err);
/* Bytes of an unfinished message are there: an end of the stream here cuts it. */
bool grpc_reader_is_inside(const struct grpc_reader *r);
/* Bytes held. */
size_t grpc_reader_size(const struct grpc_reader *r);

/* The prefix of a message of n bytes. */
void grpc_prefix(char out[GRPC_PREFIX], bool is_compressed, size_t n);
/* grpc-message: percent-encoded outside of printable ASCII. */
void grpc_message_encode(struct buf *out, struct str message);
/* Decodes; what is not a valid escape stays. Cut to cap - 1 bytes, NUL-terminated, at a character.
 */
void grpc_message_decode(struct str value, char *out, size_t cap);
/* The delay of the google.rpc.RetryInfo in a grpc-status-details-bin, at least 1; 0: there is none.
 */
int64_t grpc_retry_ms(struct str details_bin);
/* "100m" -> nanoseconds; at most 8 digits and one of H M S m u n. */
bool grpc_timeout_parse(struct str value, int64_t *ret_ns);
void grpc_timeout_text(int64_t ns, char out[16]);
/* The code that stands for an HTTP status of a peer that does not speak gRPC. */
int grpc_code_of_http(int status);

#endif

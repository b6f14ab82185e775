/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors: functions that can fail return 0 or a negative code and fill an optional struct err. The
 * message is lower case, without a newline, quotes user data in single quotes and says what to do
 * or what was expected. Library layers return and never log; who decides logs once. */
#ifndef FB_BASE_ERR_H
#define FB_BASE_ERR_H

enum err_code {
    ERR_BAD_INPUT = -1,    /* 400: what the caller gave cannot be read */
    ERR_INVALID = -2,      /* 422: readable, but breaks a rule */
    ERR_NOT_FOUND = -3,    /* 404 */
    ERR_EXISTS = -4,       /* 409 AlreadyExists */
    ERR_CONFLICT = -5,     /* 409: changed meanwhile */
    ERR_GONE = -6,         /* 410: too old */
    ERR_LIMIT = -7,        /* 413 / 429: over a bound of ours */
    ERR_FORBIDDEN = -8,    /* 403 */
    ERR_UNAUTHORIZED = -9, /* 401 */
    ERR_UNAVAILABLE = -10, /* 503: peer down, refused, closed */
    ERR_TIMEOUT = -11,     /* 504 */
    ERR_CANCELED = -12,    /* 499: the asker left */
    ERR_UNSUPPORTED = -13, /* 501 / 415: understood, but not offered */
    ERR_IO = -14,          /* 500: disk or system call */
    ERR_INTERNAL = -15,    /* 500 */
};

struct err {
    int code;       /* enum err_code, 0 while nothing failed */
    char msg[1000]; /* NUL-terminated, cut at the end if longer */
};

#define ERR_INIT ((struct err){0})

/* Stores code and message if err is not NULL; returns code. */
__attribute__((format(printf, 3, 4))) int err_set(struct err *err, int code, const char *fmt, ...);
/* Puts "context: " before the message; returns the code already there. */
__attribute__((format(printf, 2, 3))) int err_wrap(struct err *err, const char *fmt, ...);
/* The HTTP status, gRPC code and short name of a code: one table for every protocol. */
int err_http_status(int code);
int err_grpc_code(int code);
const char *err_name(int code);

#endif

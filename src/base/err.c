/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int http;
    int grpc;
    const char *name;
} codes[] = {
    [0] = {200, 0, "ok"},
    [-ERR_BAD_INPUT] = {400, 3, "bad input"},
    [-ERR_INVALID] = {422, 3, "invalid"},
    [-ERR_NOT_FOUND] = {404, 5, "not found"},
    [-ERR_EXISTS] = {409, 6, "already exists"},
    [-ERR_CONFLICT] = {409, 10, "conflict"},
    [-ERR_GONE] = {410, 11, "gone"},
    [-ERR_LIMIT] = {413, 8, "limit"},
    [-ERR_FORBIDDEN] = {403, 7, "forbidden"},
    [-ERR_UNAUTHORIZED] = {401, 16, "unauthorized"},
    [-ERR_UNAVAILABLE] = {503, 14, "unavailable"},
    [-ERR_TIMEOUT] = {504, 4, "timeout"},
    [-ERR_CANCELED] = {499, 1, "canceled"},
    [-ERR_UNSUPPORTED] = {501, 12, "unsupported"},
    [-ERR_IO] = {500, 15, "i/o"},
    [-ERR_INTERNAL] = {500, 13, "internal"},
};

static unsigned index_of(int code)
{
    if (code > 0 || -code >= (int)(sizeof(codes) / sizeof(codes[0])))
        return (unsigned)-ERR_INTERNAL;
    return (unsigned)-code;
}

int err_http_status(int code)
{
    return codes[index_of(code)].http;
}

int err_grpc_code(int code)
{
    return codes[index_of(code)].grpc;
}

const char *err_name(int code)
{
    return codes[index_of(code)].name;
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
    va_list ap;

    if (!err)
        return code;
    err->code = code;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    return code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    char was[sizeof(err->msg)];
    va_list ap;
    int n;

    if (!err)
        return ERR_INTERNAL;
    memcpy(was, err->msg, sizeof(was));
    va_start(ap, fmt);
    n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n + 3 < sizeof(err->msg))
        snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", was);
    return err->code;
}

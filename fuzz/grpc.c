/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages out of a stream of bytes: however it is cut, the reader must find the same, and never
 * more than its bound. The first byte: 'g' gzip, 'z' zstd, 't' a grpc-timeout and a grpc-message,
 * 'r' a symbol asked of reflection; anything else no encoding. */
#include <stdint.h>

#include "net/grpc_reflection.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGE_MAX 5000

static void read_all(struct str all, enum compression c, size_t step, struct buf *out)
{
    struct grpc_reader r;
    struct err err = ERR_INIT;
    struct str m;
    int got = 0;

    grpc_reader_init(&r, MESSAGE_MAX);
    r.encoding = c;
    for (size_t at = 0; at < all.n && got >= 0; at += step) {
        grpc_reader_feed(&r, str_n(all.p + at, all.n - at < step ? all.n - at : step));
        while ((got = grpc_reader_next(&r, &m, &err)) == 1) {
            if (m.n > MESSAGE_MAX)
                __builtin_trap();
            buf_printf(out, "%zu:", m.n);
            buf_add_str(out, m);
        }
    }
    buf_printf(out, got < 0 ? "refused %d %s" : "%d", got, err.msg);
    grpc_reader_done(&r);
}

static void values(struct str s)
{
    AUTO(buf_done) struct buf b = BUF_INIT;
    char text[64], again[64];
    int64_t ns;

    if (grpc_timeout_parse(s, &ns)) {
        if (ns < 0)
            __builtin_trap();
        grpc_timeout_text(ns, text);
        if (!grpc_timeout_parse(str_of(text), &ns))
            __builtin_trap();
    }
    grpc_message_decode(s, text, sizeof(text));
    if (!str_is_utf8(str_of(text)))
        __builtin_trap();
    grpc_message_encode(&b, str_of(text));
    grpc_message_decode(buf_str(&b), again, sizeof(again));
    if (strcmp(text, again) != 0)
        __builtin_trap();
}

static void reflect(struct str s)
{
    struct str files[] = {grpc_file_health, grpc_file_reflection_v1, s};
    struct grpc_reflection r = {.files = files, .n_files = 2};
    struct grpc_server *server = grpc_server_new();
    struct pb_field f = {.wire = PB_BYTES, .bytes = s};

    r.server = server;
    r.n_files = s.n && first_bytes(s, 1).n ? 3 : 2; /* the bytes themselves as a file, too */
    for (f.number = 3; f.number <= 7; f.number++) {
        AUTO(buf_done) struct buf out = BUF_INIT;

        answer(&r, &out, &f);
    }
    grpc_server_free(server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {65536, 1, 13};
    struct buf said[ARRAY_LEN(steps)] = {{0}};
    enum compression c = COMPRESSION_NONE;
    struct str all;

    if (size == 0 || size > 20000)
        return 0;
    all = str_n((const char *)data + 1, size - 1);
    if (data[0] == 't') {
        values(all);
        return 0;
    }
    if (data[0] == 'r') {
        reflect(all);
        return 0;
    }
    c = data[0] == 'g' ? COMPRESSION_GZIP : data[0] == 'z' ? COMPRESSION_ZSTD : c;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        read_all(all, c, steps[i], &said[i]);
    for (size_t i = 1; i < ARRAY_LEN(steps); i++)
        if (!str_eq(buf_str(&said[0]), buf_str(&said[i])))
            __builtin_trap();
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        buf_done(&said[i]);
    return 0;
}

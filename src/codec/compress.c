/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/compress.h"

#include <stdint.h>
#include <zlib.h>
#include <zstd.h>

#define STEP ((size_t)64 << 10)
/* A frame may ask its reader to keep that much of what it has said: 8 MiB, what RFC 9659 allows. */
#define ZSTD_WINDOW_LOG_MAX 23

bool compression_named(struct str name, enum compression *ret)
{
    static const struct {
        const char *name;
        enum compression c;
    } names[] = {{"", COMPRESSION_NONE},
                 {"identity", COMPRESSION_NONE},
                 {"gzip", COMPRESSION_GZIP},
                 {"x-gzip", COMPRESSION_GZIP},
                 {"zstd", COMPRESSION_ZSTD}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (str_eq_nocase(name, str_of(names[i].name))) {
            *ret = names[i].c;
            return true;
        }
    }
    return false;
}

const char *compression_name(enum compression c)
{
    return c == COMPRESSION_GZIP ? "gzip" : c == COMPRESSION_ZSTD ? "zstd" : "identity";
}

/* Room for some more bytes, never beyond the maximum; NULL when that is reached. */
static char *step_room(struct buf *out, size_t *ret_n)
{
    size_t max = out->max ? out->max : BUF_MAX_DEFAULT;
    size_t left = out->n < max ? max - out->n : 0;

    *ret_n = left < STEP ? left : STEP;
    return *ret_n ? buf_room(out, *ret_n) : NULL;
}

static int too_large(const struct buf *out, struct err *err)
{
    return err_set(err, ERR_LIMIT, "decompressed it is over the limit of %zu bytes",
                   out->max ? out->max : BUF_MAX_DEFAULT);
}

static int gunzip(struct str in, struct buf *out, struct err *err)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in.p, .avail_in = (uInt)in.n};
    char spare;
    int code = 0, r = Z_OK;

    if (in.n > UINT32_MAX)
        return err_set(err, ERR_LIMIT, "over 4 GiB of gzip");
    if (inflateInit2(&z, 15 + 16) != Z_OK) /* gzip's header only */
        return err_set(err, ERR_INTERNAL, "zlib: no memory");
    while (code == 0) {
        size_t n;
        char *room = step_room(out, &n);

        /* one byte beside the buffer tells an end at exactly the maximum from too much */
        z.next_out = (Bytef *)(room ? room : &spare);
        z.avail_out = room ? (uInt)n : 1;
        r = inflate(&z, Z_NO_FLUSH);
        if (room)
            buf_added(out, n - z.avail_out);
        else if (z.avail_out == 0)
            code = too_large(out, err);
        if (code < 0)
            break;
        if (r == Z_STREAM_END && z.avail_in == 0)
            break;
        if (r == Z_STREAM_END)
            r = inflateReset(&z); /* a further member */
        else if (r == Z_BUF_ERROR || (r == Z_OK && z.avail_in == 0 && z.avail_out != 0))
            code = err_set(err, ERR_BAD_INPUT, "the gzip data is cut off");
        if (code == 0 && r != Z_OK)
            code = err_set(err, ERR_BAD_INPUT, "not gzip: %s", z.msg ? z.msg : zError(r));
    }
    inflateEnd(&z);
    return code;
}

static int unzstd(struct str in, struct buf *out, struct err *err)
{
    ZSTD_DCtx *z = ZSTD_createDCtx();
    ZSTD_inBuffer from = {in.p, in.n, 0};
    size_t left = 1;
    char spare;
    int code = 0;

    if (!z)
        return err_set(err, ERR_INTERNAL, "zstd: no memory");
    ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    while (code == 0 && (from.pos < from.size || left != 0)) {
        size_t n, was = from.pos;
        char *room = step_room(out, &n);
        ZSTD_outBuffer to = {room ? room : &spare, room ? n : 1, 0};

        left = ZSTD_decompressStream(z, &to, &from);
        if (room)
            buf_added(out, to.pos);
        if (ZSTD_isError(left))
            code = err_set(err, ERR_BAD_INPUT, "not zstd: %s", ZSTD_getErrorName(left));
        else if (!room && to.pos)
            code = too_large(out, err);
        else if (left != 0 && from.pos == from.size && from.pos == was && to.pos == 0)
            code = err_set(err, ERR_BAD_INPUT, "the zstd data is cut off");
    }
    ZSTD_freeDCtx(z);
    return code;
}

int decompress_body(enum compression c, struct str in, struct buf *out, struct err *err)
{
    if (c == COMPRESSION_GZIP)
        return gunzip(in, out, err);
    if (c == COMPRESSION_ZSTD)
        return unzstd(in, out, err);
    buf_add_str(out, in);
    return out->overflow ? too_large(out, err) : 0;
}

static int gzip(struct str in, struct buf *out, struct err *err)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in.p, .avail_in = (uInt)in.n};
    size_t bound;
    char *room;
    int r;

    if (in.n > UINT32_MAX / 2)
        return err_set(err, ERR_LIMIT, "over 2 GiB to compress");
    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return err_set(err, ERR_INTERNAL, "zlib: no memory");
    bound = deflateBound(&z, in.n);
    room = buf_room(out, bound);
    z.next_out = (Bytef *)room;
    z.avail_out = (uInt)bound;
    r = room ? deflate(&z, Z_FINISH) : Z_BUF_ERROR;
    if (r == Z_STREAM_END)
        buf_added(out, bound - z.avail_out);
    deflateEnd(&z);
    return r == Z_STREAM_END ? 0 : err_set(err, ERR_LIMIT, "no room for the compressed bytes");
}

static int to_zstd(struct str in, struct buf *out, struct err *err)
{
    size_t bound = ZSTD_compressBound(in.n), n;
    char *room = buf_room(out, bound);

    if (!room)
        return err_set(err, ERR_LIMIT, "no room for the compressed bytes");
    n = ZSTD_compress(room, bound, in.p, in.n, 1);
    if (ZSTD_isError(n))
        return err_set(err, ERR_INTERNAL, "zstd: %s", ZSTD_getErrorName(n));
    buf_added(out, n);
    return 0;
}

int compress_body(enum compression c, struct str in, struct buf *out, struct err *err)
{
    if (c == COMPRESSION_GZIP)
        return gzip(in, out, err);
    if (c == COMPRESSION_ZSTD)
        return to_zstd(in, out, err);
    buf_add_str(out, in);
    return out->overflow ? err_set(err, ERR_LIMIT, "no room") : 0;
}

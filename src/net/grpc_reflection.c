/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptors are read where they lie each time somebody asks, which is seldom: no index, no tree.
 * What a name belongs to is found by walking all declarations of a file (visit). */
#include "net/grpc_reflection.h"

#include <stdlib.h>

#include "base/mem.h"
#include "codec/protobuf.h"
#include "codec/protobuf_write.h"
#include "net/grpc_files.h"

#define FILES_MAX 256
#define DEPTH_MAX 32 /* of messages declared in messages */
#define NAME_MAX_BYTES 1000

struct grpc_reflection {
    struct grpc_server *server;
    struct str *files;
    size_t n_files, cap_files;
    struct grpc_service v1, v1alpha;
};

/* --- reading descriptors --- */

/* The next field of that number with bytes in a message; false at its end. */
static bool next_bytes(struct str *message, uint64_t number, struct str *ret)
{
    struct pb_field f;

    while (message->n && pb_next(message, &f)) {
        if (f.number == number && f.wire == PB_BYTES) {
            *ret = f.bytes;
            return true;
        }
    }
    return false;
}

static struct str first_bytes(struct str message, uint64_t number)
{
    struct str s = STR_NONE;

    next_bytes(&message, number, &s);
    return s;
}

static uint64_t first_varint(struct str message, uint64_t number)
{
    struct pb_field f;

    while (message.n && pb_next(&message, &f))
        if (f.number == number && f.wire == PB_VARINT)
            return f.value;
    return 0;
}

/* What is looked for in a file. */
struct search {
    struct str symbol;   /* a full name, or empty */
    struct str extended; /* a type that is extended, or empty */
    uint64_t number;     /* of the extension; 0: all, each added to numbers */
    struct buf *numbers; /* ExtensionNumberResponse */
    struct buf name;     /* full name of the scope being walked */
    bool is_found;
};

static size_t enter(struct search *q, struct str name)
{
    size_t was = q->name.n;

    if (was && name.n)
        buf_add_char(&q->name, '.');
    buf_add_str(&q->name, name);
    if (q->symbol.n && str_eq(buf_str(&q->name), q->symbol))
        q->is_found = true;
    return was;
}

static void leave(struct search *q, size_t was)
{
    q->name.n = was;
}

static void visit_extension(struct search *q, struct str field)
{
    struct str extendee = first_bytes(field, 2);
    uint64_t number = first_varint(field, 3);

    if (extendee.n && extendee.p[0] == '.')
        extendee = str_skip(extendee, 1);
    if (!q->extended.n || !str_eq(extendee, q->extended))
        return;
    if (q->number == 0)
        pb_put_varint(q->numbers, 2, number);
    if (q->number == 0 || q->number == number)
        q->is_found = true;
}

/* Declarations of one scope: number of the field -> what is declared there. */
enum declared { DECL_MESSAGE, DECL_ENUM, DECL_SERVICE, DECL_EXTENSION, DECL_LEAF, DECL_NONE };

static enum declared kind_of(enum declared in, uint64_t number)
{
    static const enum declared of_file[] = {
        [4] = DECL_MESSAGE, [5] = DECL_ENUM, [6] = DECL_SERVICE, [7] = DECL_EXTENSION};
    static const enum declared of_message[] = {[2] = DECL_LEAF,
                                               [3] = DECL_MESSAGE,
                                               [4] = DECL_ENUM,
                                               [6] = DECL_EXTENSION,
                                               [8] = DECL_LEAF};
    bool is_declaration;

    switch (in) {
    case DECL_NONE: /* the file itself */
        return number >= 4 && number <= 7 ? of_file[number] : DECL_NONE;
    case DECL_MESSAGE:
        is_declaration = number == 2 || number == 3 || number == 4 || number == 6 || number == 8;
        return is_declaration ? of_message[number] : DECL_NONE;
    case DECL_ENUM:
    case DECL_SERVICE:
        return number == 2 ? DECL_LEAF : DECL_NONE; /* values, methods */
    default:
        return DECL_NONE;
    }
}

static void visit(struct search *q, enum declared in, struct str scope, int depth)
{
    struct pb_field f;

    while (scope.n && pb_next(&scope, &f) && depth < DEPTH_MAX) {
        enum declared kind = f.wire == PB_BYTES ? kind_of(in, f.number) : DECL_NONE;
        size_t was;

        if (kind == DECL_NONE)
            continue;
        was = enter(q, first_bytes(f.bytes, 1));
        if (kind == DECL_EXTENSION)
            visit_extension(q, f.bytes);
        else if (kind != DECL_LEAF)
            visit(q, kind, f.bytes, depth + 1);
        leave(q, was);
    }
}

static void visit_file(struct search *q, struct str file)
{
    size_t was = enter(q, first_bytes(file, 2)); /* its package */

    q->is_found = false; /* a package is no symbol */
    visit(q, DECL_NONE, file, 0);
    leave(q, was);
}

static ptrdiff_t file_named(const struct grpc_reflection *r, struct str name)
{
    for (size_t i = 0; i < r->n_files; i++)
        if (str_eq(first_bytes(r->files[i], 1), name))
            return (ptrdiff_t)i;
    return -1;
}

static ptrdiff_t file_with(const struct grpc_reflection *r, struct search *q)
{
    ptrdiff_t found = -1;

    for (size_t i = 0; i < r->n_files && found < 0; i++) {
        visit_file(q, r->files[i]);
        if (q->is_found)
            found = (ptrdiff_t)i;
    }
    buf_done(&q->name);
    return found;
}

/* --- answers --- */

/* The file, then everything it imports that is here, each once. */
static void put_files(const struct grpc_reflection *r, size_t first, struct buf *out)
{
    bool is_in[FILES_MAX] = {false};
    size_t queue[FILES_MAX], n = 0;

    queue[n++] = first;
    is_in[first] = true;
    for (size_t i = 0; i < n; i++) {
        struct str file = r->files[queue[i]], name;

        pb_put_bytes(out, 1, file);
        while (next_bytes(&file, 3, &name)) {
            ptrdiff_t at = file_named(r, name);

            if (at >= 0 && !is_in[at]) {
                is_in[at] = true;
                queue[n++] = (size_t)at;
            }
        }
    }
}

static void put_error(struct buf *out, int code, struct str message)
{
    struct buf e = BUF_INIT;

    pb_put_varint(&e, 1, (uint64_t)code);
    pb_put_bytes(&e, 2, message);
    pb_put_bytes(out, 7, buf_str(&e));
    buf_done(&e);
}

static void answer_file(const struct grpc_reflection *r, struct buf *out, ptrdiff_t at,
                        const char *what, struct str name)
{
    struct buf files = BUF_INIT;
    AUTO_FREE char *text = NULL;

    if (at < 0) {
        text = mem_printf("%s not found: %.*s", what, STR_ARG(name));
        put_error(out, GRPC_NOT_FOUND, str_of(text));
        return;
    }
    put_files(r, (size_t)at, &files);
    pb_put_bytes(out, 4, buf_str(&files));
    buf_done(&files);
}

static void answer_numbers(const struct grpc_reflection *r, struct buf *out, struct str type)
{
    struct buf numbers = BUF_INIT;
    struct search q = {.extended = type, .numbers = &numbers};
    struct search known = {.symbol = type};

    pb_put_bytes(&numbers, 1, type);
    for (size_t i = 0; i < r->n_files; i++)
        visit_file(&q, r->files[i]);
    buf_done(&q.name);
    if (file_with(r, &known) >= 0)
        pb_put_bytes(out, 5, buf_str(&numbers));
    else
        answer_file(r, out, -1, "type", type);
    buf_done(&numbers);
}

static void answer_services(const struct grpc_reflection *r, struct buf *out)
{
    struct buf list = BUF_INIT, one = BUF_INIT;
    const struct grpc_service *s;

    for (size_t i = 0; (s = grpc_server_service(r->server, i)); i++) {
        buf_clear(&one);
        pb_put_bytes(&one, 1, str_of(s->name));
        pb_put_bytes(&list, 1, buf_str(&one));
    }
    pb_put_bytes(out, 6, buf_str(&list));
    buf_done(&list);
    buf_done(&one);
}

static void answer(const struct grpc_reflection *r, struct buf *out, const struct pb_field *f)
{
    struct search q = {0};

    switch (f->number) {
    case 3:
        answer_file(r, out, file_named(r, f->bytes), "file", f->bytes);
        return;
    case 4:
        q.symbol = f->bytes.n ? f->bytes : STR(" ");
        answer_file(r, out, file_with(r, &q), "symbol", f->bytes);
        return;
    case 5:
        q.extended = first_bytes(f->bytes, 1);
        q.number = first_varint(f->bytes, 2);
        answer_file(r, out, q.number ? file_with(r, &q) : -1, "extension", q.extended);
        return;
    case 6:
        answer_numbers(r, out, f->bytes);
        return;
    default:
        answer_services(r, out);
        return;
    }
}

static void on_message(void *arg, struct grpc_x *x, struct str message, bool end)
{
    const struct grpc_reflection *r = arg;
    struct pb_field f, asked = {0};
    struct buf out = BUF_INIT;
    struct str rest = message;

    if (end) {
        grpc_x_end(x, GRPC_OK, NULL);
        return;
    }
    while (rest.n) {
        if (!pb_next(&rest, &f)) {
            grpc_x_end(x, GRPC_INTERNAL, "the request is not a ServerReflectionRequest");
            return;
        }
        if (f.wire == PB_BYTES && f.number >= 3 && f.number <= 7)
            asked = f; /* of a oneof the last one counts */
    }
    pb_put_bytes_if(&out, 1, first_bytes(message, 1));
    pb_put_bytes(&out, 2, message);
    if (asked.number == 0 || asked.bytes.n > NAME_MAX_BYTES)
        put_error(&out, GRPC_INVALID_ARGUMENT, STR("the request asks for nothing known here"));
    else
        answer(r, &out, &asked);
    if (!grpc_x_send(x, buf_str(&out)))
        grpc_x_pause(x, true); /* until the answers before are read */
    buf_done(&out);
}

static void on_drain(void *arg, struct grpc_x *x)
{
    (void)arg;
    grpc_x_pause(x, false);
}

static void info(void *ctx, struct grpc_x *x)
{
    grpc_x_on_drain(x, on_drain, ctx);
    grpc_x_read(x, on_message, ctx);
}

static const struct grpc_method methods[] = {{"ServerReflectionInfo", NULL, info}};

static void add_service(struct grpc_reflection *r, struct grpc_service *s, const char *name)
{
    *s = (struct grpc_service){.name = name,
                               .methods = methods,
                               .n_methods = ARRAY_LEN(methods),
                               .ctx = r,
                               .max_message = 4096};
    grpc_server_add(r->server, s);
}

struct grpc_reflection *grpc_reflection_new(struct grpc_server *s)
{
    struct grpc_reflection *r = mem_zalloc(sizeof(*r));

    r->server = s;
    FB_ASSERT(grpc_reflection_add(r, grpc_file_health, NULL) == 0 &&
              grpc_reflection_add(r, grpc_file_reflection_v1, NULL) == 0 &&
              grpc_reflection_add(r, grpc_file_reflection_v1alpha, NULL) == 0);
    add_service(r, &r->v1, "grpc.reflection.v1.ServerReflection");
    add_service(r, &r->v1alpha, "grpc.reflection.v1alpha.ServerReflection");
    return r;
}

void grpc_reflection_free(struct grpc_reflection *r)
{
    if (!r)
        return;
    free(r->files);
    free(r);
}

int grpc_reflection_add(struct grpc_reflection *r, struct str file, struct err *err)
{
    struct str rest = file;
    struct pb_field f;

    while (rest.n)
        if (!pb_next(&rest, &f))
            return err_set(err, ERR_BAD_INPUT, "not a serialized FileDescriptorProto");
    if (first_bytes(file, 1).n == 0)
        return err_set(err, ERR_BAD_INPUT, "a FileDescriptorProto without a name");
    if (r->n_files == FILES_MAX)
        return err_set(err, ERR_LIMIT, "more than %d files", FILES_MAX);
    mem_grow(&r->files, &r->cap_files, r->n_files);
    r->files[r->n_files++] = file;
    return 0;
}

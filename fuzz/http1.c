/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "base/mem.h"
#include "net/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the parser says, as text: however the bytes are cut, it must say the same. */
static void on_head(void *arg, const struct h1_head *head)
{
    struct buf *out = arg;

    buf_printf(out, "head %.*s %.*s %d", STR_ARG(head->method), STR_ARG(head->target),
               head->status);
    for (size_t i = 0; i < head->headers.n; i++)
        buf_printf(out, " %.*s=%.*s", STR_ARG(head->headers.items[i].name),
                   STR_ARG(head->headers.items[i].value));
    buf_printf(out, " %d%d\n", head->keep_alive, head->has_body);
}

static void on_body(void *arg, struct str part)
{
    buf_add_str(arg, part);
}

static void on_end(void *arg)
{
    buf_add_cstr(arg, "\nend\n");
}

static const struct h1_events events = {on_head, on_body, on_end};

static void parse(struct str all, bool is_response, size_t step, struct buf *out)
{
    struct h1_parser h = {0};
    struct err err = ERR_INIT;
    int status = 0, r = 0;
    size_t used;

    h1_init(&h, is_response, &events, out);
    while (all.n && r >= 0) {
        r = h1_feed(&h, str_n(all.p, all.n < step ? all.n : step), &used, &status, &err);
        all = str_skip(all, used);
        if (r < 0)
            buf_printf(out, "refused %d: %s\n", status, err.msg);
        else if (r == 1)
            h1_next(&h);
    }
    h1_done(&h);
}

/* The first byte: 'r' for a response. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {1, 7, 4096};
    struct buf said[ARRAY_LEN(steps)] = {{0}};

    if (size == 0 || size > 65536)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        parse(str_n((const char *)data + 1, size - 1), data[0] == 'r', steps[i], &said[i]);
    for (size_t i = 1; i < ARRAY_LEN(steps); i++)
        if (!str_eq(buf_str(&said[0]), buf_str(&said[i])))
            __builtin_trap();
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        buf_done(&said[i]);
    return 0;
}

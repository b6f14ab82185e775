/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attrs.h"

#include "net/http.h"

static ptrdiff_t find(const struct attrs *l, struct str key)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->items[i].key, key))
            return (ptrdiff_t)i;
    return -1;
}

const struct otlpw_value *attrs_get(const struct attrs *l, struct str key)
{
    ptrdiff_t i = find(l, key);

    return i < 0 ? NULL : &l->items[i].value;
}

void attrs_set(struct arena *a, struct attrs *l, struct str key, struct otlpw_value value)
{
    ptrdiff_t i = find(l, key);

    if (i < 0) {
        l->items = arena_grow(a, l->items, &l->cap, l->n, sizeof(*l->items));
        i = (ptrdiff_t)l->n++;
        l->items[i].key = key;
    }
    l->items[i].value = value;
}

void attrs_del(struct attrs *l, struct str key)
{
    ptrdiff_t i = find(l, key);

    if (i >= 0)
        memmove(l->items + i, l->items + i + 1, (--l->n - (size_t)i) * sizeof(*l->items));
}

struct attrs attrs_copy(struct arena *a, const struct attrs *l)
{
    struct attrs copy = {.n = l->n, .cap = l->n + 4};

    copy.items = arena_alloc(a, copy.cap * sizeof(*copy.items));
    if (l->n)
        memcpy(copy.items, l->items, l->n * sizeof(*copy.items));
    return copy;
}

void attrs_write(struct buf *out, unsigned field, const struct attrs *l)
{
    for (size_t i = 0; i < l->n; i++)
        otlp_put_attribute(out, field, l->items[i].key, &l->items[i].value);
}

int attrs_parse_env(struct arena *a, struct str text, struct attrs *ret, struct err *err)
{
    struct attrs list = {0};
    struct str rest = str_trim(text), pair;

    while (rest.n && str_split(&rest, ',', &pair)) {
        ptrdiff_t eq = str_chr(pair, '=');
        struct str key = eq < 0 ? STR_NONE : str_trim(str_n(pair.p, (size_t)eq)), value;
        char *copy;
        ptrdiff_t n;

        if (rest.p && str_trim(rest).n == 0)
            rest = STR_NONE; /* one comma at the end */
        if (key.n == 0)
            return err_set(err, ERR_BAD_INPUT, "'%.*s' is not KEY=VALUE", STR_ARG(pair));
        value = str_trim(str_skip(pair, (size_t)eq + 1));
        copy = arena_strdup(a, value);
        n = http_pct_decode(copy, value.n);
        if (n < 0 || !str_is_utf8(str_n(copy, (size_t)n)))
            return err_set(err, ERR_BAD_INPUT, "the value of '%.*s' is not URL-encoded UTF-8",
                           STR_ARG(key));
        attrs_set(a, &list, arena_str(a, key), otlpw_text(str_n(copy, (size_t)n)));
    }
    *ret = list;
    return 0;
}

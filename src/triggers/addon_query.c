/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/addon_query.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/mem.h"

#define TEXT_MAX 65536

static const char *const functions[] = {[ADDON_SUM] = "sum",
                                        [ADDON_AVG] = "avg",
                                        [ADDON_MIN] = "min",
                                        [ADDON_MAX] = "max",
                                        [ADDON_COUNT] = "count"};

struct reader {
    struct str text;
    size_t at;
    struct err *err;
};

const char *addon_function_name(enum addon_function f)
{
    return functions[f];
}

static int wrong(struct reader *r, const char *why)
{
    int line = 1, column = 1;

    for (size_t i = 0; i < r->at; i++) {
        column = r->text.p[i] == '\n' ? 1 : column + 1;
        line += r->text.p[i] == '\n';
    }
    return err_set(r->err, ERR_BAD_INPUT, "%d:%d: %s", line, column, why);
}

static char peek(const struct reader *r)
{
    return r->at < r->text.n ? r->text.p[r->at] : '\0';
}

static bool is_end(const struct reader *r)
{
    return r->at >= r->text.n;
}

static void skip_blanks(struct reader *r)
{
    while (!is_end(r) && isspace((unsigned char)peek(r)))
        r->at++;
}

static bool take(struct reader *r, char c)
{
    skip_blanks(r);
    if (is_end(r) || peek(r) != c)
        return false;
    r->at++;
    return true;
}

static bool is_name_char(char c, bool is_first)
{
    return isalpha((unsigned char)c) || c == '_' || c == ':' ||
           (!is_first && (isdigit((unsigned char)c) || c == '.' || c == '/' || c == '-'));
}

/* Empty where none begins here. */
static struct str read_name(struct reader *r)
{
    size_t from;

    skip_blanks(r);
    from = r->at;
    while (!is_end(r) && is_name_char(peek(r), r->at == from))
        r->at++;
    return str_n(r->text.p + from, r->at - from);
}

/* Between quotes there are no escapes, and the add-on cuts blanks off there too. */
static int read_quoted(struct reader *r, struct str *ret)
{
    char quote = peek(r);
    size_t from = ++r->at;

    while (!is_end(r) && peek(r) != quote) {
        if (peek(r) == '\\')
            return wrong(r, "a backslash means nothing in the add-on's queries");
        r->at++;
    }
    if (is_end(r)) {
        r->at = from - 1;
        return wrong(r, "this quote is not closed");
    }
    *ret = str_trim(str_n(r->text.p + from, r->at - from));
    r->at++;
    return 0;
}

static bool is_bare_char(char c)
{
    return !isspace((unsigned char)c) && !strchr("\"'`,=~!{}()[]", c);
}

static int read_value(struct reader *r, struct str *ret)
{
    size_t from;

    skip_blanks(r);
    if (peek(r) == '"' || peek(r) == '\'')
        return read_quoted(r, ret);
    from = r->at;
    while (!is_end(r) && is_bare_char(peek(r)))
        r->at++;
    *ret = str_n(r->text.p + from, r->at - from);
    return ret->n ? 0 : wrong(r, "the label's value is expected here, such as \"default\"");
}

static int read_key(struct reader *r, struct str *ret)
{
    skip_blanks(r);
    if (peek(r) == '"' || peek(r) == '\'') {
        int failed = read_quoted(r, ret);

        if (failed < 0)
            return failed;
    } else {
        *ret = read_name(r);
    }
    return ret->n ? 0 : wrong(r, "a label's name is expected here, as in {namespace=\"default\"}");
}

static char *as_stored(struct str s)
{
    char *text = str_dup(s);

    for (size_t i = 0; i < s.n; i++)
        if (strchr("./-", text[i]))
            text[i] = '_';
    return text;
}

static void add_label(struct addon_query *q, struct str key, struct str value)
{
    q->items[q->n] = (struct label){str_of(str_dup(key)), str_of(str_dup(value))};
    q->stored[q->n++] = str_of(as_stored(key));
}

static int read_labels(struct reader *r, struct addon_query *q)
{
    struct str key, value;

    q->items = mem_array(ADDON_LABELS_MAX, sizeof(*q->items));
    q->stored = mem_array(ADDON_LABELS_MAX, sizeof(*q->stored));
    do {
        if (q->n == ADDON_LABELS_MAX)
            return wrong(r, "at most 64 labels are taken");
        if (read_key(r, &key) < 0)
            return ERR_BAD_INPUT;
        for (size_t i = 0; i < q->n; i++)
            if (str_eq(q->items[i].name, key))
                return wrong(r, "this label stands there twice; one of the two would be ignored");
        if (!take(r, '='))
            return wrong(r, "only KEY=VALUE is known here");
        if (read_value(r, &value) < 0)
            return ERR_BAD_INPUT;
        add_label(q, key, value);
    } while (take(r, ','));
    return take(r, '}') ? 0 : wrong(r, "',' or '}' is expected here");
}

static bool read_function(struct reader *r, struct str word, enum addon_function *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(functions); i++)
        if (str_is(word, functions[i]) && take(r, '(')) {
            *ret = (enum addon_function)i;
            return true;
        }
    return false;
}

static int read_query(struct reader *r, struct addon_query *q)
{
    struct str name;
    bool has_function;

    skip_blanks(r);
    if (is_end(r))
        return wrong(r, "the query is empty; write a metric's name, such as "
                        "sum(vllm:num_requests_running)");
    name = read_name(r);
    has_function = read_function(r, name, &q->function);
    if (has_function)
        name = read_name(r);
    if (!name.n)
        return wrong(r, "a metric's name is expected here");
    q->name = str_dup(name);
    q->stored_name = as_stored(name);
    if (take(r, '{') && read_labels(r, q) < 0)
        return ERR_BAD_INPUT;
    if (has_function && !take(r, ')'))
        return wrong(r, "')' is expected here");
    skip_blanks(r);
    return is_end(r) ? 0 : wrong(r, "nothing may follow here");
}

int addon_query_parse(struct str text, struct addon_query *ret, struct err *err)
{
    struct addon_query q = {0};
    struct reader r = {text, 0, err};
    int failed;

    *ret = q;
    if (text.n > TEXT_MAX)
        return err_set(err, ERR_BAD_INPUT, "the query is longer than 64 KiB");
    if (text.n && (memchr(text.p, '\0', text.n) || !str_is_utf8(text)))
        return err_set(err, ERR_BAD_INPUT, "the query is not text");
    failed = read_query(&r, &q);
    if (failed < 0) {
        addon_query_done(&q);
        return failed;
    }
    *ret = q;
    return 0;
}

void addon_query_done(struct addon_query *q)
{
    for (size_t i = 0; i < q->n; i++) {
        free((char *)(uintptr_t)q->items[i].name.p);
        free((char *)(uintptr_t)q->items[i].value.p);
        free((char *)(uintptr_t)q->stored[i].p);
    }
    free(q->items);
    free(q->stored);
    free(q->name);
    free(q->stored_name);
    *q = (struct addon_query){0};
}

bool addon_query_matches(const struct addon_query *q, const struct series *s)
{
    for (size_t k = 0; k < series_n_labels(s); k++) {
        const struct label *l = series_nth_label(s, k);

        for (size_t i = 0; i < q->n; i++)
            if ((str_eq(l->name, q->items[i].name) || str_eq(l->name, q->stored[i])) &&
                !str_eq(l->value, q->items[i].value))
                return false;
    }
    return true;
}

bool addon_query_is_exact(const struct addon_query *q, const struct series *s)
{
    size_t n = series_n_labels(s), asked = 0, equal = 0;

    for (size_t i = 0; i < q->n; i++) {
        asked += q->items[i].value.n > 0; /* an empty one asks for a label that is not there */
        for (size_t k = 0; k < n; k++) {
            const struct label *l = series_nth_label(s, k);

            equal += (str_eq(l->name, q->items[i].name) || str_eq(l->name, q->stored[i])) &&
                     str_eq(l->value, q->items[i].value);
        }
    }
    return n == asked + 1 && equal == asked;
}

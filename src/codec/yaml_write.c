/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/yaml.h"

#include <ctype.h>

/* Words that YAML 1.1 readers take for something else than text. */
static bool is_reserved(struct str s)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on",
                                        "off",  "null",  "y",   "n"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (str_eq_nocase(s, str_of(words[i])))
            return true;
    return false;
}

/* Whether every reader takes the bare characters for this text. Anything that starts with a digit,
 * a sign or punctuation is quoted: cheaper than knowing all forms of numbers and dates. */
static bool is_plain(struct str s)
{
    if (s.n == 0 || !(isalpha((unsigned char)s.p[0]) || s.p[0] == '_' || s.p[0] == '/'))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!isalnum((unsigned char)c) && !strchr("_./-", c) && !(c == ':' && i + 1 < s.n))
            return false;
    }
    return !is_reserved(s);
}

static void write_text(struct buf *out, struct str s)
{
    if (is_plain(s))
        buf_add_str(out, s);
    else
        json_write_str(out, s); /* a JSON string is a double-quoted scalar */
}

static void indent(struct buf *out, size_t depth)
{
    for (size_t i = 0; i < depth; i++)
        buf_add_cstr(out, "  ");
}

static bool is_nested(const json_t *v)
{
    return json_object_size(v) > 0 || json_array_size(v) > 0;
}

/* v at that depth; the cursor stands where its first line begins. */
static void write_value(struct buf *out, const json_t *v, size_t depth)
{
    const char *key;
    const json_t *x;
    size_t i = 0;
    bool first = true;

    if (!is_nested(v)) {
        if (json_is_string(v))
            write_text(out, json_strv(v));
        else
            json_write(out, v);
        buf_add_char(out, '\n');
        return;
    }
    json_members (v, key, x) {
        if (!first)
            indent(out, depth);
        first = false;
        write_text(out, str_of(key));
        buf_add_char(out, ':');
        if (is_nested(x)) {
            buf_add_char(out, '\n');
            indent(out, depth + 1);
        } else {
            buf_add_char(out, ' ');
        }
        write_value(out, x, depth + 1);
    }
    json_array_foreach ((json_t *)v, i, x) {
        if (i)
            indent(out, depth);
        buf_add_cstr(out, "- ");
        write_value(out, x, depth + 1);
    }
}

void yaml_write(struct buf *out, const json_t *v)
{
    write_value(out, v, 0);
}

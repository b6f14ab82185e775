/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/promtext.h"

#include <math.h>
#include <stdlib.h>

#include "base/buf.h"

struct reader {
    struct str line;
    size_t at;
    struct buf unescaped; /* values with escapes; offsets until the line is whole */
    const char *why;
};

static bool is_name_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
           (unsigned char)c >= 0x80 || (!first && c >= '0' && c <= '9');
}

static void blanks(struct reader *r)
{
    while (r->at < r->line.n && (r->line.p[r->at] == ' ' || r->line.p[r->at] == '\t'))
        r->at++;
}

static struct str name(struct reader *r)
{
    size_t from = r->at;

    while (r->at < r->line.n && is_name_char(r->line.p[r->at], r->at == from))
        r->at++;
    return (struct str){r->line.p + from, r->at - from};
}

/* Behind the opening quote. Values without escapes are slices of the line. */
static bool quoted(struct reader *r, struct str *ret)
{
    size_t from = r->at, base = r->unescaped.n;
    bool escaped = false;

    for (; r->at < r->line.n && r->line.p[r->at] != '"'; r->at++) {
        char c = r->line.p[r->at];

        if (c == '\\' && r->at + 1 < r->line.n) {
            if (!escaped)
                buf_add(&r->unescaped, r->line.p + from, r->at - from);
            escaped = true;
            c = r->line.p[++r->at];
            c = c == 'n' ? '\n' : c;
        }
        if (escaped)
            buf_add_char(&r->unescaped, c);
    }
    if (r->at >= r->line.n)
        return false;
    r->at++;
    *ret = escaped ? (struct str){r->unescaped.p + base, r->unescaped.n - base}
                   : (struct str){r->line.p + from, r->at - 1 - from};
    return true;
}

static bool labels(struct reader *r, struct promtext_sample *s)
{
    for (;;) {
        struct str n, v;

        blanks(r);
        if (r->at < r->line.n && r->line.p[r->at] == '}') {
            r->at++;
            return true;
        }
        if (r->at < r->line.n &&
            r->line.p[r->at] == '"') { /* a quoted (UTF-8) name, of a label or the metric */
            r->at++;
            if (!quoted(r, &n))
                return false;
            blanks(r);
            if (r->at < r->line.n && r->line.p[r->at] != '=') {
                s->name = n;
                if (r->line.p[r->at] == ',')
                    r->at++;
                continue;
            }
        } else {
            n = name(r);
        }
        blanks(r);
        if (n.n == 0 || r->at >= r->line.n || r->line.p[r->at++] != '=')
            return false;
        blanks(r);
        if (r->at >= r->line.n || r->line.p[r->at++] != '"' || !quoted(r, &v) ||
            s->n_labels == PROMTEXT_LABELS_MAX)
            return false;
        s->labels[s->n_labels++] = (struct promtext_label){n, v};
        blanks(r);
        if (r->at < r->line.n && r->line.p[r->at] == ',')
            r->at++;
    }
}

static struct str token(struct reader *r)
{
    size_t from;

    blanks(r);
    from = r->at;
    while (r->at < r->line.n && r->line.p[r->at] != ' ' && r->line.p[r->at] != '\t')
        r->at++;
    return (struct str){r->line.p + from, r->at - from};
}

/* Short decimal numbers, which is nearly all of them, without strtod. */
static bool number(struct str s, double *ret)
{
    static const double pow10[] = {1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    uint64_t v = 0;
    size_t i = 0, digits = 0, frac = 0;
    bool neg = s.n && s.p[0] == '-', dot = false;

    for (i = neg; i < s.n && digits <= 15; i++) {
        if (s.p[i] == '.' && !dot) {
            dot = true;
        } else if (s.p[i] >= '0' && s.p[i] <= '9') {
            v = v * 10 + (uint64_t)(s.p[i] - '0');
            digits++;
            frac += dot;
        } else {
            break;
        }
    }
    if (i == s.n && digits > 0 && digits <= 15) {
        *ret = (double)v / pow10[frac];
        *ret = neg ? -*ret : *ret;
        return true;
    }
    for (i = 0; i < s.n; i++) /* strtod would take "0x1p" and "infinity and beyond" */
        if (s.p[i] == 'x' || s.p[i] == 'X' || s.p[i] == '(' || s.p[i] == '_')
            return false;
    return str_to_double(s, ret);
}

static bool sample_line(struct reader *r, bool om, struct promtext_sample *s)
{
    struct str t;
    double seconds;

    s->n_labels = 0;
    s->has_time = false;
    buf_clear(&r->unescaped);
    buf_room(&r->unescaped, r->line.n); /* slices into it stay */
    r->at = 0;
    r->why = "a metric name expected";
    s->name = name(r);
    if (r->at < r->line.n && r->line.p[r->at] == '{') {
        r->at++;
        r->why = "the labels are malformed";
        if (!labels(r, s))
            return false;
    }
    if (s->name.n == 0)
        return false;
    s->line_key = (struct str){r->line.p, r->at};
    r->why = "a number expected";
    if (!number(token(r), &s->value))
        return false;
    t = token(r);
    if (t.n == 0 || t.p[0] == '#')
        return true;
    r->why = "the timestamp is not a number";
    s->has_time = true;
    if (om) {
        if (!number(t, &seconds) || !isfinite(seconds) || fabs(seconds) > 9e15)
            return false;
        s->t_ms = (int64_t)llround(seconds * 1000);
    } else if (!str_to_i64(t, &s->t_ms)) {
        return false;
    }
    t = token(r);
    r->why = "text behind the sample";
    return t.n == 0 || t.p[0] == '#';
}

int promtext_parse(struct str text, bool om, bool (*fn)(void *arg, const struct promtext_sample *s),
                   void *arg, struct err *err)
{
    static _Thread_local struct promtext_sample s;
    struct reader r = {0};
    size_t line_no = 0;
    struct str line;
    int rc = 0;

    while (rc == 0 && str_split(&text, '\n', &line)) {
        line_no++;
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        line = str_trim(line);
        if (om && str_is(line, "# EOF"))
            break;
        if (line.n == 0 || line.p[0] == '#')
            continue;
        r.line = line;
        if (!sample_line(&r, om, &s))
            rc = err_set(err, ERR_BAD_INPUT, "line %zu: %s: '%.*s'", line_no, r.why,
                         (int)(line.n < 80 ? line.n : 80), line.p);
        else if (!fn(arg, &s))
            break;
    }
    buf_done(&r.unescaped);
    return rc;
}

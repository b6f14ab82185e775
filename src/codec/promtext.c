/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/promtext.h"

#include <math.h>

#include "base/buf.h"
#include "base/mem.h"
#include "codec/promtext_int.h"

/* Character classes: first and further characters of label and metric names. */
enum { LABEL_FIRST = 1, LABEL = 2, METRIC_FIRST = 4, METRIC = 8 };

static const uint8_t classes[256] = {
    ['a' ... 'z'] = LABEL_FIRST | LABEL | METRIC_FIRST | METRIC,
    ['A' ... 'Z'] = LABEL_FIRST | LABEL | METRIC_FIRST | METRIC,
    ['_'] = LABEL_FIRST | LABEL | METRIC_FIRST | METRIC,
    ['0' ... '9'] = LABEL | METRIC,
    [':'] = METRIC_FIRST | METRIC,
};

struct reader {
    const char *begin, *p, *end;
    bool om;
    enum promtext_type type;
    struct buf scratch; /* unescaped texts of the line at hand; made large enough at once */
    const char *why;
};

/* --- numbers --- */

static bool is_end(char c)
{
    return c == '\n' || c == ' ' || c == '\t';
}

/* Decimal numbers whose digits fit a double's 53 bits and whose power of ten is exact too, which is
 * nearly all of them; the others are left to strtod. */
static bool quick_number(struct reader *r, double *ret)
{
    static const double pow10[] = {1,    1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char *p = r->p, *end = r->end, *from;
    uint64_t m = 0;
    int exp10 = 0;
    bool neg = false;
    double v;

    if (p < end && (*p == '-' || *p == '+'))
        neg = *p++ == '-';
    from = p;
    for (; p < end && (unsigned)(*p - '0') < 10; p++)
        m = m * 10 + (unsigned)(*p - '0');
    if (p < end && *p == '.') {
        const char *dot = p++;

        for (; p < end && (unsigned)(*p - '0') < 10; p++)
            m = m * 10 + (unsigned)(*p - '0');
        exp10 = (int)(dot + 1 - p);
    }
    if (p - from < 1 || p - from > 19 || (p - from == 1 && *from == '.'))
        return false;
    if (p < end && (*p | 0x20) == 'e') {
        bool down = false;
        int e = 0;

        if (++p < end && (*p == '-' || *p == '+'))
            down = *p++ == '-';
        from = p;
        for (; p < end && p - from < 5 && (unsigned)(*p - '0') < 10; p++)
            e = e * 10 + (*p - '0');
        if (p == from)
            return false;
        exp10 += down ? -e : e;
    }
    if ((p < end && !is_end(*p)) || m > (1ULL << 53) || (m && (exp10 < -22 || exp10 > 22)))
        return false;
    v = (double)m;
    if (m)
        v = exp10 < 0 ? v / pow10[-exp10] : v * pow10[exp10];
    *ret = neg ? -v : v;
    r->p = p;
    return true;
}

static struct str token(struct reader *r)
{
    const char *from = r->p;

    while (r->p < r->end && !is_end(*r->p))
        r->p++;
    return str_n(from, (size_t)(r->p - from));
}

static bool number(struct reader *r, double *ret)
{
    return quick_number(r, ret) || promtext_number(token(r), ret);
}

static bool is_canonical_label(const struct reader *r, struct str name)
{
    return r->type == PROMTEXT_HISTOGRAM ? name.n == 2 && memcmp(name.p, "le", 2) == 0
           : r->type == PROMTEXT_SUMMARY ? str_is(name, "quantile")
                                         : false;
}

/* --- pieces --- */

static bool fail(struct reader *r, const char *why)
{
    r->why = why;
    return false;
}

static void blanks(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t'))
        r->p++;
}

static bool at(const struct reader *r, char c)
{
    return r->p < r->end && *r->p == c;
}

static bool at_line_end(const struct reader *r)
{
    return r->p == r->end || *r->p == '\n';
}

static struct str name(struct reader *r, unsigned first, unsigned further)
{
    const char *from = r->p;

    if (r->p < r->end && classes[(unsigned char)*r->p] & first)
        for (r->p++; r->p < r->end && classes[(unsigned char)*r->p] & further; r->p++)
            ;
    return str_n(from, (size_t)(r->p - from));
}

/* \\ and \n, and \" where quote is set; everything else stays as it stands. */
static struct str unescape(struct reader *r, struct str s, bool quote)
{
    struct buf *b = &r->scratch;
    size_t from;

    if (b->cap == 0) /* once: slices of it must not move. Unescaping never makes longer. */
        buf_room(b, (size_t)(r->end - r->begin) + 2 * PROMTEXT_LABELS_MAX * PROMTEXT_CANONICAL_MAX);
    from = b->n;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], next = c == '\\' && i + 1 < s.n ? s.p[i + 1] : '\0';

        if (next == '\\' || next == 'n' || (quote && next == '"')) {
            c = next == 'n' ? '\n' : next;
            i++;
        }
        buf_add_char(b, c);
    }
    return str_n(b->p + from, b->n - from);
}

/* From the opening quote. Without escapes it is a slice of the page. */
static bool quoted(struct reader *r, struct str *ret)
{
    const char *from = ++r->p;
    bool escaped = false;
    unsigned char all = 0;

    for (; r->p < r->end && *r->p != '"'; r->p++) {
        all |= (unsigned char)*r->p;
        if (*r->p == '\\') {
            escaped = true;
            if (++r->p == r->end || *r->p == '\n')
                break;
            all |= (unsigned char)*r->p;
        } else if (*r->p == '\n' && r->om) {
            break;
        }
    }
    if (!at(r, '"'))
        return fail(r, "a quote is not closed");
    *ret = str_n(from, (size_t)(r->p++ - from));
    if (all & 0x80 && !str_is_utf8(*ret))
        return fail(r, "the text in quotes is not UTF-8");
    if (escaped)
        *ret = unescape(r, *ret, true);
    return true;
}

static bool add_label(struct reader *r, struct promtext_label *labels, size_t *n, struct str name,
                      struct str value)
{
    if (*n == PROMTEXT_LABELS_MAX)
        return fail(r, "more than 64 labels");
    for (size_t i = 0; i < *n; i++)
        if (labels[i].name.n == name.n && memcmp(labels[i].name.p, name.p, name.n) == 0)
            return fail(r, "a label name occurs twice");
    if (name.n == 8 && memcmp(name.p, "__name__", 8) == 0)
        return fail(r, "__name__ is not the name of a label");
    if (is_canonical_label(r, name) && !promtext_is_canonical(value)) {
        char text[PROMTEXT_CANONICAL_MAX];
        double v;

        if (promtext_number(value, &v))
            value = unescape(r, str_n(text, promtext_canonical(v, text)), false);
    }
    labels[(*n)++] = (struct promtext_label){name, value};
    return true;
}

/* From behind the brace to behind the other one. A name in quotes without a value is the metric's;
 * metric is NULL where there can be none. */
static bool labels(struct reader *r, struct promtext_label *list, size_t *n, struct str *metric)
{
    for (bool comma = true;;) {
        struct str key, value;
        bool is_quoted;

        if (!r->om)
            blanks(r);
        if (at(r, '}')) {
            r->p++;
            return true;
        }
        if (!comma && r->om)
            return fail(r, "a comma expected between two labels");
        is_quoted = at(r, '"');
        if (is_quoted) {
            if (!quoted(r, &key))
                return false;
        } else {
            key = name(r, LABEL_FIRST, LABEL);
        }
        if (key.n == 0)
            return fail(r, "a label name expected");
        if (!r->om)
            blanks(r);
        if (is_quoted && metric && (at(r, ',') || at(r, '}'))) {
            if (metric->n)
                return fail(r, "the metric has a name already");
            *metric = key;
        } else {
            if (!at(r, '='))
                return fail(r, "'=' expected behind a label name");
            r->p++;
            if (!r->om)
                blanks(r);
            if (!at(r, '"'))
                return fail(r, "a label value in quotes expected");
            if (!quoted(r, &value) || !add_label(r, list, n, key, value))
                return false;
            if (!r->om)
                blanks(r);
        }
        comma = at(r, ',');
        r->p += comma;
    }
}

/* --- samples --- */

/* Behind the one blank that OpenMetrics has, or any number of them. */
static bool separator(struct reader *r)
{
    if (!r->om) {
        blanks(r);
        return true;
    }
    if (!at(r, ' ') || (r->p + 1 < r->end && is_end(r->p[1])))
        return fail(r, "one blank expected, then a value");
    r->p++;
    return true;
}

static bool seconds(struct reader *r, int64_t *ret_ms)
{
    double s;

    if (!number(r, &s) || !(fabs(s) < 9e15))
        return fail(r, "the timestamp is not a finite number of seconds");
    *ret_ms = (int64_t)(s * 1000);
    return true;
}

static bool exemplar(struct reader *r, struct promtext_sample *s)
{
    struct promtext_exemplar *e = &s->exemplar;
    enum promtext_type type = r->type;
    bool ok;

    s->has_exemplar = true;
    e->n_labels = 0;
    e->has_time = false;
    r->type = PROMTEXT_UNKNOWN; /* a label le in here is just a label */
    ok = labels(r, e->labels, &e->n_labels, NULL);
    r->type = type;
    if (!ok || !separator(r))
        return false;
    if (!number(r, &e->value))
        return fail(r, "the value of an exemplar expected");
    if (!at(r, ' '))
        return true;
    r->p++;
    e->has_time = true;
    return seconds(r, &e->t_ms);
}

static bool time_and_exemplar(struct reader *r, struct promtext_sample *s)
{
    if (!r->om) {
        struct str t;
        uint64_t ms;

        blanks(r);
        if (at_line_end(r))
            return true;
        t = token(r);
        if (!str_to_u64(t, &ms) || ms > INT64_MAX)
            return fail(r, "a timestamp in whole milliseconds expected behind the value");
        s->has_time = true;
        s->t_ms = (int64_t)ms;
        blanks(r);
        return true;
    }
    if (at(r, ' ') && !(r->end - r->p >= 4 && memcmp(r->p, " # {", 4) == 0)) {
        r->p++;
        s->has_time = true;
        if (!seconds(r, &s->t_ms))
            return false;
    }
    if (r->end - r->p >= 4 && memcmp(r->p, " # {", 4) == 0) {
        r->p += 4;
        return exemplar(r, s);
    }
    return true;
}

static bool sample(struct reader *r, struct promtext_sample *s)
{
    const char *from = r->p;

    s->n_labels = 0;
    s->has_time = s->has_exemplar = false;
    s->type = r->type;
    if (r->scratch.n)
        buf_clear(&r->scratch);
    s->name = name(r, METRIC_FIRST, METRIC);
    if (s->name.n == 0 && !at(r, '{'))
        return fail(r, at(r, ' ') || at(r, '\t') ? "a line must not begin with a blank"
                                                 : "a metric name expected");
    if (!r->om) { /* "name {" is legal there */
        const char *p = r->p;

        blanks(r);
        if (!at(r, '{'))
            r->p = p;
    }
    if (at(r, '{')) {
        r->p++;
        if (!labels(r, s->labels, &s->n_labels, &s->name))
            return false;
    }
    if (s->name.n == 0)
        return fail(r, "there is no metric name");
    s->line_key = str_n(from, (size_t)(r->p - from));
    if (!separator(r))
        return false;
    if (!number(r, &s->value))
        return fail(r, "a number expected as the value");
    if (!time_and_exemplar(r, s))
        return false;
    return at_line_end(r) || fail(r, "text behind the sample");
}

/* --- metadata --- */

static const struct {
    const char *name;
    enum promtext_type type;
    bool in_text, in_om;
} types[] = {
    {"counter", PROMTEXT_COUNTER, true, true},
    {"gauge", PROMTEXT_GAUGE, true, true},
    {"histogram", PROMTEXT_HISTOGRAM, true, true},
    {"summary", PROMTEXT_SUMMARY, true, true},
    {"untyped", PROMTEXT_UNKNOWN, true, false},
    {"unknown", PROMTEXT_UNKNOWN, false, true},
    {"gaugehistogram", PROMTEXT_GAUGEHISTOGRAM, false, true},
    {"info", PROMTEXT_INFO, false, true},
    {"stateset", PROMTEXT_STATESET, false, true},
};

const char *promtext_type_name(enum promtext_type t)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (types[i].type == t && types[i].in_om)
            return types[i].name;
    return "unknown";
}

static bool type(struct reader *r, struct promtext_meta *m)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_is(m->text, types[i].name) && (r->om ? types[i].in_om : types[i].in_text)) {
            r->type = m->type = types[i].type;
            return true;
        }
    return fail(r, r->om ? "the type is none of counter, gauge, histogram, gaugehistogram, "
                           "stateset, info, summary, unknown"
                         : "the type is none of counter, gauge, histogram, summary, untyped");
}

static bool unit(struct reader *r, const struct promtext_meta *m)
{
    if (m->text.n && (m->name.n <= m->text.n || !str_ends(m->name, m->text) ||
                      m->name.p[m->name.n - m->text.n - 1] != '_'))
        return fail(r, "the unit is not the end of the metric's name");
    return true;
}

/* Behind "# HELP " and friends. */
static bool metadata(struct reader *r, struct promtext_meta *m)
{
    if (r->scratch.n)
        buf_clear(&r->scratch);
    if (at(r, '"')) {
        if (!quoted(r, &m->name))
            return false;
    } else {
        m->name = name(r, METRIC_FIRST, METRIC);
    }
    if (m->name.n == 0)
        return fail(r, "a metric name expected behind HELP, TYPE or UNIT");
    if (r->om && !at(r, ' '))
        return fail(r, "a blank and a text expected behind the metric's name");
    if (!at_line_end(r))
        r->p++;
    m->text = str_n(r->p, 0);
    while (!at_line_end(r))
        r->p++;
    m->text.n = (size_t)(r->p - m->text.p);
    if (m->what == PROMTEXT_TYPE)
        return type(r, m);
    if (m->what == PROMTEXT_UNIT)
        return unit(r, m);
    if (!str_is_utf8(m->text))
        return fail(r, "the help text is not UTF-8");
    if (str_chr(m->text, '\\') >= 0)
        m->text = unescape(r, m->text, r->om);
    return true;
}

static bool comment_line(struct reader *r, struct promtext_meta *m)
{
    static const struct {
        struct str word;
        int what;
        bool om_only;
    } words[] = {{{"HELP", 4}, PROMTEXT_HELP, false},
                 {{"TYPE", 4}, PROMTEXT_TYPE, false},
                 {{"UNIT", 4}, PROMTEXT_UNIT, true}};
    const char *from = r->p++;

    if (at(r, ' ') || (at(r, '\t') && !r->om)) {
        r->p++;
        if (!r->om)
            blanks(r);
        for (size_t i = 0; i < ARRAY_LEN(words); i++) {
            if ((words[i].om_only && !r->om) || r->end - r->p < 5 ||
                memcmp(r->p, words[i].word.p, 4) != 0 ||
                (r->p[4] != ' ' && (r->p[4] != '\t' || r->om)))
                continue;
            r->p += 5;
            if (!r->om)
                blanks(r);
            m->what = words[i].what;
            return metadata(r, m);
        }
    }
    if (r->om)
        return fail(r, "neither HELP, TYPE, UNIT nor EOF");
    while (!at_line_end(r))
        r->p++;
    *m = (struct promtext_meta){.what = PROMTEXT_COMMENT,
                                .text = str_n(from, (size_t)(r->p - from))};
    return true;
}

/* --- pages --- */

static int refuse(struct reader *r, const char *line, struct err *err)
{
    size_t line_no = 1, n = 0;
    char shown[81];

    for (const char *p = r->begin; p < line; p++)
        line_no += *p == '\n';
    for (; n < sizeof(shown) - 1 && line + n < r->end && line[n] != '\n'; n++)
        shown[n] = line[n] >= ' ' && line[n] != 0x7f ? line[n] : '?';
    return err_set(err, ERR_BAD_INPUT, "line %zu: %s: '%.*s'", line_no, r->why, (int)n, shown);
}

static bool is_eof_line(const struct reader *r)
{
    return r->om && r->end - r->p >= 5 && memcmp(r->p, "# EOF", 5) == 0 &&
           (r->end - r->p == 5 || r->p[5] == '\n');
}

int promtext_parse(struct str text, enum promtext_format format, promtext_sample_fn *on_sample,
                   promtext_meta_fn *on_meta, void *arg, struct err *err)
{
    static _Thread_local struct promtext_sample s;
    struct reader r = {.begin = text.p ? text.p : ""};
    bool ok = true, go_on = true, ended = false;
    const char *line = r.begin;

    r.p = r.begin;
    r.end = r.begin + text.n;
    r.om = format == PROMTEXT_OPENMETRICS;
    r.scratch.max = text.n + (1 << 16);
    while (ok && go_on && r.p < r.end) {
        struct promtext_meta m = {0};

        line = r.p;
        if (is_eof_line(&r)) {
            r.p += r.end - r.p > 5 ? 6 : 5;
            ended = true;
            break;
        }
        if (!r.om) {
            blanks(&r);
            if (r.p < r.end && *r.p != '\n' && *r.p != '#')
                r.p = line;
        }
        if (at(&r, '#')) {
            ok = comment_line(&r, &m);
            go_on = !ok || !on_meta || on_meta(arg, &m);
        } else if (r.om || !at_line_end(&r)) {
            ok = sample(&r, &s);
            go_on = !ok || !on_sample || on_sample(arg, &s);
        }
        r.p += ok && r.p < r.end;
    }
    if (ok && go_on && r.om && (!ended || r.p < r.end)) {
        ok = fail(&r, ended ? "there is more behind '# EOF'"
                            : "the page does not end with '# EOF': it may be cut");
        line = ended ? r.p : line;
    }
    buf_done(&r.scratch);
    return ok ? 0 : refuse(&r, line, err);
}

int promtext_format_of(struct str content_type, enum promtext_format *ret, struct err *err)
{
    ptrdiff_t semicolon = str_chr(content_type, ';');
    struct str media = str_trim(semicolon < 0 ? content_type : str_n(content_type.p, semicolon));

    if (str_eq_nocase(media, STR("text/plain")))
        *ret = PROMTEXT_004;
    else if (str_eq_nocase(media, STR("application/openmetrics-text")))
        *ret = PROMTEXT_OPENMETRICS;
    else if (media.n == 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "the page has no Content-Type: expected text/plain or "
                       "application/openmetrics-text");
    else
        return err_set(err, ERR_UNSUPPORTED,
                       "the page has the Content-Type '%.*s': expected text/plain or "
                       "application/openmetrics-text",
                       (int)(content_type.n < 80 ? content_type.n : 80), content_type.p);
    return 0;
}

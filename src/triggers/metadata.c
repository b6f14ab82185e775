/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "triggers/trigger_int.h"

/* What the target's container has under the name that KEYFromEnv gives. */
static struct str from_env(const struct trigger *t, const json_t *meta, const char *key)
{
    AUTO_FREE char *from = mem_printf("%sFromEnv", key);
    AUTO_FREE char *name = str_dup(str_trim(json_strv(json_object_get(meta, from))));

    return *name ? str_trim(str_of(trigger_env(t, name))) : STR_NONE;
}

static struct str text_at(const struct trigger *t, const json_t *meta, const char *key)
{
    struct str s = str_trim(json_strv(json_object_get(meta, key)));

    return s.n ? s : from_env(t, meta, key);
}

bool meta_is_hidden(const struct trigger *t, const json_t *meta, const char *key)
{
    return str_trim(json_strv(json_object_get(meta, key))).n == 0 && from_env(t, meta, key).n > 0;
}

int meta_wrong(const struct trigger *t, struct err *err, const char *fmt, ...)
{
    struct buf b = BUF_INIT;
    va_list ap;

    if (err->code)
        buf_printf(&b, "%s; ", err->msg);
    else
        buf_printf(&b, "error parsing %s metadata: ", t->type->name);
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    err_set(err, ERR_INVALID, "%s", buf_cstr(&b));
    buf_done(&b);
    return ERR_INVALID;
}

static int bad(const struct trigger *t, const json_t *meta, const char *key, struct str value,
               const char *wanted, struct err *err)
{
    if (meta_is_hidden(t, meta, key))
        value = STR("(from the environment)");
    return meta_wrong(t, err, "unable to set param \"%s\" value \"%.*s\": %s", key, STR_ARG(value),
                      wanted);
}

static int missing(const struct trigger *t, const char *key, struct err *err)
{
    return meta_wrong(t, err, "missing required parameter \"%s\" in [triggerMetadata]", key);
}

char *meta_text(const struct trigger *t, const json_t *meta, const char *key)
{
    struct str s = text_at(t, meta, key);

    return s.n ? str_dup(s) : NULL;
}

int meta_required(const struct trigger *t, const json_t *meta, const char *key, char **ret,
                  struct err *err)
{
    *ret = meta_text(t, meta, key);
    return *ret ? 0 : missing(t, key, err);
}

/* A number as JSON writes it: no plus sign, no leading dot, no "inf". */
static bool read_number(struct str s, double *ret)
{
    for (size_t i = 0; i < s.n; i++)
        if (!strchr("0123456789+-.eE", s.p[i]))
            return false;
    return s.n && s.p[0] != '+' && s.p[0] != '.' && str_to_double(s, ret) && isfinite(*ret);
}

int meta_number(const struct trigger *t, const json_t *meta, const char *key, bool is_required,
                double def, double *ret, struct err *err)
{
    struct str s = text_at(t, meta, key);

    *ret = def;
    if (!s.n)
        return is_required ? missing(t, key, err) : 0;
    return read_number(s, ret) ? 0 : bad(t, meta, key, s, "a number is expected", err);
}

int meta_flag(const struct trigger *t, const json_t *meta, const char *key, bool def, bool *ret,
              struct err *err)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"}, *const no[] = {
                                                                                  "0",     "f",
                                                                                  "F",     "FALSE",
                                                                                  "false", "False"};
    struct str s = text_at(t, meta, key);

    *ret = def;
    if (!s.n)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (str_is(s, yes[i]) || str_is(s, no[i])) {
            *ret = str_is(s, yes[i]);
            return 0;
        }
    }
    return bad(t, meta, key, s, "true or false is expected", err);
}

/* "1h2m3.5s4ms" */
static bool read_duration(struct str s, double *ret_ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ns", 1e-6}, {"us", 1e-3}, {"ms", 1}, {"h", 3600000}, {"m", 60000}, {"s", 1000}};

    *ret_ms = 0;
    while (s.n) {
        size_t n = 0, u;
        double v;

        while (n < s.n && strchr("0123456789.", s.p[n]))
            n++;
        if (!n || !str_to_double((struct str){s.p, n}, &v))
            return false;
        s = str_skip(s, n);
        for (u = 0; u < ARRAY_LEN(units); u++)
            if (str_starts(s, str_of(units[u].unit)))
                break;
        if (u == ARRAY_LEN(units))
            return false;
        *ret_ms += v * units[u].ms;
        s = str_skip(s, strlen(units[u].unit));
    }
    return true;
}

int meta_duration(const struct trigger *t, const json_t *meta, const char *key, int64_t def,
                  int64_t *ret, struct err *err)
{
    struct str s = text_at(t, meta, key);
    int64_t whole;
    double ms;

    *ret = def;
    if (!s.n)
        return 0;
    if (str_to_i64(s, &whole))
        ms = (double)whole;
    else if (!read_duration(s, &ms))
        return bad(t, meta, key, s, "a duration such as 3s, or milliseconds, is expected", err);
    if (ms < 0 || ms > 1e9)
        return bad(t, meta, key, s, "a duration from 0 to 11 days is expected", err);
    if (ms >= 1)
        *ret = (int64_t)ms;
    return 0;
}

int meta_word(const struct trigger *t, const json_t *meta, const char *key,
              const char *const *words, int def, int *ret, struct err *err)
{
    struct str s = text_at(t, meta, key);
    struct buf wanted = BUF_INIT;
    int r;

    *ret = def;
    if (!s.n)
        return 0;
    for (int i = 0; words[i]; i++) {
        if (str_is(s, words[i])) {
            *ret = i;
            buf_done(&wanted);
            return 0;
        }
        buf_printf(&wanted, "%s%s", i ? ", " : "one of ", words[i]);
    }
    r = bad(t, meta, key, s, buf_cstr(&wanted), err);
    buf_done(&wanted);
    return r;
}

int meta_threshold(struct trigger *t, const json_t *meta, const char *key, bool is_optional,
                   struct err *err)
{
    int r = meta_number(t, meta, key, !is_optional, 1, &t->threshold, err);

    if (r == 0 && !(t->threshold >= 0.0005)) /* what is no milli is no target of an HPA */
        return bad(t, meta, key, text_at(t, meta, key), "it must be greater than 0", err);
    return r;
}

int param_missing(const struct trigger *t, const char *name, struct err *err)
{
    return meta_wrong(t, err, "missing required parameter \"%s\" in [authParams]", name);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "codec/promtext_int.h"

static double go_nan(void)
{
    static const uint64_t bits = 0x7ff8000000000001;
    double v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

bool promtext_number(struct str s, double *ret)
{
    bool neg = s.n && s.p[0] == '-';
    struct str word = s.n && (s.p[0] == '-' || s.p[0] == '+') ? str_skip(s, 1) : s;
    AUTO_FREE char *copy = NULL;
    char *end;
    double v;

    if (str_eq_nocase(word, STR("inf")) || str_eq_nocase(word, STR("infinity"))) {
        *ret = neg ? -HUGE_VAL : HUGE_VAL;
        return true;
    }
    if (str_eq_nocase(s, STR("nan"))) {
        *ret = go_nan();
        return true;
    }
    for (size_t i = 0; i < s.n; i++)
        if ((s.p[i] < '0' || s.p[i] > '9') && !strchr("+-.eE", s.p[i] ? s.p[i] : 'x'))
            return false;
    if (s.n == 0)
        return false;
    copy = str_dup(s);
    errno = 0;
    v = strtod(copy, &end);
    if (*end || (errno == ERANGE && isinf(v)))
        return false;
    *ret = v;
    return true;
}

/* --- le and quantile --- */

/* No leading zeros, short, and a fraction that is "0" or ends in another
 * digit; +Inf. */
bool promtext_is_canonical(struct str s)
{
    size_t dot, i = s.n && s.p[0] == '-';
    size_t from = i;

    if (str_is(s, "+Inf"))
        return true;
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
        i++;
    dot = i++;
    if (dot == from || dot - from > 6 || dot >= s.n || s.p[dot] != '.' ||
        (s.p[from] == '0' && dot - from > 1) || s.n - dot < 2 || s.n > 14)
        return false;
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
        i++;
    if (i != s.n || (s.p[s.n - 1] == '0' && s.n - dot > 2))
        return false;
    return s.p[from] != '0' || s.n - dot == 2 || strncmp(s.p + dot, ".0000", 5) != 0;
}

size_t promtext_canonical(double v, char out[PROMTEXT_CANONICAL_MAX])
{
    char e[40], *digits = e, *exp_at;
    int exp10, n = 0, len = 0;

    if (isnan(v))
        return (size_t)snprintf(out, PROMTEXT_CANONICAL_MAX, "NaN");
    if (isinf(v))
        return (size_t)snprintf(out, PROMTEXT_CANONICAL_MAX, v < 0 ? "-Inf" : "+Inf");
    for (int prec = 0; prec <= 16; prec++) {
        snprintf(e, sizeof(e), "%.*e", prec, v);
        if (strtod(e, NULL) == v)
            break;
    }
    if (*digits == '-')
        out[len++] = *digits++;
    exp_at = strchr(digits, 'e');
    exp10 = atoi(exp_at + 1);
    *exp_at = '\0';
    if (digits[1] == '.') /* "d.ddd" -> "dddd" */
        memmove(digits + 1, digits + 2, strlen(digits + 2) + 1);
    n = (int)strlen(digits);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (exp10 < -4 || exp10 >= 6)
        return (size_t)(len + snprintf(out + len, (size_t)(PROMTEXT_CANONICAL_MAX - len),
                                       "%c%s%.*se%c%02d", digits[0], n > 1 ? "." : "", n - 1,
                                       digits + 1, exp10 < 0 ? '-' : '+', abs(exp10)));
    if (exp10 < 0)
        return (size_t)(len + snprintf(out + len, (size_t)(PROMTEXT_CANONICAL_MAX - len),
                                       "0.%.*s%.*s", -exp10 - 1, "0000", n, digits));
    for (int i = 0; i <= exp10; i++)
        out[len++] = i < n ? digits[i] : '0';
    out[len++] = '.';
    if (n <= exp10 + 1)
        out[len++] = '0';
    for (int i = exp10 + 1; i < n; i++)
        out[len++] = digits[i];
    return (size_t)len;
}

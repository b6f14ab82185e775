/* SPDX-License-Identifier: Apache-2.0
 *
 * The language of scalingModifiers.formula beyond its vectors: precedence, functions, bounds, and
 * messages that say what to do. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

#include "autoscale/formula.h"
#include "base/buf.h"
#include "base/mem.h"

/* a = 3, b = 0.5, c = 10, n is nil */
static const struct str names[] = {{"a", 1}, {"b", 1}, {"c", 1}, {"n", 1}};
static const struct formula_variable values[] = {
    {{"a", 1}, 3, false}, {{"b", 1}, 0.5, false}, {{"c", 1}, 10, false}, {{"n", 1}, 0, true}};

static int run(const char *text, bool *is_nil, double *ret, struct err *err)
{
    struct formula *f = NULL;
    int r = formula_new(str_of(text), names, ARRAY_LEN(names), &f, err);

    if (r < 0)
        return r;
    r = formula_eval(f, values, ARRAY_LEN(values), is_nil, ret, err);
    formula_free(f);
    return r;
}

static void formulas_have_the_value_that_expr_gives(void **state)
{
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"1 + 2 * 3", 7},
        {"(1 + 2) * 3", 9},
        {"10 - 4 - 3", 3},
        {"2 ** 3 ** 2", 512},
        {"2 ^ 3 ^ 2", 512},
        {"-2 ^ 2", -4}, /* '^' binds tighter than the sign */
        {"7 / 2", 3.5},
        {"7 % 4 + int(a) % 2", 4},
        {"a > 2 && b < 1 ? c : 0", 10},
        {"a > 2 and not (b > 1) ? 1.5 : 0", 1.5},
        {"a < 2 or c == 10 ? 1 : 2", 1},
        {"1 < a < 5 ? 1 : 0", 1},
        {"5 > a > 3 ? 1 : 0", 0},
        {"a == 3 ? (b != 0.5 ? 1 : 2) : 3", 2},
        {"a > 5 ? 1 : a > 2 ? 2 : 3", 2},
        {"if a > 5 { 1 } else if a > 2 { 2 } else { 3 }", 2},
        {"let x = a * 2; let y = x + 1; x * y", 42},
        {"let a2 = a; a2 + (let z = 1; z)", 4},
        {"a in [1, 2, 3] ? 1 : 0", 1},
        {"a not in [1, 2, 3] ? 1 : 0", 0},
        {"max(a, b, c) + min([a, b], c)", 10.5},
        {"mean(a, [b, b], 2)", 1.5},
        {"median([c, a, 1, 2])", 2.5},
        {"median(c, a, b)", 3},
        {"sum([a, b, c])", 13.5},
        {"sum([a, c], # * 2)", 26},
        {"count([a, b, c], {# > 1})", 2},
        {"count([a, b, c], # > 1) + len([1, 2])", 4},
        {"all([a, c], {# > 1}) && any([a, b], {# < 1}) && none([a], {# > 5}) && one([a, b], {# > "
         "1}) ? 1 : 0",
         1},
        {"len(filter([a, b, c], {# >= 3}))", 2},
        {"sum(map([a, c], {# + #index}))", 14},
        {"reduce([a, b, c], {#acc + #}, 1)", 14.5},
        {"reduce([a, b, c], {max(#acc, #)})", 10},
        {"[a, b, c] | filter(# > 1) | sum()", 13},
        {"a | max(c)", 10},
        {"[a, b, c][1] + [a][-1]", 3.5},
        {"first([a, b]) - last([a, b])", 2.5},
        {"len(1..4) + sum(1..3)", 10},
        {"round(2.5) + round(-2.5) + ceil(0.1) + floor(0.9) + abs(-1)", 2},
        {"0x2A + 1_000 + .5 + 1e3", 2042.5},
        {"float(\"1.5\") + int(\"2\")", 3.5},
        {"\"x\" + 'y' == \"xy\" ? 1 : 0", 1},
        {"\"abc\" < \"abd\" ? 1 : 0", 1},
        {"n ?? a", 3},
        {"(n ?? b) + 1", 1.5},
        {"n == nil ? 7 : 8", 7},
        {"true ? 1 : 2", 1},
        {"  a\n+\tb  ", 3.5},
        {"float(a) * b", 1.5},
        {"max(a, (n ?? 0)) + 0", 3},
        {"a > 1 && n == nil ? c : n + 1", 10}, /* what is not needed is not evaluated */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = ERR_INIT;
        bool is_nil = false;
        double value = NAN;

        if (run(cases[i].text, &is_nil, &value, &err) < 0)
            fail_msg("%s: %s", cases[i].text, err.msg);
        if (is_nil || fabs(value - cases[i].value) > 1e-9)
            fail_msg("%s: %g, expected %g", cases[i].text, value, cases[i].value);
    }
}

static void what_cannot_work_is_refused_with_a_text_that_helps(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "a value is expected"},
        {"a +", "the formula ends there"},
        {"a b", "an operator or the end is expected"},
        {"d + 1", "unknown name 'd': no trigger has it"},
        {"my-trigger", "unknown name 'my'"},
        {"foo(a)", "unknown function 'foo'"},
        {"abs(a, b)", "abs cannot take 2 arguments"},
        {"a % 2", "integers only"},
        {"a > 1", "the result is bool"},
        {"[a]", "the result is list"},
        {"a && b", "'and' cannot be used with float and float"},
        {"a + true", "'+' cannot be used"},
        {"a ? 1 : 2", "the condition before '?' is float"},
        {"not a ? 1 : 2", "'not' cannot be used with float"},
        {"n ?? a + 1", "cannot be mixed without parentheses"},
        {"#", "only in a predicate"},
        {"count([a], {# + 1 + \"x\"})", "cannot be used with float and string"},
        {"count([a], {1})", "the predicate of count is int"},
        {"1x", "a number cannot go on with 'x'"},
        {"\"x", "the text has no end"},
        {"a & b", "unexpected character '&'"},
        {"(a", "')' is expected"},
        {"let = 1; 2", "a name is expected"},
        {"float(a) > 2 ? 5 : 0", "put float( ) around all of it"},
        {"n + 1", "give another with '\?\?'"},
        {"max(a, n)", "give another with '\?\?'"},
        {"a / 0", "not finite"},
        {"int(a) % 0", "division by zero"},
        {"len(1..100000)", "more than 10000 elements"},
        {"[a][3]", "there is no element 3"},
        {"int(1e300)", "no integer of 64 bit"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = ERR_INIT;
        bool is_nil;
        double value;

        if (run(cases[i].text, &is_nil, &value, &err) == 0)
            fail_msg("%s: %g, expected an error", cases[i].text, value);
        if (!strstr(err.msg, cases[i].says))
            fail_msg("%s: '%s' does not say '%s'", cases[i].text, err.msg, cases[i].says);
    }
}

static void nil_is_an_answer_only_with_coalesce(void **state)
{
    struct err err = ERR_INIT;
    bool is_nil = false;
    double value;

    (void)state;
    assert_int_equal(run("n ?? nil", &is_nil, &value, &err), 0);
    assert_true(is_nil);
    assert_true(run("n", &is_nil, &value, &err) < 0);
}

static void repeat(struct buf *b, const char *text, int n)
{
    while (n-- > 0)
        buf_add_cstr(b, text);
}

/* Whatever is written, a formula ends, and no stack overflows. */
static void everything_is_bounded(void **state)
{
    static const struct {
        const char *head, *repeated, *middle, *tail;
        int n;
        bool works;
    } cases[] = {
        {"", "(", "a", ")", 60, true},
        {"", "(", "a", ")", 65, false},
        {"a", "+a", "", "", 499, true},
        {"a", "+a", "", "", 600, false},
        {"", "-", "a", "", 60, true},
        {"", "-", "a", "", 8000, false},
        {"", "a > 1 ? 1 : ", "2", "", 60, true},
        {"", "a > 1 ? 1 : ", "2", "", 500, false},
        {"(true", " ?: true", "", " ?: true) ? 1 : 2", 25, true},
        {"1", " < (2", "", ") ? 1 : 2", 60, false},
        {"[a]", "[0]", "", "", 1000, false},
        {"", " ", "a", "", FORMULA_TEXT_MAX - 1, true},
        {"", " ", "a+a", "", FORMULA_TEXT_MAX, true}, /* blanks around do not count */
        {"1", " ", "+a", "", FORMULA_TEXT_MAX, false},
        {"let l = 1..9999; let m = map(1..8, {l}); ", "", "sum(m)", "", 0, true},
        {"let l = 1..9999; let m = map(1..99, {l}); ", "", "sum(m)", "", 0, false},
        {"let l = 1..999; let m = [l,l,l,l,l,l,l,l]; let o = [m,m,m,m,m,m,m,m]; "
         "let p = [o,o,o,o,o,o,o,o]; let q = [p,p,p,p,p,p,p,p]; ",
         "", "q == q ? 1 : 2", "", 0, false},
        {"", "", "sum(map(1..9999, {sum(map(1..9999, {#}))}))", "", 0, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = BUF_INIT;
        struct err err = ERR_INIT;
        bool is_nil, works;
        double value;

        buf_add_cstr(&b, cases[i].head);
        repeat(&b, cases[i].repeated, cases[i].n);
        buf_add_cstr(&b, cases[i].middle);
        repeat(&b, cases[i].tail, *cases[i].tail == ')' ? cases[i].n : 1);
        works = run(buf_cstr(&b), &is_nil, &value, &err) == 0;
        if (works != cases[i].works)
            fail_msg("case %zu: %s", i, works ? "it works" : err.msg);
        buf_done(&b);
    }
}

/* Every beginning of a formula either works or says why not. */
static void every_prefix_has_an_answer(void **state)
{
    static const char text[] = "let q = count([a, b, c], {# > 1 and # < 5}) ?? 0x1F; if q >= 1 { "
                               "[a, .5e1][-1] | max(\"2\" == 'x' ? 1 : b) } else { -a ** 2 }";

    (void)state;
    for (size_t n = 0; n < sizeof(text); n++) {
        AUTO_FREE char *cut = str_dup(str_n(text, n));
        struct err err = ERR_INIT;
        bool is_nil;
        double value;

        assert_true(run(cut, &is_nil, &value, &err) == 0 || err.msg[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formulas_have_the_value_that_expr_gives),
        cmocka_unit_test(what_cannot_work_is_refused_with_a_text_that_helps),
        cmocka_unit_test(nil_is_an_answer_only_with_coalesce),
        cmocka_unit_test(everything_is_bounded),
        cmocka_unit_test(every_prefix_has_an_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * scalingModifiers.formula (keda.md 4.4): one number out of the values of several triggers, in the
 * part of the expr language that formulas are written in. A formula is compiled against the names
 * of the triggers (types are checked: trigger values are floats), then evaluated as often as there
 * are values. Text, nesting and steps are bounded, so a formula ends whatever it says. */
#ifndef FB_AUTOSCALE_FORMULA_H
#define FB_AUTOSCALE_FORMULA_H

#include "base/err.h"
#include "base/str.h"

#define FORMULA_TEXT_MAX 8192
#define FORMULA_DEPTH_MAX 64
#define FORMULA_STEPS_MAX 100000 /* nodes visited by one evaluation */

struct formula;

struct formula_variable {
    struct str name;
    double value;
    bool is_nil; /* the trigger has failed for too long (fallback.behavior scalingModifiers) */
};

/* Compiles; names: what the formula may use. ERR_INVALID says where and why not. */
int formula_new(struct str text, const struct str *names, size_t n, struct formula **ret,
                struct err *err);
void formula_free(struct formula *f); /* NULL is fine */
/* The value. *ret_nil: the formula's own answer is nil, which only a formula with ?? may give. A
 * variable of the formula that is not among v counts as nil. ERR_INVALID: nil in arithmetic, not
 * finite, no number. */
int formula_eval(const struct formula *f, const struct formula_variable *v, size_t n, bool *ret_nil,
                 double *ret, struct err *err);
/* Compiles, and evaluates with every name -1, as admission does. */
int formula_check(struct str text, const struct str *names, size_t n, struct err *err);

#endif

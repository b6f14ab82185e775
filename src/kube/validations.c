/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/validations.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/table.h"

/* Keys are the labels as they are written. */
struct validations {
    struct table looked, refused; /* -> uint64_t */
};

struct validations *validations_new(void)
{
    return mem_zalloc(sizeof(struct validations));
}

static void done(struct table *t)
{
    size_t i = 0;
    void *n;

    while (table_next(t, &i, NULL, &n))
        free(n);
    table_done(t);
}

void validations_free(struct validations *v)
{
    if (!v)
        return;
    done(&v->looked);
    done(&v->refused);
    free(v);
}

static void add(struct table *t, struct str key)
{
    uint64_t *n = table_get(t, key);

    if (!n && t->count == VALIDATIONS_MAX)
        return;
    if (!n) {
        n = mem_zalloc(sizeof(*n));
        table_set(t, key, n);
    }
    ++*n;
}

/* As namespaces are named; what has another name is in none that exists, and would need escapes. */
static bool is_plain(struct str ns)
{
    for (size_t i = 0; i < ns.n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", ns.p[i]))
            return false;
    return true;
}

void validations_count(struct validations *v, struct str ns, bool is_update, const char *reason)
{
    struct buf key = BUF_INIT;

    if (!v || !is_plain(ns))
        return;
    buf_printf(&key, "action=\"%s\",namespace=\"%.*s\"", is_update ? "update" : "create",
               STR_ARG(ns));
    if (reason)
        buf_printf(&key, ",reason=\"%s\"", reason);
    add(reason ? &v->refused : &v->looked, buf_str(&key));
    buf_done(&key);
}

static void write(const struct table *t, const char *name, const char *help, struct buf *out)
{
    struct str labels;
    size_t i = 0;
    void *n;

    buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n", name, help, name);
    while (table_next(t, &i, &labels, &n))
        buf_printf(out, "%s{%.*s} %llu\n", name, STR_ARG(labels),
                   (unsigned long long)*(const uint64_t *)n);
}

void validations_metrics(const struct validations *v, struct buf *out)
{
    static const char looked[] = "ScaledObjects that admission looked at.",
                      refused[] = "ScaledObjects that admission refused.";

    write(&v->looked, "keda_webhook_scaled_object_validations_total", looked, out);
    write(&v->looked, "keda_webhook_scaled_object_validation_total", looked, out);
    write(&v->refused, "keda_webhook_scaled_object_validation_errors_total", refused, out);
    write(&v->refused, "keda_webhook_scaled_object_validation_errors", refused, out);
}

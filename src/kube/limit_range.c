/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/limit_range.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/mem.h"
#include "codec/quantity.h"
#include "kube/rules.h"

#define ANNOTATION "kubernetes.io/limit-ranger"

static bool is_type(const json_t *item, const char *type)
{
    return strcmp(json_text(item, "type", ""), type) == 0;
}

static bool quantity_at(const json_t *map, const char *key, struct quantity *ret)
{
    const json_t *v = json_object_get(map, key);

    if (json_is_integer(v)) {
        *ret = (struct quantity){.nano = (__int128)json_integer_value(v) * 1000000000};
        return true;
    }
    return json_is_string(v) && quantity_parse(json_strv(v), ret, NULL) == 0;
}

/* --- defaults --- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Members of from that the container's map has not; appends their names, sorted, to note. */
static void fill(json_t *container, const char *map, const json_t *from, struct buf *note)
{
    json_t *resources = json_object_get(container, "resources"), *have;
    const char **names = mem_array(json_object_size(from) + 1, sizeof(*names)), *key;
    const json_t *v;
    size_t n = 0;

    if (!json_is_object(resources)) {
        resources = json_object();
        json_object_set_new(container, "resources", resources);
    }
    have = json_object_get(resources, map);
    json_object_foreach ((json_t *)(uintptr_t)from, key, v) {
        if (json_object_get(have, key))
            continue;
        if (!json_is_object(have)) {
            have = json_object();
            json_object_set_new(resources, map, have);
        }
        json_object_set_new(have, key, json_deep_copy(v));
        names[n++] = key;
    }
    qsort(names, n, sizeof(*names), by_text);
    for (size_t i = 0; i < n; i++)
        buf_printf(note, "%s%s", i ? ", " : "", names[i]);
    free(names);
}

static void fill_containers(json_t *list, const char *what, const json_t *requests,
                            const json_t *limits, struct buf *notes)
{
    json_t *c;
    size_t i;

    json_array_foreach (list, i, c) {
        struct buf lim = BUF_INIT, req = BUF_INIT;
        const char *name = json_text(c, "name", "");

        fill(c, "limits", limits, &lim);
        fill(c, "requests", requests, &req);
        if (req.n)
            buf_printf(notes, "%s%s request for %s %s", notes->n ? "; " : "", buf_cstr(&req), what,
                       name);
        if (lim.n)
            buf_printf(notes, "%s%s limit for %s %s", notes->n ? "; " : "", buf_cstr(&lim), what,
                       name);
        buf_done(&lim);
        buf_done(&req);
    }
}

void limit_range_default(const json_t *limits, json_t *pod)
{
    json_t *meta = json_object_get(pod, "metadata");
    AUTO_JSON json_t *lim = json_object(), *req = json_object();
    struct buf notes = BUF_INIT;
    const json_t *item;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)limits, i, item) {
        if (!is_type(item, "Container"))
            continue;
        json_object_update(lim, json_object_get(item, "default"));
        json_object_update(req, json_object_get(item, "defaultRequest"));
    }
    fill_containers(json_at(pod, "spec.containers"), "container", req, lim, &notes);
    fill_containers(json_at(pod, "spec.initContainers"), "init container", req, lim, &notes);
    if (notes.n) {
        json_t *a = json_object_get(meta, "annotations");

        if (!json_is_object(a)) {
            a = json_object();
            json_object_set_new(meta, "annotations", a);
        }
        json_object_set_new(a, ANNOTATION,
                            json_fmt("LimitRanger plugin set: %s", buf_cstr(&notes)));
    }
    buf_done(&notes);
}

/* --- constraints --- */

/* What is found wrong, and what it is looked for in. */
struct complaints {
    const char *type; /* "Container", "Pod" */
    const json_t *requests, *limits;
    char **items;
    size_t n, cap;
};

__attribute__((format(printf, 2, 3))) static void complain(struct complaints *x, const char *fmt,
                                                           ...)
{
    struct buf b = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < x->n; i++)
        if (strcmp(x->items[i], buf_cstr(&b)) == 0) { /* told once */
            buf_done(&b);
            return;
        }
    mem_grow(&x->items, &x->cap, x->n);
    x->items[x->n++] = buf_take(&b, NULL);
}

/* One resource: the request, the limit, and what holds for them. */
struct amounts {
    const char *name;
    struct quantity request, limit, bound;
    bool has_request, has_limit;
    char request_text[64], limit_text[64], bound_text[64];
};

static void check_min(struct complaints *x, const struct amounts *a)
{
    if (!a->has_request)
        complain(x, "minimum %s usage per %s is %s.  No request is specified", a->name, x->type,
                 a->bound_text);
    else if (a->request.nano < a->bound.nano)
        complain(x, "minimum %s usage per %s is %s, but request is %s", a->name, x->type,
                 a->bound_text, a->request_text);
    else if (a->has_limit && a->limit.nano < a->bound.nano)
        complain(x, "minimum %s usage per %s is %s, but limit is %s", a->name, x->type,
                 a->bound_text, a->limit_text);
}

static void check_max(struct complaints *x, const struct amounts *a)
{
    if (!a->has_limit)
        complain(x, "maximum %s usage per %s is %s.  No limit is specified", a->name, x->type,
                 a->bound_text);
    else if (a->limit.nano > a->bound.nano)
        complain(x, "maximum %s usage per %s is %s, but limit is %s", a->name, x->type,
                 a->bound_text, a->limit_text);
    else if (a->has_request && a->request.nano > a->bound.nano)
        complain(x, "maximum %s usage per %s is %s, but request is %s", a->name, x->type,
                 a->bound_text, a->request_text);
}

static void check_ratio(struct complaints *x, const struct amounts *a)
{
    if (!a->has_request || a->request.nano == 0)
        complain(x,
                 "%s max limit to request ratio per %s is %s, but no request is specified or "
                 "request is 0",
                 a->name, x->type, a->bound_text);
    else if (!a->has_limit || a->limit.nano == 0)
        complain(x,
                 "%s max limit to request ratio per %s is %s, but no limit is specified or limit "
                 "is 0",
                 a->name, x->type, a->bound_text);
    else if ((long double)a->limit.nano * 1e9L >
             (long double)a->request.nano * (long double)a->bound.nano)
        complain(x, "%s max limit to request ratio per %s is %s, but provided ratio is %f", a->name,
                 x->type, a->bound_text, quantity_double(&a->limit) / quantity_double(&a->request));
}

static const struct {
    const char *map;
    void (*check)(struct complaints *x, const struct amounts *a);
} constraints[] = {{"min", check_min}, {"max", check_max}, {"maxLimitRequestRatio", check_ratio}};

static void check_item(struct complaints *x, const json_t *item)
{
    for (size_t i = 0; i < ARRAY_LEN(constraints); i++) {
        const json_t *map = json_object_get(item, constraints[i].map), *v;
        const char *key;

        json_object_foreach ((json_t *)(uintptr_t)map, key, v) {
            struct amounts a = {.name = key};

            if (!quantity_at(map, key, &a.bound))
                continue;
            a.has_request = quantity_at(x->requests, key, &a.request);
            a.has_limit = quantity_at(x->limits, key, &a.limit);
            quantity_text(&a.bound, a.bound_text);
            quantity_text(&a.request, a.request_text);
            quantity_text(&a.limit, a.limit_text);
            constraints[i].check(x, &a);
        }
    }
}

/* --- of a whole pod --- */

static void add_up(json_t *sum, const json_t *map, bool is_max)
{
    const json_t *v;
    const char *key;

    json_object_foreach ((json_t *)(uintptr_t)map, key, v) {
        struct quantity a = {0}, b;
        char text[64];

        if (!quantity_at(map, key, &b))
            continue;
        if (!quantity_at(sum, key, &a))
            a = (struct quantity){0, b.format};
        if (is_max)
            a.nano = a.nano > b.nano ? a.nano : b.nano;
        else
            a.nano += b.nano;
        json_object_set_new(sum, key, json_string(quantity_text(&a, text)));
    }
}

/* What runs together is added up; an init container runs before the others, beside those that stay.
 */
static json_t *pod_total(const json_t *pod, const char *map)
{
    json_t *sum = json_object(), *stays = json_object(), *peak = json_object();
    const json_t *c;
    size_t i;

    json_array_foreach (json_at(pod, "spec.initContainers"), i, c) {
        const json_t *resources = json_object_get(c, "resources");
        AUTO_JSON json_t *now = json_deep_copy(stays);

        add_up(now, json_object_get(resources, map), false);
        if (strcmp(json_text(c, "restartPolicy", ""), "Always") == 0)
            json_object_update(stays, now);
        add_up(peak, now, true);
    }
    json_object_update(sum, stays);
    json_array_foreach (json_at(pod, "spec.containers"), i, c)
        add_up(sum, json_object_get(json_object_get(c, "resources"), map), false);
    add_up(sum, peak, true);
    json_decref(stays);
    json_decref(peak);
    return sum;
}

static void check_containers(struct complaints *x, const json_t *list, const json_t *item)
{
    const json_t *c;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, c) {
        x->requests = json_at(c, "resources.requests");
        x->limits = json_at(c, "resources.limits");
        check_item(x, item);
    }
}

bool limit_range_admits(const json_t *limits, const json_t *pod, struct buf *out)
{
    struct complaints x = {0};
    const json_t *item;
    size_t i;
    bool ok;

    json_array_foreach ((json_t *)(uintptr_t)limits, i, item) {
        x.type = json_text(item, "type", "");
        if (is_type(item, "Container")) {
            check_containers(&x, json_at(pod, "spec.containers"), item);
            check_containers(&x, json_at(pod, "spec.initContainers"), item);
        } else if (is_type(item, "Pod")) {
            AUTO_JSON json_t *requests = pod_total(pod, "requests"),
                             *total = pod_total(pod, "limits");

            x.requests = requests;
            x.limits = total;
            check_item(&x, item);
        }
    }
    ok = x.n == 0;
    if (x.n > 1)
        buf_add_char(out, '[');
    for (size_t k = 0; k < x.n; k++) {
        buf_printf(out, "%s%s", k ? ", " : "", x.items[k]);
        free(x.items[k]);
    }
    if (x.n > 1)
        buf_add_char(out, ']');
    free(x.items);
    return ok;
}

/* --- all of a namespace --- */

struct ranges {
    json_t *pod; /* to be filled; NULL: only looked at */
    const json_t *looked_at;
    json_t *items; /* to be gathered, or NULL */
    struct buf *why;
    bool is_refused;
};

static void each_range(void *arg, const struct object *o)
{
    struct ranges *x = arg;
    AUTO_JSON json_t *tree = NULL;
    const json_t *limits;

    if (x->is_refused)
        return;
    tree = object_tree(o);
    limits = json_at(tree, "spec.limits");
    if (x->items)
        json_array_extend(x->items, (json_t *)(uintptr_t)limits);
    else if (x->pod)
        limit_range_default(limits, x->pod);
    else
        x->is_refused = !limit_range_admits(limits, x->looked_at, x->why);
}

void limit_ranges_default(struct cluster *c, json_t *pod)
{
    struct ranges x = {.pod = pod};

    if (c)
        cluster_each(c, KIND_LIMITRANGE, str_of(json_text(pod, "metadata.namespace", "")), NULL,
                     each_range, &x);
}

int limit_ranges_check(struct cluster *c, const json_t *pod, struct denial *d)
{
    struct buf why = BUF_INIT;
    struct ranges x = {.looked_at = pod, .why = &why};
    int r = 0;

    if (c)
        cluster_each(c, KIND_LIMITRANGE, str_of(json_text(pod, "metadata.namespace", "")), NULL,
                     each_range, &x);
    if (x.is_refused)
        r = webhook_deny(d, "pods \"%s\" is forbidden: %s", json_text(pod, "metadata.name", ""),
                         buf_cstr(&why));
    buf_done(&why);
    return r;
}

json_t *limit_ranges_items(struct cluster *c, struct str ns)
{
    struct ranges x = {.items = json_array()};

    cluster_each(c, KIND_LIMITRANGE, ns, NULL, each_range, &x);
    return x.items;
}

/* --- a LimitRange itself --- */

static void check_order(struct field_errors *e, const json_t *item, size_t i, const char *low,
                        const char *high, const char *field, const char *low_name,
                        const char *high_name)
{
    const json_t *map = json_object_get(item, low), *v;
    const char *key;

    json_object_foreach ((json_t *)(uintptr_t)map, key, v) {
        struct quantity a, b;
        char x[64], y[64];

        if (!quantity_at(map, key, &a) || !quantity_at(json_object_get(item, high), key, &b) ||
            a.nano <= b.nano)
            continue;
        AUTO_FREE char *path = mem_printf("spec.limits[%zu].%s[%s]", i, field, key);

        quantity_text(&a, x);
        quantity_text(&b, y);
        field_error(e, "FieldValueInvalid", path,
                    "Invalid value: \"%s\": %s value %s is greater than %s value %s",
                    strcmp(field, low) == 0 ? x : y, low_name, x, high_name, y);
    }
}

static void check_ratios(struct field_errors *e, const json_t *item, size_t i)
{
    const json_t *map = json_object_get(item, "maxLimitRequestRatio"), *v;
    const char *key;

    json_object_foreach ((json_t *)(uintptr_t)map, key, v) {
        AUTO_FREE char *path = mem_printf("spec.limits[%zu].maxLimitRequestRatio[%s]", i, key);
        struct quantity ratio, min, max;
        char text[64];

        if (!quantity_at(map, key, &ratio))
            continue;
        quantity_text(&ratio, text);
        if (ratio.nano < 1000000000)
            field_error(e, "FieldValueInvalid", path,
                        "Invalid value: \"%s\": ratio %s is less than 1", text, text);
        if (quantity_at(json_object_get(item, "min"), key, &min) && min.nano > 0 &&
            quantity_at(json_object_get(item, "max"), key, &max) &&
            quantity_double(&ratio) > quantity_double(&max) / quantity_double(&min))
            field_error(e, "FieldValueInvalid", path,
                        "Invalid value: \"%s\": ratio %s is greater than max/min = %f", text, text,
                        quantity_double(&max) / quantity_double(&min));
    }
}

/* Which of two maps has to be the smaller, which of them the error stands at, what they are called.
 */
static const struct {
    const char *low, *high, *field, *low_name, *high_name;
} orders[] = {
    {"min", "max", "min", "min", "max"},
    {"min", "defaultRequest", "defaultRequest", "min", "default request"},
    {"defaultRequest", "max", "defaultRequest", "default request", "max"},
    {"defaultRequest", "default", "defaultRequest", "default request", "default limit"},
    {"min", "default", "default", "min", "default"},
    {"default", "max", "default", "default", "max"},
};

static void check_limit(struct field_errors *e, const json_t *item, size_t i)
{
    static const char *const only_container[] = {"default", "defaultRequest"};
    AUTO_FREE char *base = mem_printf("spec.limits[%zu]", i), *type = mem_printf("%s.type", base);

    if (!*json_text(item, "type", ""))
        field_error(e, "FieldValueRequired", type, "Required value");
    for (size_t k = 0; k < ARRAY_LEN(only_container); k++) {
        AUTO_FREE char *path = mem_printf("%s.%s", base, only_container[k]);

        if (is_type(item, "Pod") && json_object_size(json_object_get(item, only_container[k])))
            field_error(e, "FieldValueForbidden", path,
                        "Forbidden: may not be specified when `type` is 'Pod'");
    }
    if (is_type(item, "PersistentVolumeClaim") &&
        !json_object_get(json_object_get(item, "min"), "storage") &&
        !json_object_get(json_object_get(item, "max"), "storage"))
        field_error(e, "FieldValueRequired", base,
                    "Required value: either minimum or maximum storage value is required, but "
                    "neither was provided");
    for (size_t k = 0; k < ARRAY_LEN(orders); k++)
        check_order(e, item, i, orders[k].low, orders[k].high, orders[k].field, orders[k].low_name,
                    orders[k].high_name);
    check_ratios(e, item, i);
}

void validate_limitrange(const json_t *o, const json_t *was, struct field_errors *e)
{
    const json_t *list = json_at(o, "spec.limits"), *item;
    size_t i;

    (void)was;
    json_array_foreach ((json_t *)(uintptr_t)list, i, item) {
        for (size_t k = 0; k < i; k++) {
            AUTO_FREE char *path = mem_printf("spec.limits[%zu].type", i);

            if (is_type(json_array_get(list, k), json_text(item, "type", "")))
                field_error(e, "FieldValueDuplicate", path, "Duplicate value: \"%s\"",
                            json_text(item, "type", ""));
        }
        check_limit(e, item, i);
    }
}

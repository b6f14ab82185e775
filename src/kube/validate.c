/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/validate.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "kube/inject.h"
#include "kube/limit_range.h"
#include "kube/rules.h"
#include "kube/schema.h"

#define ANNOTATIONS_MAX 262144

void field_errors_done(struct field_errors *e)
{
    for (size_t i = 0; i < e->n; i++) {
        free(e->items[i].field);
        free(e->items[i].message);
    }
    free(e->items);
    *e = (struct field_errors){0};
}

void field_error(struct field_errors *e, const char *reason, const char *field, const char *fmt,
                 ...)
{
    struct buf message = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&message, fmt, ap);
    va_end(ap);
    mem_grow(&e->items, &e->cap, e->n);
    e->items[e->n++] = (struct field_error){reason, mem_strdup(field), buf_take(&message, NULL)};
}

void denial_done(struct denial *d)
{
    field_errors_done(&d->fields);
    buf_done(&d->message);
    buf_done(&d->warnings);
}

/* --- metadata --- */

static bool is_dns(struct str s, size_t max, bool dots)
{
    if (s.n == 0 || s.n > max)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool edge = i == 0 || i + 1 == s.n || s.p[i - 1] == '.' || s.p[i + 1] == '.';

        if (!alnum && (edge || (c != '-' && !(dots && c == '.'))))
            return false;
    }
    return true;
}

static void check_metadata(const struct kind *k, const json_t *o, struct field_errors *e)
{
    const json_t *meta = json_object_get(o, "metadata"), *v;
    const char *name = json_text(meta, "name", ""), *key;
    size_t total = 0;

    if (k->name_is_label ? !is_dns(str_of(name), 63, false) : !is_dns(str_of(name), 253, true))
        field_error(
            e, "FieldValueInvalid", "metadata.name",
            k->name_is_label
                ? "Invalid value: \"%s\": a lowercase RFC 1123 label must consist of lower case "
                  "alphanumeric characters or '-', and must start and end with an alphanumeric "
                  "character"
                : "Invalid value: \"%s\": a lowercase RFC 1123 subdomain must consist of lower "
                  "case "
                  "alphanumeric characters, '-' or '.', and must start and end with an "
                  "alphanumeric "
                  "character",
            name);
    json_object_foreach (json_object_get(meta, "annotations"), key, v) {
        if (!json_is_string(v))
            field_error(e, "FieldValueTypeInvalid", "metadata.annotations",
                        "Invalid value: the value of \"%s\" must be a string: put it in quotes",
                        key);
        total += strlen(key) + json_string_length(v);
    }
    if (total > ANNOTATIONS_MAX)
        field_error(e, "FieldValueTooLong", "metadata.annotations",
                    "Too long: must have at most %d bytes", ANNOTATIONS_MAX);
    json_object_foreach (json_object_get(meta, "labels"), key, v) {
        if (!json_is_string(v) || json_string_length(v) > 63)
            field_error(
                e, "FieldValueInvalid", "metadata.labels",
                "Invalid value: the value of \"%s\" must be a string of at most 63 characters",
                key);
    }
}

/* --- Service addresses --- */

struct taken {
    uint32_t base;
    uint8_t used[4096 / 8];
};

static void note_address(void *arg, const struct object *o)
{
    struct taken *t = arg;
    AUTO_JSON json_t *tree = object_tree(o);
    struct in_addr a;

    if (inet_pton(AF_INET, json_text(tree, "spec.clusterIP", ""), &a) == 1) {
        uint32_t off = ntohl(a.s_addr) - t->base;

        if (off < 4096)
            t->used[off / 8] |= (uint8_t)(1u << (off % 8));
    }
}

static void assign_cluster_ip(struct cluster *c, json_t *svc)
{
    struct taken *t;

    if (!c || !c->service_block || *json_text(svc, "spec.clusterIP", "") ||
        strcmp(json_text(svc, "spec.type", ""), "ExternalName") == 0)
        return;
    t = mem_zalloc(sizeof(*t));
    t->base = c->service_block;
    cluster_each(c, KIND_SERVICE, STR_NONE, NULL, note_address, t);
    for (uint32_t off = 1; off < 4095; off++) {
        struct in_addr a = {htonl(t->base + off)};
        char text[32];

        if (t->used[off / 8] & (1u << (off % 8)))
            continue;
        inet_ntop(AF_INET, &a, text, sizeof(text));
        json_put(svc, "spec.clusterIP", json_string(text));
        json_put(svc, "spec.clusterIPs", json_pack("[s]", text));
        break;
    }
    free(t);
}

/* An update that leaves the address out means the one it has. */
static void keep_cluster_ip(json_t *svc, const json_t *was)
{
    static const char *const fields[] = {"clusterIP", "clusterIPs"};
    json_t *spec = json_object_get(svc, "spec");

    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (!json_object_get(spec, fields[i]) &&
            json_object_get(json_object_get(was, "spec"), fields[i]))
            json_object_set(spec, fields[i],
                            json_object_get(json_object_get(was, "spec"), fields[i]));
}

/* --- the way of every write --- */

static void mutate(struct cluster *c, const struct kind *k, enum admit_op op, json_t *obj,
                   const json_t *was)
{
    if (k->id == KIND_SERVICE && was)
        keep_cluster_ip(obj, was);
    if (k->defaults)
        k->defaults(obj);
    if (k->id == KIND_SERVICE)
        assign_cluster_ip(c, obj);
    if (k->id == KIND_POD && op == ADMIT_CREATE) {
        mutate_pod(c, obj);
        inject_collector(c, obj);
        limit_ranges_default(c, obj);
        k->defaults(obj); /* of what came in */
    }
}

/* Decoding: what the kind does not have is dropped, with a warning, or refused (strict). */
static int decode(const struct kind *k, json_t *obj, enum field_validation mode, struct denial *d)
{
    struct buf unknown = BUF_INIT;
    struct str rest, line;
    bool first = true;

    schema_prune(k, obj, &unknown);
    if (unknown.n && mode == FIELDS_WARN)
        buf_add_str(&d->warnings, buf_str(&unknown));
    if (unknown.n && mode == FIELDS_STRICT) {
        d->http = 400;
        d->reason = "BadRequest";
        buf_printf(&d->message,
                   "%s in version \"%s\" cannot be handled as a %s: strict decoding "
                   "error: ",
                   k->kind, k->version, k->kind);
        rest = str_n(unknown.p, unknown.n - 1);
        while (str_split(&rest, '\n', &line)) {
            buf_printf(&d->message, "%s%.*s", first ? "" : ", ", STR_ARG(line));
            first = false;
        }
    }
    buf_done(&unknown);
    return d->http ? ERR_BAD_INPUT : 0;
}

int admit(struct cluster *c, const struct kind *k, enum admit_op op, json_t *obj, const json_t *was,
          enum field_validation mode, struct denial *d)
{
    int r = 0;

    if (op == ADMIT_DELETE)
        return 0;
    if ((r = decode(k, obj, mode, d)) < 0)
        return r;
    mutate(c, k, op, obj, was);
    check_metadata(k, obj, &d->fields);
    if (d->fields.n == 0)
        schema_validate(k, obj, &d->fields);
    if (k->validate && d->fields.n == 0)
        k->validate(obj, was, &d->fields);
    if (d->fields.n) {
        d->http = 422;
        d->reason = "Invalid";
        return ERR_INVALID;
    }
    if (k->id == KIND_POD && op == ADMIT_CREATE)
        r = limit_ranges_check(c, obj, d);
    else if (k->id == KIND_STATEFULSET)
        statefulset_warnings(obj, &d->warnings);
    else if (k->id == KIND_INFERENCESERVICE)
        r = webhook_inferenceservice(obj, was, d);
    else if (k->id == KIND_OTELCOLLECTOR)
        r = webhook_collector(obj, was, d);
    else if (k->id == KIND_SCALEDOBJECT)
        r = webhook_scaledobject(c, obj, was, d);
    return r;
}

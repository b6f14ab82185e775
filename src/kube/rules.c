/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/rules.h"

#include "base/mem.h"
#include "codec/quantity.h"

static void not_negative(struct field_errors *e, const json_t *o, const char *path)
{
    const json_t *v = json_at(o, path);

    if (!v || json_is_null(v))
        return;
    if (!json_is_integer(v))
        field_error(e, "FieldValueTypeInvalid", path, "Invalid value: must be an integer");
    else if (json_integer_value(v) < 0)
        field_error(e, "FieldValueInvalid", path,
                    "Invalid value: %lld: must be greater than or equal to 0",
                    (long long)json_integer_value(v));
}

static void one_of(struct field_errors *e, const json_t *o, const char *path,
                   const char *const *allowed)
{
    const char *v = json_text(o, path, NULL);
    struct buf list = BUF_INIT;

    for (size_t i = 0; v && allowed[i]; i++) {
        if (strcmp(v, allowed[i]) == 0) {
            buf_done(&list);
            return;
        }
        buf_printf(&list, "%s\"%s\"", i ? ", " : "", allowed[i]);
    }
    if (v)
        field_error(e, "FieldValueNotSupported", path,
                    "Unsupported value: \"%s\": supported values: %s", v, buf_cstr(&list));
    buf_done(&list);
}

/* --- pods and workloads --- */

static void check_resources(struct field_errors *e, const json_t *c, const char *path, size_t i)
{
    const json_t *requests = json_at(c, "resources.requests"),
                 *limits = json_at(c, "resources.limits"), *v;
    AUTO_FREE char *field = mem_printf("%s[%zu].resources.requests", path, i);
    const char *key;

    json_object_foreach ((json_t *)(uintptr_t)requests, key, v) {
        struct quantity request, limit;
        char x[64], y[64];

        if (quantity_parse(json_strv(v), &request, NULL) == 0 &&
            quantity_parse(json_strv(json_object_get(limits, key)), &limit, NULL) == 0 &&
            request.nano > limit.nano)
            field_error(e, "FieldValueInvalid", field,
                        "Invalid value: \"%s\": must be less than or equal to %s limit of %s",
                        quantity_text(&request, x), key, quantity_text(&limit, y));
    }
}

static void check_containers(struct field_errors *e, const json_t *spec, const char *base)
{
    const json_t *list = json_object_get(spec, "containers"), *c;
    AUTO_FREE char *path = mem_printf("%s.containers", base);
    size_t i;

    if (json_array_size(list) == 0)
        field_error(e, "FieldValueRequired", path, "Required value");
    json_array_foreach ((json_t *)list, i, c) {
        AUTO_FREE char *name = mem_printf("%s[%zu].name", path, i);
        AUTO_FREE char *image = mem_printf("%s[%zu].image", path, i);

        if (!json_is_object(c)) {
            field_error(e, "FieldValueTypeInvalid", path,
                        "Invalid value: must be a list of objects");
            return;
        }
        if (!*json_text(c, "name", ""))
            field_error(e, "FieldValueRequired", name, "Required value");
        if (!*json_text(c, "image", ""))
            field_error(e, "FieldValueRequired", image, "Required value");
        check_resources(e, c, path, i);
        for (size_t k = 0; k < i; k++)
            if (strcmp(json_text(json_array_get(list, k), "name", ""), json_text(c, "name", "?")) ==
                0)
                field_error(e, "FieldValueDuplicate", name, "Duplicate value: \"%s\"",
                            json_text(c, "name", ""));
    }
}

void validate_pod(const json_t *o, const json_t *was, struct field_errors *e)
{
    static const char *const policies[] = {"Always", "OnFailure", "Never", NULL};

    if (was)
        return;
    check_containers(e, json_object_get(o, "spec"), "spec");
    one_of(e, o, "spec.restartPolicy", policies);
    not_negative(e, o, "spec.terminationGracePeriodSeconds");
}

/* What all kinds with a selector and a template have in common. */
static void check_workload(const json_t *o, struct field_errors *e)
{
    const json_t *selector = json_at(o, "spec.selector");
    struct selector *s = NULL;
    struct err err = ERR_INIT;

    not_negative(e, o, "spec.replicas");
    not_negative(e, o, "spec.minReadySeconds");
    check_containers(e, json_at(o, "spec.template.spec"), "spec.template.spec");
    if (json_object_size(selector) == 0) {
        field_error(e, "FieldValueRequired", "spec.selector", "Required value");
    } else if (selector_from_json(selector, false, &s, &err) < 0) {
        field_error(e, "FieldValueInvalid", "spec.selector", "Invalid value: %s", err.msg);
    } else if (!selector_matches_labels(s, json_at(o, "spec.template.metadata.labels"))) {
        field_error(e, "FieldValueInvalid", "spec.template.metadata.labels",
                    "Invalid value: `selector` does not match template `labels`");
    }
    selector_free(s);
}

void validate_workload(const json_t *o, const json_t *was, struct field_errors *e)
{
    static const char *const types[] = {"Recreate", "RollingUpdate", NULL};

    one_of(e, o, "spec.strategy.type", types);
    check_workload(o, e);
    if (was && !json_equal(json_at(was, "spec.selector"), json_at(o, "spec.selector")))
        field_error(e, "FieldValueInvalid", "spec.selector", "Invalid value: field is immutable");
}

/* --- StatefulSets and their revisions --- */

static void one_of_two(struct field_errors *e, const json_t *o, const char *path, const char *first,
                       const char *second)
{
    const char *v = json_text(o, path, "");

    if (strcmp(v, first) != 0 && strcmp(v, second) != 0)
        field_error(e, "FieldValueInvalid", path, "Invalid value: \"%s\": must be '%s' or '%s'", v,
                    first, second);
}

/* At most one of several pods, and never none, is what it means to replace them in order. */
static void check_max_unavailable(const json_t *o, struct field_errors *e)
{
    const char *path = "spec.updateStrategy.rollingUpdate.maxUnavailable";
    const json_t *v = json_at(o, path);
    struct str s = json_strv(v);
    int64_t n = 0;

    if (!v || json_is_null(v))
        return;
    if (json_is_integer(v))
        n = json_integer_value(v);
    else if (!s.n || s.p[s.n - 1] != '%' || !str_to_i64((struct str){s.p, s.n - 1}, &n) || n > 100)
        n = 0;
    if (n < 1)
        field_error(e, "FieldValueInvalid", path,
                    "Invalid value: must be a number from 1 on or a percentage from \"1%%\" to "
                    "\"100%%\"");
}

/* The spec without what may change. */
static json_t *fixed_part(const json_t *o)
{
    static const char *const free_fields[] = {"replicas",
                                              "ordinals",
                                              "template",
                                              "updateStrategy",
                                              "revisionHistoryLimit",
                                              "persistentVolumeClaimRetentionPolicy",
                                              "minReadySeconds"};
    json_t *spec = json_copy(json_object_get(o, "spec"));

    for (size_t i = 0; i < ARRAY_LEN(free_fields); i++)
        json_object_del(spec, free_fields[i]);
    return spec;
}

void validate_statefulset(const json_t *o, const json_t *was, struct field_errors *e)
{
    static const char *const policies[] = {"Always", NULL}, *const keep[] = {"Delete", "Retain",
                                                                             NULL};
    AUTO_JSON json_t *now = fixed_part(o), *before = was ? fixed_part(was) : NULL;

    check_workload(o, e);
    not_negative(e, o, "spec.ordinals.start");
    not_negative(e, o, "spec.revisionHistoryLimit");
    not_negative(e, o, "spec.updateStrategy.rollingUpdate.partition");
    one_of_two(e, o, "spec.podManagementPolicy", "OrderedReady", "Parallel");
    one_of_two(e, o, "spec.updateStrategy.type", "RollingUpdate", "OnDelete");
    if (strcmp(json_text(o, "spec.updateStrategy.type", ""), "OnDelete") == 0 &&
        json_is_object(json_at(o, "spec.updateStrategy.rollingUpdate")))
        field_error(e, "FieldValueInvalid", "spec.updateStrategy.rollingUpdate",
                    "Invalid value: only allowed for updateStrategy 'RollingUpdate'");
    check_max_unavailable(o, e);
    one_of(e, o, "spec.template.spec.restartPolicy", policies);
    one_of(e, o, "spec.persistentVolumeClaimRetentionPolicy.whenDeleted", keep);
    one_of(e, o, "spec.persistentVolumeClaimRetentionPolicy.whenScaled", keep);
    if (before && !json_equal(now, before))
        field_error(e, "FieldValueForbidden", "spec",
                    "Forbidden: updates to statefulset spec for fields other than 'replicas', "
                    "'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
                    "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
}

void statefulset_warnings(const json_t *o, struct buf *out)
{
    const json_t *claims = json_at(o, "spec.volumeClaimTemplates"), *claim;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)claims, i, claim)
        buf_printf(out,
                   "spec.volumeClaimTemplates[%zu]: no PersistentVolumeClaim is made here, an "
                   "emptyDir \"%s\" stands in its place; no volume is mounted: containers see "
                   "this machine's files, so name a directory by $(POD_NAME)\n",
                   i, json_text(claim, "metadata.name", ""));
}

void validate_controllerrevision(const json_t *o, const json_t *was, struct field_errors *e)
{
    not_negative(e, o, "revision");
    if (!json_object_get(o, "data"))
        field_error(e, "FieldValueRequired", "data", "Required value");
    if (was && !json_equal(json_object_get(was, "data"), json_object_get(o, "data")))
        field_error(e, "FieldValueInvalid", "data", "Invalid value: field is immutable");
}

void validate_service(const json_t *o, const json_t *was, struct field_errors *e)
{
    const json_t *p;
    size_t i;

    json_array_foreach (json_at(o, "spec.ports"), i, p) {
        int64_t port = json_int(p, "port", 0);
        AUTO_FREE char *path = mem_printf("spec.ports[%zu].port", i);

        if (port < 1 || port > 65535)
            field_error(e, "FieldValueInvalid", path,
                        "Invalid value: %lld: must be between 1 and 65535, inclusive",
                        (long long)port);
    }
    if (was && *json_text(was, "spec.clusterIP", "") &&
        strcmp(json_text(was, "spec.clusterIP", ""), json_text(o, "spec.clusterIP", "")) != 0)
        field_error(e, "FieldValueInvalid", "spec.clusterIP", "Invalid value: field is immutable");
}

/* --- ScaledObject: the rule of its CRD that no field table holds (keda.md 1.1) --- */

void validate_scaledobject(const json_t *o, const json_t *was, struct field_errors *e)
{
    int64_t min = json_int(o, "spec.minReplicaCount", 0),
            max = json_int(o, "spec.maxReplicaCount", 100);

    (void)was;
    if (min > max)
        field_error(
            e, "FieldValueInvalid", "spec",
            "Invalid value: minReplicaCount (%lld) must not be greater than maxReplicaCount (%lld)",
            (long long)min, (long long)max);
}

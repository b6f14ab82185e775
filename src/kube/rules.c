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

void validate_workload(const json_t *o, const json_t *was, struct field_errors *e)
{
    static const char *const types[] = {"Recreate", "RollingUpdate", NULL};
    const json_t *selector = json_at(o, "spec.selector");
    struct selector *s = NULL;
    struct err err = ERR_INIT;

    not_negative(e, o, "spec.replicas");
    not_negative(e, o, "spec.minReadySeconds");
    one_of(e, o, "spec.strategy.type", types);
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
    if (was && !json_equal(json_at(was, "spec.selector"), selector))
        field_error(e, "FieldValueInvalid", "spec.selector", "Invalid value: field is immutable");
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

/* SPDX-License-Identifier: Apache-2.0
 *
 * The OpenTelemetry operator's webhook for its collectors (otel.md 5.1). */
#include "base/mem.h"
#include "codec/yaml.h"
#include "kube/collector.h"
#include "kube/rules.h"

#define CREATE_HOOK \
    "admission webhook \"vopentelemetrycollectorcreateupdatebeta.kb.io\" denied the request: "

/* The sections are free-form, so they stand in no field table. */
static void check_sections(const json_t *config, struct field_errors *e)
{
    static const char *const required[] = {"receivers", "exporters", "service",
                                           "service.pipelines"};

    for (size_t i = 0; i < ARRAY_LEN(required); i++) {
        const json_t *v = json_at(config, required[i]);
        AUTO_FREE char *path = mem_printf("spec.config.%s", required[i]);

        if (!v || json_is_null(v))
            field_error(e, "FieldValueRequired", path, "Required value");
        else if (!json_is_object(v))
            field_error(e, "FieldValueTypeInvalid", path,
                        "Invalid value: %s in body must be of type object", path);
    }
}

void validate_collector(const json_t *o, const json_t *was, struct field_errors *e)
{
    const json_t *config = json_at(o, "spec.config");
    AUTO_JSON json_t *parsed = NULL;
    struct err err = ERR_INIT;

    (void)was;
    if (json_is_object(config))
        check_sections(config, e);
    /* v1alpha1's text, which conversion could not read */
    else if (json_is_string(config) && yaml_parse(json_strv(config), &parsed, &err) < 0)
        field_error(e, "FieldValueInvalid", "spec.config",
                    "Invalid value: the text is not YAML: %s", err.msg);
    else
        field_error(e, "FieldValueTypeInvalid", "spec.config",
                    "Invalid value: spec.config in body must be of type object (text is "
                    "v1alpha1's form)");
}

static bool is_set(const json_t *v)
{
    return v && !json_is_null(v) &&
           !((json_is_object(v) || json_is_array(v)) && json_object_size(v) == 0 &&
             json_array_size(v) == 0) &&
           !(json_is_string(v) && json_string_length(v) == 0);
}

static void warn(const json_t *config, struct denial *d)
{
    struct buf text = BUF_INIT;
    struct str rest, line;

    if (collector_null_sections(config, &text))
        buf_printf(&d->warnings,
                   "spec.config has null sections (%s): write {} instead, tools that merge "
                   "configurations drop nulls\n",
                   buf_cstr(&text));
    buf_clear(&text);
    if (collector_config_problems(config, &text)) {
        rest = str_n(text.p, text.n - 1);
        while (str_split(&rest, '\n', &line))
            buf_printf(&d->warnings, "no collector can start with this: spec.config.%.*s\n",
                       STR_ARG(line));
    }
    buf_done(&text);
}

int webhook_collector(const json_t *o, const json_t *was, struct denial *d)
{
    static const char *const not_in_sidecars[] = {
        "tolerations",          "priorityClassName",    "affinity",
        "additionalContainers", "volumeClaimTemplates", "ingress"};
    const json_t *spec = json_object_get(o, "spec");
    const char *mode = json_text(spec, "mode", ""), *before = json_text(was, "spec.mode", mode);

    if (strcmp(mode, before) != 0)
        return webhook_deny(d,
                            CREATE_HOOK "the OpenTelemetry Collector mode is set to %s and cannot "
                                        "be changed to %s: delete the resource and create it anew",
                            before, mode);
    for (size_t i = 0; strcmp(mode, "sidecar") == 0 && i < ARRAY_LEN(not_in_sidecars); i++)
        if (is_set(json_object_get(spec, not_in_sidecars[i])))
            return webhook_deny(d,
                                CREATE_HOOK "the OpenTelemetry Collector mode is set to sidecar, "
                                            "which does not support the attribute '%s'",
                                not_in_sidecars[i]);
    warn(json_object_get(spec, "config"), d);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/collector.h"

#include <stdio.h>

#include "base/mem.h"
#include "codec/yaml.h"

/* Sets key unless it is there; steals v. */
static void def(json_t *o, const char *key, json_t *v)
{
    if (json_object_get(o, key) && !json_is_null(json_object_get(o, key)))
        json_decref(v);
    else
        json_object_set_new(o, key, v);
}

void default_collector(json_t *o)
{
    json_t *spec = json_object_get(o, "spec"), *config = json_object_get(spec, "config");

    if (!json_is_object(spec))
        return;
    def(spec, "mode", json_string("deployment"));
    def(spec, "managementState", json_string("managed"));
    def(spec, "upgradeStrategy", json_string("automatic"));
    def(spec, "replicas", json_integer(1));
    def(spec, "configVersions", json_integer(3));
    /* the address only where the user said nothing about telemetry */
    if (json_is_object(json_object_get(config, "service")) &&
        !json_at(config, "service.telemetry.metrics"))
        json_put(config, "service.telemetry.metrics.address", json_string("0.0.0.0:8888"));
}

/* --- versions --- */

void collector_to_v1alpha1(json_t *o)
{
    json_t *spec = json_object_get(o, "spec"), *config = json_object_get(spec, "config"),
           *scaler = json_object_get(spec, "autoscaler");
    static const char *const bounds[] = {"minReplicas", "maxReplicas"};
    struct buf text = BUF_INIT;

    if (json_is_object(config)) {
        yaml_write(&text, config);
        json_object_set_new(spec, "config", json_str_new(buf_str(&text)));
        buf_done(&text);
    }
    for (size_t i = 0; i < ARRAY_LEN(bounds); i++)
        if (json_object_get(scaler, bounds[i]))
            json_object_set(spec, bounds[i], json_object_get(scaler, bounds[i]));
}

void collector_from_v1alpha1(json_t *o)
{
    json_t *spec = json_object_get(o, "spec"), *config = NULL;
    static const char *const bounds[] = {"minReplicas", "maxReplicas"};

    if (json_is_string(json_object_get(spec, "config")) &&
        yaml_parse(json_strv(json_object_get(spec, "config")), &config, NULL) == 0)
        json_object_set_new(spec, "config", config);
    for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
        json_t *v = json_object_get(spec, bounds[i]);
        AUTO_FREE char *path = mem_printf("autoscaler.%s", bounds[i]);

        if (json_is_integer(v))
            json_put(spec, path, json_incref(v));
        json_object_del(spec, bounds[i]);
    }
}

/* --- findings --- */

/* A pipeline's list must name components that the section (or, for receivers and exporters, the
 * connectors) defines. */
static bool check_list(const json_t *config, const char *pipeline, const json_t *p,
                       const char *section, struct buf *out)
{
    const json_t *list = json_object_get(p, section), *v;
    bool is_processors = strcmp(section, "processors") == 0, bad = false;
    size_t i;

    if (json_array_size(list) == 0 && !is_processors) {
        buf_printf(out, "service.pipelines.%s.%s: at least one is needed\n", pipeline, section);
        return true;
    }
    json_array_foreach ((json_t *)list, i, v) {
        const char *name = json_string_value(v);

        if (name &&
            (json_object_get(json_object_get(config, section), name) ||
             (!is_processors && json_object_get(json_object_get(config, "connectors"), name))))
            continue;
        buf_printf(out, "service.pipelines.%s.%s[%zu]: '%s' is not defined under %s\n", pipeline,
                   section, i, name ? name : "?", section);
        bad = true;
    }
    return bad;
}

bool collector_config_problems(const json_t *config, struct buf *out)
{
    const json_t *pipelines = json_at(config, "service.pipelines"), *p;
    const char *name;
    bool bad = false;

    if (json_object_size(pipelines) == 0) {
        buf_add_cstr(out, "service.pipelines: no pipeline is defined, so nothing would run\n");
        return true;
    }
    json_members (pipelines, name, p) {
        static const char *const sections[] = {"receivers", "processors", "exporters"};

        for (size_t i = 0; i < ARRAY_LEN(sections); i++)
            bad |= check_list(config, name, p, sections[i], out);
    }
    return bad;
}

bool collector_null_sections(const json_t *config, struct buf *out)
{
    static const char *const sections[] = {"receivers",  "processors", "exporters",
                                           "connectors", "extensions", "service"};
    size_t was = out->n;

    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        const json_t *section = json_object_get(config, sections[i]), *v;
        const char *key;

        if (json_is_null(section))
            buf_printf(out, "%s%s", out->n > was ? ", " : "", sections[i]);
        json_members (section, key, v)
            if (json_is_null(v))
                buf_printf(out, "%s%s.%s", out->n > was ? ", " : "", sections[i], key);
    }
    return out->n > was;
}

const char *collector_label(struct str ns, struct str name, char out[64])
{
    size_t n = (size_t)snprintf(out, 64, "%.*s.%.*s", STR_ARG(ns), STR_ARG(name));

    /* a label's value must end with a letter or digit, wherever it was cut */
    for (n = n < 63 ? n : 63; n > 0 && (out[n - 1] == '.' || out[n - 1] == '-'); n--)
        out[n - 1] = '\0';
    return out;
}

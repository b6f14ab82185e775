/* SPDX-License-Identifier: Apache-2.0
 *
 * Metadata and authentication of triggers, and what they send. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "triggers/external.h"
#include "triggers/metrics_api.h"
#include "triggers/trigger.h"
#include "vectors.h"

/* --- metadata of triggers --- */

/* --- a client that keeps what is sent --- */

struct catcher {
    struct http_client client;
    struct buf url, headers; /* "name: value\n" */
    bool has_tls;
    size_t n;
};

static void keep_headers(struct buf *out, const struct http_headers *h)
{
    for (size_t i = 0; i < h->n; i++)
        buf_printf(out, "%.*s: %.*s\n", STR_ARG(h->items[i].name), STR_ARG(h->items[i].value));
}

static struct http_call *catch_call(struct http_client *client, const struct http_call_options *o)
{
    struct catcher *c = (struct catcher *)client;

    buf_add_cstr(&c->url, o->url);
    keep_headers(&c->headers, o->headers);
    keep_headers(&c->headers, o->secrets);
    c->has_tls = o->tls != NULL;
    c->n++;
    return NULL;
}

static const struct http_client_ops catcher_ops = {.send = catch_call};

static bool has_line(struct buf *why, const struct catcher *c, const char *name, const char *value)
{
    AUTO_FREE char *line = mem_printf("%s: %s\n", name, value);

    if (strstr(buf_cstr(&c->headers), line))
        return true;
    buf_printf(why, "no header %s among '%s'; ", line, buf_cstr(&c->headers));
    return false;
}

static bool same_request(struct buf *why, const struct catcher *c, const json_t *expect)
{
    const char *authorization = json_text(expect, "authorization", NULL), *name;
    const json_t *value;
    bool ok = true;

    if (authorization)
        ok &= has_line(why, c, "Authorization", authorization);
    json_members (json_object_get(expect, "headers"), name, value)
        ok &= has_line(why, c, name, json_string_value(value));
    return ok;
}

/* ca alone is used: then its text, which is none, is complained of. */
static bool same_ca(struct buf *why, struct trigger *t, const json_t *expect)
{
    struct decision_metric m;
    char warning[10];

    if (!json_object_get(expect, "customCA"))
        return true;
    trigger_value(t, 0, &(struct trigger_target){0}, &m, warning, sizeof(warning));
    return vector_same_int(why, "customCA", strstr(m.why, "ca, cert or key") != NULL,
                           json_bool(expect, "customCA", false));
}

/* What an external scaler would get, and how. */
static bool same_external(struct buf *why, const struct trigger *t, const json_t *given,
                          const json_t *expect)
{
    bool ok = true;

    if (!str_starts(str_of(json_text(given, "type", "")), STR("external")))
        return true;
    if (json_object_get(expect, "tls"))
        ok &= vector_same_int(why, "tls", external_uses_tls(t), json_bool(expect, "tls", false));
    if (json_object_get(expect, "sentMetadata"))
        ok &= vector_same_json(why, "sentMetadata", external_sent_metadata(t),
                               json_object_get(expect, "sentMetadata"));
    return ok;
}

/* Every parameter of expect.param stands in the text. */
static bool names_params(struct buf *why, const char *text, const char *params)
{
    struct str rest = str_of(params), one;
    bool ok = true;

    while (str_split(&rest, ',', &one)) {
        if (str_find(str_of(text), one) < 0) {
            buf_printf(why, "'%s' does not name %.*s; ", text, STR_ARG(one));
            ok = false;
        }
    }
    return ok;
}

static bool same_spec(struct buf *why, const struct trigger *t, const json_t *expect)
{
    AUTO_JSON json_t *spec = trigger_metric_spec(t, "so");
    const char *type = json_text(spec, "type", ""),
               *member = strcmp(type, "Resource") == 0            ? "resource"
                         : strcmp(type, "ContainerResource") == 0 ? "containerResource"
                                                                  : "external";
    const json_t *target = json_object_get(json_object_get(spec, member), "target");
    const char *kind = json_text(target, "type", "");
    bool ok = true;

    if (json_object_get(expect, "source"))
        ok &= vector_same_text(why, "source", type, json_text(expect, "source", ""));
    if (json_object_get(expect, "targetType"))
        ok &= vector_same_text(why, "targetType", kind, json_text(expect, "targetType", ""));
    if (json_object_get(expect, "target"))
        ok &= vector_same_text(
            why, "target",
            json_text(target, strcmp(kind, "Value") == 0 ? "value" : "averageValue", ""),
            json_text(expect, "target", ""));
    if (json_object_get(expect, "averageUtilization"))
        ok &= vector_same_int(why, "averageUtilization", json_int(target, "averageUtilization", -1),
                              json_int(expect, "averageUtilization", -2));
    if (json_object_get(expect, "metricName"))
        ok &= vector_same_text(why, "metricName", trigger_metric_name(t),
                               json_text(expect, "metricName", ""));
    return ok;
}

static void read_auth(const json_t *given, struct auth *a)
{
    const char *name;
    const json_t *value;

    json_members (json_object_get(given, "authParams"), name, value)
        auth_set_param(a, name, json_strv(value));
    json_members (json_object_get(given, "env"), name, value)
        auth_table_set(&a->env, str_of(name), json_strv(value));
    if (json_object_get(given, "podIdentity"))
        a->pod_identity = mem_strdup(json_text(given, "podIdentity", ""));
}

bool vector_trigger_metadata(const json_t *v, struct buf *why)
{
    const json_t *given = json_object_get(v, "given"), *expect = json_object_get(v, "expect");
    struct cluster cluster = {.loop = loop_new_sim(0)};
    struct catcher catcher = {.client = {.ops = &catcher_ops}};
    struct trigger_world world = {.cluster = &cluster, .http = &catcher.client};
    AUTO_JSON json_t *spec = json_pack("{s:O,s:O,s:s}", "type", json_object_get(given, "type"),
                                       "metadata", json_object_get(given, "metadata"), "metricType",
                                       json_text(given, "metricType", ""));
    struct auth auth = {0};
    struct trigger_options options = {.world = &world,
                                      .ns = STR("default"),
                                      .spec = spec,
                                      .poll_ms = 1000,
                                      .has_modifiers = json_bool(given, "scalingModifiers", false),
                                      .auth = &auth};
    struct trigger *t = NULL;
    struct err err = ERR_INIT;
    bool ok;
    int r;

    read_auth(given, &auth);
    r = trigger_new(&options, &t, &err);
    if (r == 0)
        loop_run_for(cluster.loop, 1);
    if (json_bool(expect, "ok", false))
        ok = r == 0 && same_spec(why, t, expect) && same_request(why, &catcher, expect) &&
             same_ca(why, t, expect) && same_external(why, t, given, expect);
    else
        ok = r < 0 && names_params(why, err.msg, json_text(expect, "param", ""));
    if (!ok)
        buf_printf(why, "result %d %s", r, err.msg);
    trigger_free(t);
    auth_done(&auth);
    buf_done(&catcher.url);
    buf_done(&catcher.headers);
    loop_free(cluster.loop);
    return ok;
}

bool vector_metrics_api(const json_t *v, struct buf *why)
{
    static const char *const formats[] = {"prometheus", "json", "xml", "yaml"};
    const json_t *given = json_object_get(v, "given"),
                 *wanted = json_object_get(json_object_get(v, "expect"), "value");
    double value = 0;
    struct err err = ERR_INIT;
    int format = 0, r;

    while (strcmp(formats[format], json_text(given, "format", "")) != 0)
        format++;
    r = metrics_api_read((enum metrics_api_format)format, json_strv(json_object_get(given, "body")),
                         json_strv(json_object_get(given, "valueLocation")), &value, &err);
    if (wanted ? r == 0 && value == json_number_value(wanted) : r < 0)
        return true;
    buf_printf(why, "result %d, value %g, error '%s'", r, value, err.msg);
    return false;
}

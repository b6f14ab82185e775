/* SPDX-License-Identifier: Apache-2.0
 *
 * What there is (kube-api.md 3, 5), made from the table of kinds. */
#include <stdio.h>

#include "apiserver/apiserver_int.h"
#include "base/mem.h"
#include "kube/openapi.h"
#include "kube/status.h"

static const char verbs[] =
    "[\"create\",\"delete\",\"deletecollection\",\"get\",\"list\",\"patch\",\"update\",\"watch\"]";

bool is_discovery(struct str path)
{
    static const char *const fixed[] = {"/api", "/apis", "/version", "/openapi/v2", "/openapi/v3"};
    size_t slashes = 0;

    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        if (str_is(path, fixed[i]))
            return true;
    for (size_t i = 0; i < path.n; i++)
        slashes += path.p[i] == '/';
    return (str_starts(path, STR("/api/")) && slashes == 2) ||
           (str_starts(path, STR("/apis/")) && (slashes == 2 || slashes == 3));
}

/* Groups in the order of the kinds; core is not one of them. */
static const char *group_at(size_t n)
{
    size_t seen = 0;

    for (int i = 0; i < KIND_COUNT; i++) {
        const struct kind *k = kind_of((enum kind_id)i);
        bool first = k->group[0] != '\0';

        for (int j = 0; j < i && first; j++)
            first = strcmp(kind_of((enum kind_id)j)->group, k->group) != 0;
        if (first && seen++ == n)
            return k->group;
    }
    return NULL;
}

static void add_version(struct buf *b, const char *group, const char *version, bool *first)
{
    buf_printf(b, "%s{\"groupVersion\":\"%s/%s\",\"version\":\"%s\"}", *first ? "" : ",", group,
               version, version);
    *first = false;
}

static bool seen_version(const char *group, const char *version, int before)
{
    for (int i = 0; i < before; i++)
        if (strcmp(kind_of((enum kind_id)i)->group, group) == 0 &&
            strcmp(kind_of((enum kind_id)i)->version, version) == 0)
            return true;
    return false;
}

static void write_group(struct buf *b, const char *group, bool alone)
{
    const char *preferred = NULL;
    bool first = true;

    buf_printf(b, "{%s\"name\":\"%s\",\"versions\":[",
               alone ? "\"kind\":\"APIGroup\",\"apiVersion\":\"v1\"," : "", group);
    for (int i = 0; i < KIND_COUNT; i++) {
        const struct kind *k = kind_of((enum kind_id)i);

        if (strcmp(k->group, group) != 0)
            continue;
        if (!preferred || strcmp(preferred, "v1alpha1") == 0)
            preferred = k->version;
        if (!seen_version(group, k->version, i))
            add_version(b, group, k->version, &first);
        for (const struct kind_alias *a = k->aliases; a && a->version; a++)
            add_version(b, group, a->version, &first);
    }
    buf_printf(b, "],\"preferredVersion\":{\"groupVersion\":\"%s/%s\",\"version\":\"%s\"}}", group,
               preferred, preferred);
}

static void write_resource(struct buf *b, const struct kind *k, bool *first)
{
    buf_printf(
        b,
        "%s{\"name\":\"%s\",\"singularName\":\"%s\",\"namespaced\":%s,\"kind\":\"%s\",\"verbs\":%s",
        *first ? "" : ",", k->plural, k->singular, k->namespaced ? "true" : "false", k->kind,
        verbs);
    *first = false;
    if (k->short_names[0]) {
        buf_add_cstr(b, ",\"shortNames\":[");
        for (int i = 0; i < 4 && k->short_names[i]; i++)
            buf_printf(b, "%s\"%s\"", i ? "," : "", k->short_names[i]);
        buf_add_char(b, ']');
    }
    if (k->in_all)
        buf_add_cstr(b, ",\"categories\":[\"all\"]");
    buf_add_char(b, '}');
    if (k->has_status)
        buf_printf(
            b,
            ",{\"name\":\"%s/status\",\"singularName\":\"\",\"namespaced\":%s,\"kind\":\"%s\","
            "\"verbs\":[\"get\",\"patch\",\"update\"]}",
            k->plural, k->namespaced ? "true" : "false", k->kind);
    if (k->scale_spec)
        buf_printf(
            b,
            ",{\"name\":\"%s/"
            "scale\",\"singularName\":\"\",\"namespaced\":true,\"group\":\"autoscaling\","
            "\"version\":\"v1\",\"kind\":\"Scale\",\"verbs\":[\"get\",\"patch\",\"update\"]}",
            k->plural);
    if (k->id == KIND_POD)
        buf_add_cstr(
            b, ",{\"name\":\"pods/log\",\"singularName\":\"\",\"namespaced\":true,\"kind\":\"Pod\","
               "\"verbs\":[\"get\"]}");
}

static bool serves(const struct kind *k, struct str group, struct str version)
{
    if (!str_is(group, k->group))
        return false;
    if (str_is(version, k->version))
        return true;
    for (const struct kind_alias *a = k->aliases; a && a->version; a++)
        if (str_is(version, a->version))
            return true;
    return false;
}

static bool write_resources(struct buf *b, struct str group, struct str version)
{
    bool first = true;

    buf_printf(b,
               "{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",\"groupVersion\":\"%.*s%s%.*"
               "s\",\"resources\":[",
               STR_ARG(group), group.n ? "/" : "", STR_ARG(version));
    for (int i = 0; i < KIND_COUNT; i++)
        if (serves(kind_of((enum kind_id)i), group, version))
            write_resource(b, kind_of((enum kind_id)i), &first);
    buf_add_cstr(b, "]}");
    return !first;
}

static bool is_group(struct str name)
{
    for (size_t i = 0; group_at(i); i++)
        if (str_is(name, group_at(i)))
            return true;
    return false;
}

static void serve_openapi(struct http_x *x)
{
    struct buf doc = BUF_INIT;

    openapi_v2(&doc);
    http_x_reply(x, 200, OPENAPI_V2_TYPE, NULL, buf_str(&doc));
    buf_done(&doc);
}

void serve_discovery(struct apiserver *a, struct http_x *x, struct str path)
{
    struct buf b = BUF_INIT;
    struct str rest, group = STR(""), version = STR("");
    bool ok = true;

    if (str_is(path, "/openapi/v2")) {
        serve_openapi(x);
        return;
    }
    if (str_is(path, "/version")) {
        buf_add_cstr(
            &b,
            "{\"major\":\"1\",\"minor\":\"33\",\"gitVersion\":\"v1.33.0+flyball-" FLYBALL_VERSION
            "\",\"gitCommit\":\"\",\"gitTreeState\":\"clean\",\"buildDate\":\"2026-01-01T00:00:"
            "00Z\","
            "\"goVersion\":\"n/a\",\"compiler\":\"c\",\"platform\":\"linux/amd64\"}");
    } else if (str_is(path, "/api")) {
        buf_add_cstr(
            &b,
            "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],\"serverAddressByClientCIDRs\":[]}");
    } else if (str_is(path, "/apis")) {
        buf_add_cstr(&b, "{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[");
        for (size_t i = 0; group_at(i); i++) {
            buf_add_cstr(&b, i ? "," : "");
            write_group(&b, group_at(i), false);
        }
        metrics_api_groups(a, &b);
        buf_add_cstr(&b, "]}");
    } else if (str_starts(path, STR("/api/"))) {
        ok = write_resources(&b, STR(""), str_skip(path, 5));
    } else if (str_starts(path, STR("/apis/"))) {
        rest = str_skip(path, 6);
        str_split(&rest, '/', &group);
        ok = is_group(group);
        if (rest.p)
            version = rest;
        if (!ok) {
            ok = metrics_api_discovery(a, group, version, &b);
        } else if (version.n) {
            ok = write_resources(&b, group, version);
        } else {
            AUTO_FREE char *name = str_dup(group);

            write_group(&b, name, true);
        }
    } else {
        ok = false;
    }
    if (!ok) {
        buf_clear(&b);
        status_no_such_path(&b);
    }
    reply_body(x, ok ? 200 : 404, &b);
}

bool serve_review(struct apiserver *a, struct http_x *x, struct str path)
{
    struct buf b = BUF_INIT;

    (void)a;
    if (!str_is(http_x_request(x)->method, "POST"))
        return false;
    if (str_is(path, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"))
        buf_add_cstr(
            &b, "{\"kind\":\"SelfSubjectAccessReview\",\"apiVersion\":\"authorization.k8s.io/v1\","
                "\"metadata\":{},\"spec\":{},\"status\":{\"allowed\":true,\"reason\":\"the "
                "administrator may do everything\"}}");
    else if (str_is(path, "/apis/authentication.k8s.io/v1/selfsubjectreviews"))
        buf_add_cstr(&b, "{\"kind\":\"SelfSubjectReview\",\"apiVersion\":\"authentication.k8s.io/"
                         "v1\",\"metadata\":{},"
                         "\"status\":{\"userInfo\":{\"username\":\"flyball-admin\",\"groups\":["
                         "\"system:masters\","
                         "\"system:authenticated\"]}}}");
    else
        return false;
    reply_body(x, 201, &b);
    return true;
}

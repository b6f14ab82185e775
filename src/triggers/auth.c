/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define FILE_MAX ((size_t)1 << 20)
#define FILE_AGAIN_MS 60000 /* a file is no object that tells of its changes */
#define SCRUB_MIN 4

/* --- parameters --- */

const char *auth_param(const struct auth *a, const char *name)
{
    return table_get(&a->params, str_of(name));
}

void auth_set_param(struct auth *a, const char *name, struct str value)
{
    value = str_trim(value);
    if (value.n)
        auth_table_set(&a->params, str_of(name), value);
}

bool auth_depends_on(const struct auth *a, enum kind_id kind, struct str ns, struct str name)
{
    for (size_t i = 0; i < a->n_sources; i++)
        if (a->sources[i].kind == kind && str_is(ns, a->sources[i].ns) &&
            str_is(name, a->sources[i].name))
            return true;
    return false;
}

/* Of the parameters these are no secrets, and may well be words of any text. */
static bool is_open(struct str param)
{
    static const char *const open[] = {
        "username", "ca",        "cert",   "caCert",   "tlsClientCert", "customAuthHeader",
        "authMode", "authModes", "scopes", "clientID", "oauthTokenURI"};

    for (size_t i = 0; i < ARRAY_LEN(open); i++)
        if (str_is(param, open[i]))
            return true;
    return false;
}

static void scrub(char *text, const char *secret)
{
    size_t n = strlen(secret);

    if (n < SCRUB_MIN)
        return;
    for (char *at = strstr(text, secret); at; at = strstr(at, secret)) {
        memset(at, '*', 3);
        memmove(at + 3, at + n, strlen(at + n) + 1);
        at += 3;
    }
}

void auth_scrub(const struct auth *a, char *text)
{
    struct str name;
    size_t i = 0;
    void *v;

    while (table_next(&a->params, &i, &name, &v))
        if (!is_open(name))
            scrub(text, v);
    i = 0;
    while (table_next(&a->env, &i, NULL, &v))
        scrub(text, v);
}

void auth_done(struct auth *a)
{
    auth_table_done(&a->params);
    auth_table_done(&a->env);
    buf_done(&a->missing);
    free(a->pod_identity);
    for (size_t i = 0; i < a->n_sources; i++) {
        free(a->sources[i].ns);
        free(a->sources[i].name);
    }
    free(a->sources);
    *a = (struct auth){0};
}

static uint64_t digest_of(const struct table *t, uint64_t salt)
{
    uint64_t sum = salt; /* a sum: the order of a table is not defined */
    struct str key;
    size_t i = 0;
    void *v;

    while (table_next(t, &i, &key, &v))
        sum += (str_hash(key) ^ salt) * (str_hash(str_of(v)) | 1);
    return sum;
}

/* --- what there is to resolve --- */

static bool has_env_key(const json_t *trigger)
{
    const char *key;
    const json_t *v;

    json_members (json_object_get(trigger, "metadata"), key, v)
        if (str_ends(str_of(key), STR("FromEnv")) && json_string_length(v))
            return true;
    return false;
}

bool auth_is_needed(const json_t *trigger)
{
    return *json_text(trigger, "authenticationRef.name", "") || has_env_key(trigger);
}

/* One run. */
struct resolver {
    const struct auth_options *o;
    struct auth *a;
    struct str ns; /* where Secrets and ConfigMaps are looked for */
    const json_t *spec;
};

static void expire(struct auth *a, int64_t at_ms)
{
    if (a->expires_ms == 0 || at_ms < a->expires_ms)
        a->expires_ms = at_ms;
}

/* --- sources, in KEDA's order: a later one wins --- */

static int from_env(struct resolver *r, struct err *err)
{
    const json_t *e;
    size_t i;

    json_array_foreach (json_object_get(r->spec, "env"), i, e) {
        const char *name = json_text(e, "name", ""), *value;
        /* as in KEDA, envSourceContainerName is nothing to it */
        struct auth_env_options o = {r->o->cluster, r->o->ns, r->o->scale_target,
                                     json_text(e, "containerName", "")};
        struct table env = TABLE_INIT;
        int code = auth_env(&o, r->a, &env, err);

        value = table_get(&env, str_of(name));
        if (code == 0 && value)
            auth_set_param(r->a, json_text(e, "parameter", ""), str_of(value));
        else if (code == 0)
            buf_printf(&r->a->missing, "%sthe target's container has no variable '%s'",
                       r->a->missing.n ? "; " : "", name);
        auth_table_done(&env);
        if (code < 0)
            return code;
    }
    return 0;
}

static int read_file(const char *path, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    char *room;
    ssize_t n = 0;

    if (fd < 0 || fstat(fd, &st) < 0) {
        err_set(err, ERR_IO, "%s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return ERR_IO;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > (off_t)FILE_MAX) {
        close(fd);
        return err_set(err, ERR_LIMIT, "it is no plain file of at most 1 MiB");
    }
    while ((room = buf_room(out, 4096)) && (n = read(fd, room, 4096)) > 0)
        buf_added(out, (size_t)n);
    close(fd);
    return n == 0 && room ? 0 : err_set(err, ERR_IO, "it cannot be read whole");
}

static bool leaves_root(struct str path)
{
    struct str part;

    if (path.p[0] == '/')
        return true;
    while (str_split(&path, '/', &part))
        if (str_is(part, ".."))
            return true;
    return false;
}

static int from_file(struct resolver *r, const char *path, struct err *err)
{
    AUTO_FREE char *full = NULL;
    AUTO_JSON json_t *o = NULL;
    struct buf text = BUF_INIT_MAX(FILE_MAX + 8192);
    const char *key;
    json_t *v;
    int code;

    if (!r->o->file_root)
        return err_set(err, ERR_FORBIDDEN,
                       "filePath is not allowed here: start flyball with "
                       "--filepath-auth-root-path DIR");
    if (leaves_root(str_of(path)))
        return err_set(err, ERR_FORBIDDEN, "filePath '%s' must be relative, without '..' (to %s)",
                       path, r->o->file_root);
    full = mem_printf("%s/%s", r->o->file_root, path);
    code = read_file(full, &text, err);
    /* the parser's error is not told: it may show a piece of the file */
    if (code == 0 && (json_parse(buf_str(&text), &o, NULL) < 0 || !json_is_object(o)))
        code = err_set(err, ERR_BAD_INPUT, "it is no JSON object of strings");
    json_members (o, key, v)
        auth_set_param(r->a, key, json_strv(v));
    expire(r->a, loop_wall_ms(r->o->cluster->loop) + FILE_AGAIN_MS);
    if (text.p)
        explicit_bzero(text.p, text.n);
    buf_done(&text);
    return code < 0 ? err_wrap(err, "filePath '%s'", path) : 0;
}

static void from_objects(struct resolver *r, const char *list, enum kind_id kind)
{
    const json_t *e;
    size_t i;

    json_array_foreach (json_object_get(r->spec, list), i, e) {
        struct buf value = BUF_INIT;

        if (auth_object_value(r->o->cluster, r->a, kind, r->ns, json_text(e, "name", ""),
                              json_text(e, "key", ""), true, &value))
            auth_set_param(r->a, json_text(e, "parameter", ""), buf_str(&value));
        if (value.p)
            explicit_bzero(value.p, value.n);
        buf_done(&value);
    }
}

static void from_tokens(struct resolver *r)
{
    int64_t now = loop_wall_ms(r->o->cluster->loop);
    const json_t *e;
    size_t i;

    json_array_foreach (json_object_get(r->spec, "boundServiceAccountToken"), i, e) {
        struct str account = str_of(json_text(e, "serviceAccountName", ""));
        struct buf token = BUF_INIT;
        struct err bad = ERR_INIT;
        int64_t end = 0;

        auth_add_source(r->a, KIND_SERVICEACCOUNT, r->ns, account);
        if (!r->o->tokens.issue)
            err_set(&bad, ERR_UNSUPPORTED, "no tokens are issued here");
        else if (r->o->tokens.issue(r->o->tokens.ctx, r->ns, account, &token, &end, &bad) == 0)
            auth_set_param(r->a, json_text(e, "parameter", ""), buf_str(&token));
        if (bad.code)
            buf_printf(&r->a->missing, "%sno token of service account '%.*s/%.*s': %s",
                       r->a->missing.n ? "; " : "", STR_ARG(r->ns), STR_ARG(account), bad.msg);
        else
            expire(r->a, now + (end - now) / 3 * 2);
        if (token.p)
            explicit_bzero(token.p, token.n);
        buf_done(&token);
    }
}

static void from_oauth2(struct resolver *r)
{
    static const struct {
        const char *field, *parameter;
    } fields[] = {{"oauth2.tokenUrl", "oauthTokenURI"}, {"oauth2.clientId", "clientID"}};
    const json_t *secret = json_at(r->spec, "oauth2.clientSecret.valueFrom.secretKeyRef"), *e;
    struct buf scopes = BUF_INIT, value = BUF_INIT;
    size_t i;

    for (i = 0; i < ARRAY_LEN(fields); i++)
        auth_set_param(r->a, fields[i].parameter, str_of(json_text(r->spec, fields[i].field, "")));
    json_array_foreach (json_at(r->spec, "oauth2.scopes"), i, e)
        buf_printf(&scopes, "%s%.*s", i ? "," : "", STR_ARG(json_strv(e)));
    auth_set_param(r->a, "scopes", buf_str(&scopes));
    if (secret &&
        auth_object_value(r->o->cluster, r->a, KIND_SECRET, r->ns, json_text(secret, "name", ""),
                          json_text(secret, "key", ""), true, &value))
        auth_set_param(r->a, "clientSecret", buf_str(&value));
    if (value.p)
        explicit_bzero(value.p, value.n);
    buf_done(&value);
    buf_done(&scopes);
}

/* --- the whole --- */

/* Left out silently, these would send the request as somebody else. */
static int refuse_others(const json_t *spec, struct err *err)
{
    static const char *const others[] = {"hashiCorpVault", "azureKeyVault", "gcpSecretManager",
                                         "awsSecretManager"};

    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (json_object_size(json_object_get(spec, others[i])))
            return err_set(err, ERR_UNSUPPORTED,
                           "%s does not exist here; use secretTargetRef, configMapTargetRef, env, "
                           "filePath or boundServiceAccountToken",
                           others[i]);
    return 0;
}

static int from_spec(struct resolver *r, bool is_cluster, struct err *err)
{
    const char *identity = json_text(r->spec, "podIdentity.provider", ""),
               *path = json_text(r->spec, "filePath", "");
    int code = refuse_others(r->spec, err);

    if (code == 0)
        code = from_env(r, err);
    if (code < 0)
        return code;
    if (*identity && strcmp(identity, "none") != 0)
        r->a->pod_identity = mem_strdup(identity);
    if (*path && is_cluster)
        return from_file(r, path, err);
    if (*path)
        return err_set(err, ERR_INVALID, "filePath is only for a ClusterTriggerAuthentication");
    from_objects(r, "configMapTargetRef", KIND_CONFIGMAP);
    from_objects(r, "secretTargetRef", KIND_SECRET);
    from_tokens(r);
    from_oauth2(r);
    return 0;
}

static int from_object(const struct auth_options *o, struct auth *a, struct err *err)
{
    struct str name = str_of(json_text(o->trigger, "authenticationRef.name", ""));
    bool is_cluster = strcmp(json_text(o->trigger, "authenticationRef.kind", ""),
                             "ClusterTriggerAuthentication") == 0;
    enum kind_id kind = is_cluster ? KIND_CLUSTERTRIGGERAUTHENTICATION : KIND_TRIGGERAUTHENTICATION;
    struct str ns = is_cluster ? STR("") : o->ns;
    const struct object *object = cluster_get(o->cluster, kind, ns, name);
    AUTO_JSON json_t *tree = object ? object_tree(object) : NULL;
    struct resolver r = {o, a, is_cluster ? o->cluster_ns : o->ns, json_object_get(tree, "spec")};
    int code = 0;

    auth_add_source(a, kind, ns, name);
    if (object)
        code = from_spec(&r, is_cluster, err);
    else
        buf_printf(&a->missing, "there is no %s '%.*s%s%.*s'", kind_of(kind)->kind, STR_ARG(ns),
                   ns.n ? "/" : "", STR_ARG(name));
    return code < 0 ? err_wrap(err, "%s '%.*s'", kind_of(kind)->kind, STR_ARG(name)) : 0;
}

/* Of the container's variables only those that a key of the metadata names. */
static int named_env(const struct auth_options *o, struct auth *a, struct err *err)
{
    struct auth_env_options env = {o->cluster, o->ns, o->scale_target,
                                   json_text(o->scale_target, "envSourceContainerName", "")};
    struct table all = TABLE_INIT;
    int code = auth_env(&env, a, &all, err);
    const char *key;
    const json_t *v;

    json_members (json_object_get(o->trigger, "metadata"), key, v) {
        struct str name = str_trim(json_strv(v));
        const char *value = name.n ? table_get(&all, name) : NULL;

        if (str_ends(str_of(key), STR("FromEnv")) && value)
            auth_table_set(&a->env, name, str_of(value));
    }
    auth_table_done(&all);
    return code;
}

int auth_resolve(const struct auth_options *o, struct auth *a, struct err *err)
{
    int code = has_env_key(o->trigger) ? named_env(o, a, err) : 0;

    if (code == 0 && *json_text(o->trigger, "authenticationRef.name", ""))
        code = from_object(o, a, err);
    a->digest = digest_of(&a->params, 1) ^ digest_of(&a->env, 3) * 3 ^
                str_hash(buf_str(&a->missing)) ^ str_hash(str_of(a->pod_identity));
    return code;
}

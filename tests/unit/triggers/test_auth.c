/* SPDX-License-Identifier: Apache-2.0
 *
 * What a trigger's authentication resolves to, over a cluster of a few objects. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "triggers/trigger.h"

#define OBJECTS_MAX 16

struct fake {
    struct cluster cluster;
    struct object *objects[OBJECTS_MAX];
    size_t n;
};

static const struct object *fake_get(struct cluster *c, enum kind_id kind, struct str ns,
                                     struct str name)
{
    struct fake *f = (struct fake *)c;

    for (size_t i = f->n; i > 0; i--) /* the newest of a name */
        if (f->objects[i - 1]->kind->id == kind && str_eq(f->objects[i - 1]->ns, ns) &&
            str_eq(f->objects[i - 1]->name, name))
            return f->objects[i - 1];
    return NULL;
}

static const struct cluster_ops fake_ops = {.get = fake_get};

/* {"kind": ..., "metadata": ...} with single quotes */
static void put(struct fake *f, const char *api_version, const char *kind, const char *text)
{
    AUTO_FREE char *copy = mem_strdup(text);
    AUTO_JSON json_t *o = NULL;
    struct err err = ERR_INIT;

    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    if (json_parse(str_of(copy), &o, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(f->n < OBJECTS_MAX);
    assert_int_equal(object_new(kind_by_type(str_of(api_version), str_of(kind), NULL), o,
                                &f->objects[f->n++], &err),
                     0);
}

static void put_auth(struct fake *f, const char *spec)
{
    AUTO_FREE char *text = mem_printf("{'metadata':{'name':'a','namespace':'ns'},'spec':%s}", spec);

    put(f, "keda.sh/v1alpha1", "TriggerAuthentication", text);
}

static void put_target(struct fake *f, const char *containers)
{
    AUTO_FREE char *text = mem_printf("{'metadata':{'name':'web','namespace':'ns'},'spec':{"
                                      "'template':{'spec':{'containers':%s}}}}",
                                      containers);

    put(f, "apps/v1", "Deployment", text);
}

static int setup(void **state)
{
    struct fake *f = mem_zalloc(sizeof(*f));

    f->cluster = (struct cluster){.ops = &fake_ops, .loop = loop_new_sim(1767268800000)};
    /* "s3cr3t-one\n" and "x" */
    put(f, "v1", "Secret",
        "{'metadata':{'name':'s','namespace':'ns'},'data':{'k':'czNjcjN0LW9uZQo=','x':'eA==',"
        "'bad':'%%'}}");
    put(f, "v1", "Secret",
        "{'metadata':{'name':'s','namespace':'keda'},'data':{'k':'Y2x1c3Rlci1vbmU='}}");
    put(f, "v1", "ConfigMap",
        "{'metadata':{'name':'c','namespace':'ns'},'data':{'k':' map-one ','u':'me'}}");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fake *f = *state;

    for (size_t i = 0; i < f->n; i++)
        object_unref(f->objects[i]);
    loop_free(f->cluster.loop);
    free(f);
    return 0;
}

static int resolve_with(struct fake *f, const char *kind, const char *file_root,
                        struct auth_tokens tokens, struct auth *a, struct err *err)
{
    AUTO_JSON json_t *trigger =
        json_pack("{s:s,s:{},s:{s:s,s:s}}", "type", "prometheus", "metadata", "authenticationRef",
                  "name", "a", "kind", kind);
    AUTO_JSON json_t *target = json_pack("{s:s}", "name", "web");
    struct auth_options o = {.cluster = &f->cluster,
                             .ns = STR("ns"),
                             .trigger = trigger,
                             .scale_target = target,
                             .cluster_ns = STR("keda"),
                             .file_root = file_root,
                             .tokens = tokens};

    *a = (struct auth){0};
    *err = ERR_INIT;
    return auth_resolve(&o, a, err);
}

static int resolve(struct fake *f, struct auth *a, struct err *err)
{
    return resolve_with(f, "TriggerAuthentication", NULL, (struct auth_tokens){0}, a, err);
}

static void assert_param(const struct auth *a, const char *name, const char *value)
{
    const char *got = auth_param(a, name);

    if (value && got)
        assert_string_equal(got, value);
    else if (value || got)
        fail_msg("%s is '%s', not '%s'", name, got ? got : "absent", value ? value : "absent");
}

static void secrets_and_configmaps_are_read_and_trimmed_and_a_secret_wins(void **state)
{
    struct auth a;
    struct err err;

    put_auth(*state, "{'configMapTargetRef':[{'parameter':'username','name':'c','key':'u'},"
                     "{'parameter':'password','name':'c','key':'k'}],"
                     "'secretTargetRef':[{'parameter':'password','name':'s','key':'k'}]}");
    assert_int_equal(resolve(*state, &a, &err), 0);
    assert_param(&a, "username", "me");
    assert_param(&a, "password", "s3cr3t-one");
    assert_int_equal(a.missing.n, 0);
    assert_true(auth_depends_on(&a, KIND_SECRET, STR("ns"), STR("s")));
    assert_true(auth_depends_on(&a, KIND_CONFIGMAP, STR("ns"), STR("c")));
    assert_true(auth_depends_on(&a, KIND_TRIGGERAUTHENTICATION, STR("ns"), STR("a")));
    assert_false(auth_depends_on(&a, KIND_SECRET, STR("keda"), STR("s")));
    auth_done(&a);
}

static void what_is_missing_is_noted_by_name_and_is_no_error(void **state)
{
    struct auth a;
    struct err err;

    put_auth(*state, "{'secretTargetRef':[{'parameter':'p','name':'s','key':'nokey'},"
                     "{'parameter':'q','name':'none','key':'k'},"
                     "{'parameter':'r','name':'s','key':'bad'}]}");
    assert_int_equal(resolve(*state, &a, &err), 0);
    assert_param(&a, "p", NULL);
    assert_param(&a, "r", NULL);
    assert_non_null(strstr(buf_cstr(&a.missing), "secret 'ns/s' has no key 'nokey'"));
    assert_non_null(strstr(buf_cstr(&a.missing), "there is no secret 'ns/none'"));
    assert_true(auth_depends_on(&a, KIND_SECRET, STR("ns"), STR("none")));
    auth_done(&a);
}

static void a_missing_triggerauthentication_gives_no_parameters(void **state)
{
    struct auth a;
    struct err err;

    assert_int_equal(resolve(*state, &a, &err), 0);
    assert_int_equal(a.params.count, 0);
    assert_string_equal(buf_cstr(&a.missing), "there is no TriggerAuthentication 'ns/a'");
    auth_done(&a);
}

static void the_environment_is_that_of_the_container(void **state)
{
    struct auth a;
    struct err err;

    put_target(*state,
               "[{'name':'first','envFrom':[{'prefix':'C_','configMapRef':{'name':'c'}},"
               "{'secretRef':{'name':'gone','optional':true}}],'env':["
               "{'name':'A','value':'a$(C_u)-$(NONE)-$$(C_u)'},{'name':'B','value':'$(A)!'},"
               "{'name':'S','valueFrom':{'secretKeyRef':{'name':'s','key':'k'}}},"
               "{'name':'F','valueFrom':{'fieldRef':{'fieldPath':'status.podIP'}}}]},"
               "{'name':'second','env':[{'name':'A','value':'other'}]}]");
    put_auth(*state, "{'env':[{'parameter':'p','name':'B'},{'parameter':'s','name':'S'},"
                     "{'parameter':'f','name':'F'},"
                     "{'parameter':'q','name':'A','containerName':'second'}]}");
    assert_int_equal(resolve(*state, &a, &err), 0);
    assert_param(&a, "p", "ame-$(NONE)-$(C_u)!");
    assert_param(&a, "s", "s3cr3t-one");
    assert_param(&a, "q", "other");
    assert_param(&a, "f", NULL);
    assert_true(auth_depends_on(&a, KIND_DEPLOYMENT, STR("ns"), STR("web")));
    auth_done(&a);
}

static void a_variable_that_must_be_there_and_is_not_is_an_error(void **state)
{
    struct auth a;
    struct err err;

    put_target(*state, "[{'name':'c','env':[{'name':'S','valueFrom':{'secretKeyRef':"
                       "{'name':'gone','key':'k'}}}]}]");
    put_auth(*state, "{'env':[{'parameter':'p','name':'S'}]}");
    assert_int_equal(resolve(*state, &a, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, "there is no secret 'gone'"));
    auth_done(&a);
}

static void a_cluster_kind_looks_in_its_own_namespace(void **state)
{
    struct auth a;
    struct err err;

    put(*state, "keda.sh/v1alpha1", "ClusterTriggerAuthentication",
        "{'metadata':{'name':'a'},'spec':{'secretTargetRef':[{'parameter':'p','name':'s',"
        "'key':'k'}]}}");
    assert_int_equal(resolve_with(*state, "ClusterTriggerAuthentication", NULL,
                                  (struct auth_tokens){0}, &a, &err),
                     0);
    assert_param(&a, "p", "cluster-one");
    auth_done(&a);
}

static void files_are_of_the_cluster_kind_and_below_the_root(void **state)
{
    static const struct {
        const char *path, *says; /* NULL: it works */
    } cases[] = {{"a.json", NULL},
                 {"sub/../a.json", "without '..'"},
                 {"/etc/passwd", "must be relative"},
                 {"none.json", "No such file"},
                 {"bad.json", "no JSON object of strings"},
                 {"fifo", "no plain file"}};
    char dir[] = "/tmp/flyball-auth-XXXXXX", path[200];
    struct auth a;
    struct err err;
    FILE *f;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/a.json", dir);
    f = fopen(path, "we");
    fputs("{\"p\": \"from-file\\n\", \"n\": 3}", f);
    fclose(f);
    snprintf(path, sizeof(path), "%s/bad.json", dir);
    f = fopen(path, "we");
    fputs("s3cr3t-garbage", f);
    fclose(f);
    snprintf(path, sizeof(path), "%s/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_FREE char *text = mem_printf(
            "{'metadata':{'name':'a'},'spec':{'filePath':'%s','secretTargetRef':[{'parameter':'q',"
            "'name':'s','key':'k'}]}}",
            cases[i].path);
        int r;

        put(*state, "keda.sh/v1alpha1", "ClusterTriggerAuthentication", text);
        r = resolve_with(*state, "ClusterTriggerAuthentication", dir, (struct auth_tokens){0}, &a,
                         &err);
        assert_int_equal(r == 0, cases[i].says == NULL);
        if (cases[i].says && !strstr(err.msg, cases[i].says))
            fail_msg("'%s': %s", cases[i].path, err.msg);
        assert_null(strstr(err.msg, "s3cr3t"));
        assert_param(&a, "p", cases[i].says ? NULL : "from-file");
        assert_param(&a, "q", NULL); /* the only source */
        auth_done(&a);
    }
    snprintf(path, sizeof(path), "rm -r %s", dir);
    assert_int_equal(system(path), 0);
    put_auth(*state, "{'filePath':'a.json'}");
    assert_true(resolve(*state, &a, &err) < 0);
    assert_non_null(strstr(err.msg, "only for a ClusterTriggerAuthentication"));
    auth_done(&a);
}

static int issue(void *ctx, struct str ns, struct str account, struct buf *token, int64_t *end,
                 struct err *err)
{
    if (ctx)
        return err_set(err, ERR_NOT_FOUND, "it does not exist");
    buf_printf(token, "token-of-%.*s-%.*s", STR_ARG(ns), STR_ARG(account));
    *end = 1767268800000 + 3600000;
    return 0;
}

static void tokens_are_asked_for_and_renewed_before_they_end(void **state)
{
    struct auth a;
    struct err err;

    put_auth(*state,
             "{'boundServiceAccountToken':[{'parameter':'bearerToken','serviceAccountName':'r'}]}");
    assert_int_equal(resolve_with(*state, "", NULL, (struct auth_tokens){issue, NULL}, &a, &err),
                     0);
    assert_param(&a, "bearerToken", "token-of-ns-r");
    assert_true(a.expires_ms == 1767268800000 + 2400000);
    auth_done(&a);
    assert_int_equal(resolve_with(*state, "", NULL, (struct auth_tokens){issue, *state}, &a, &err),
                     0);
    assert_param(&a, "bearerToken", NULL);
    assert_non_null(strstr(buf_cstr(&a.missing), "service account 'ns/r': it does not exist"));
    auth_done(&a);
}

static void sources_that_do_not_exist_here_are_refused(void **state)
{
    struct auth a;
    struct err err;

    put_auth(*state, "{'hashiCorpVault':{'address':'http://vault'}}");
    assert_int_equal(resolve(*state, &a, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "hashiCorpVault does not exist here; use secretTargetRef"));
    auth_done(&a);
}

static void the_digest_changes_with_what_is_resolved_and_with_nothing_else(void **state)
{
    struct auth a;
    struct err err;
    uint64_t before;

    put_auth(*state, "{'secretTargetRef':[{'parameter':'p','name':'s','key':'k'}]}");
    assert_int_equal(resolve(*state, &a, &err), 0);
    before = a.digest;
    auth_done(&a);
    put(*state, "v1", "Secret",
        "{'metadata':{'name':'s','namespace':'ns'},'data':{'k':'czNjcjN0LW9uZQo=','z':'eA=='}}");
    assert_int_equal(resolve(*state, &a, &err), 0);
    assert_true(a.digest == before);
    auth_done(&a);
    put(*state, "v1", "Secret", "{'metadata':{'name':'s','namespace':'ns'},'data':{'k':'eA=='}}");
    assert_int_equal(resolve(*state, &a, &err), 0);
    assert_false(a.digest == before);
    auth_done(&a);
}

static void keys_from_the_environment_take_what_they_name_and_no_more(void **state)
{
    struct fake *f = *state;
    AUTO_JSON json_t *trigger =
        json_pack("{s:s,s:{s:s,s:s,s:s}}", "type", "prometheus", "metadata", "serverAddressFromEnv",
                  "URL", "queryFromEnv", "NONE", "threshold", "HOME");
    AUTO_JSON json_t *target =
        json_pack("{s:s,s:s}", "name", "web", "envSourceContainerName", "second");
    struct auth_options o = {
        .cluster = &f->cluster, .ns = STR("ns"), .trigger = trigger, .scale_target = target};
    struct auth a = {0};
    struct err err = ERR_INIT;

    put_target(f, "[{'name':'first','env':[{'name':'URL','value':'wrong'}]},"
                  "{'name':'second','env':[{'name':'URL','value':'http://p'},"
                  "{'name':'HOME','value':'/root'}]}]");
    assert_true(auth_is_needed(trigger));
    assert_int_equal(auth_resolve(&o, &a, &err), 0);
    assert_string_equal((char *)table_get(&a.env, STR("URL")), "http://p");
    assert_int_equal(a.env.count, 1);
    auth_done(&a);
}

/* envSourceContainerName is for keys that end in FromEnv only. */
static void parameters_from_the_environment_are_of_their_own_container(void **state)
{
    struct fake *f = *state;
    AUTO_JSON json_t *trigger = json_pack("{s:s,s:{s:s},s:{s:s}}", "type", "prometheus", "metadata",
                                          "queryFromEnv", "A", "authenticationRef", "name", "a");
    AUTO_JSON json_t *target =
        json_pack("{s:s,s:s}", "name", "web", "envSourceContainerName", "second");
    struct auth_options o = {
        .cluster = &f->cluster, .ns = STR("ns"), .trigger = trigger, .scale_target = target};
    struct auth a = {0};
    struct err err = ERR_INIT;

    put_target(f, "[{'name':'first','env':[{'name':'A','value':'one'}]},"
                  "{'name':'second','env':[{'name':'A','value':'two'}]},"
                  "{'name':'third','env':[{'name':'A','value':'three'}]}]");
    put_auth(f, "{'env':[{'parameter':'p','name':'A'},"
                "{'parameter':'q','name':'A','containerName':'third'}]}");
    assert_int_equal(auth_resolve(&o, &a, &err), 0);
    assert_param(&a, "p", "one");
    assert_param(&a, "q", "three");
    assert_string_equal((char *)table_get(&a.env, STR("A")), "two");
    auth_done(&a);
}

static void no_secret_is_left_in_a_text(void **state)
{
    struct auth a = {0};
    char text[100] = "it says: s3cr3t and s3cr3t, x, s3cr3";

    (void)state;
    auth_set_param(&a, "p", STR("s3cr3t"));
    auth_set_param(&a, "q", STR("x")); /* too short to be one */
    auth_set_param(&a, "username", STR("s3cr3"));
    auth_table_set(&a.env, STR("E"), STR("says"));
    auth_scrub(&a, text);
    assert_string_equal(text, "it ***: *** and ***, x, s3cr3");
    auth_done(&a);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(secrets_and_configmaps_are_read_and_trimmed_and_a_secret_wins),
        T(what_is_missing_is_noted_by_name_and_is_no_error),
        T(a_missing_triggerauthentication_gives_no_parameters),
        T(the_environment_is_that_of_the_container),
        T(a_variable_that_must_be_there_and_is_not_is_an_error),
        T(a_cluster_kind_looks_in_its_own_namespace),
        T(files_are_of_the_cluster_kind_and_below_the_root),
        T(tokens_are_asked_for_and_renewed_before_they_end),
        T(sources_that_do_not_exist_here_are_refused),
        T(the_digest_changes_with_what_is_resolved_and_with_nothing_else),
        T(keys_from_the_environment_take_what_they_name_and_no_more),
        T(parameters_from_the_environment_are_of_their_own_container),
        T(no_secret_is_left_in_a_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

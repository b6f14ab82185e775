/* SPDX-License-Identifier: Apache-2.0
 *
 * What a trigger sends to say who it is, where KEDA's vectors stop. */
#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "triggers/http_auth.h"

#define ALL                                                                                      \
    (HTTP_AUTH_API_KEY | HTTP_AUTH_BASIC | HTTP_AUTH_TLS | HTTP_AUTH_BEARER | HTTP_AUTH_CUSTOM | \
     HTTP_AUTH_OAUTH)

struct made {
    struct trigger t;
    struct trigger_world w;
    struct auth auth;
    struct http_auth a;
    struct err err;
};

/* meta and params with single quotes; the headers as "name: value; ..." */
static json_t *json_of(const char *text)
{
    AUTO_FREE char *copy = mem_strdup(text);
    json_t *o = NULL;

    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    assert_int_equal(json_parse(str_of(copy), &o, NULL), 0);
    return o;
}

static struct made *make(const char *meta_text, const char *params_text, unsigned modes)
{
    struct made *m = mem_zalloc(sizeof(*m));
    AUTO_JSON json_t *meta = json_of(meta_text), *params = json_of(params_text);
    const char *name;
    json_t *v;

    m->t.type = &trigger_prometheus;
    m->t.w = &m->w;
    m->t.auth = &m->auth;
    json_members (params, name, v)
        auth_set_param(&m->auth, name, json_strv(v));
    http_auth_parse(&m->t, meta, modes, &m->a, &m->err);
    return m;
}

static void drop(struct made *m)
{
    http_auth_done(&m->a);
    auth_done(&m->auth);
    free(m);
}

static void sent(const struct http_auth *a, struct buf *out)
{
    for (size_t i = 0; i < a->n_headers; i++)
        buf_printf(out, "%.*s: %.*s; ", STR_ARG(a->headers[i].name), STR_ARG(a->headers[i].value));
    for (size_t i = 0; i < a->n_secrets; i++)
        buf_printf(out, "!%.*s: %.*s; ", STR_ARG(a->secrets[i].name), STR_ARG(a->secrets[i].value));
    if (a->query)
        buf_printf(out, "?%s; ", a->query);
}

static void each_mode_sends_what_it_is_for(void **state)
{
    static const struct {
        const char *meta, *params, *sent;
        unsigned modes;
    } cases[] = {
        {"{}", "{}", "", ALL},
        {"{'authModes':'bearer'}", "{'bearerToken':'t','token':'u'}", "!Authorization: Bearer t; ",
         ALL},
        {"{'authModes':'basic'}", "{'username':'u'}", "!Authorization: Basic dTo=; ", ALL},
        /* the first of bearer, basic, custom, in this order */
        {"{'authModes':'custom, basic'}",
         "{'username':'u','password':'p','customAuthHeader':'X','customAuthValue':'v'}",
         "!Authorization: Basic dTpw; ", ALL},
        {"{'authModes':'custom'}", "{'customAuthHeader':'X','customAuthValue':'v'}", "!X: v; ",
         ALL},
        {"{'authMode':'apiKey'}", "{'apiKey':'k&'}", "!X-API-KEY: k&; ", ALL},
        {"{'authMode':'apiKey','method':'query'}", "{'apiKey':'k&'}", "?api_key=k%26; ", ALL},
        {"{'authMode':'apiKey','method':'query','keyParamName':'a b'}", "{'apiKey':'k'}",
         "?a%20b=k; ", ALL},
        {"{'authMode':'apiKey,bearer'}", "{'apiKey':'k','token':'t'}",
         "!Authorization: Bearer t; !X-API-KEY: k; ", ALL},
        {"{'authModes':'apiKey'}", "{}", "", ALL | HTTP_AUTH_KEY_IS_OPTIONAL},
        {"{'authModes':'oauth'}", "{'oauthTokenURI':'http://o','clientID':'i','clientSecret':'s'}",
         "", ALL},
        /* a header of the user's own gives way to the one that is made */
        {"{'authModes':'bearer','customHeaders':'authorization=mine, X-A=b'}", "{'token':'t'}",
         "X-A: b; !Authorization: Bearer t; ", ALL},
        {"{'customHeaders':'authorization=mine'}", "{}", "authorization: mine; ", ALL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct made *m = make(cases[i].meta, cases[i].params, cases[i].modes);
        struct buf got = BUF_INIT;

        sent(&m->a, &got);
        if (m->err.code || strcmp(buf_cstr(&got), cases[i].sent) != 0)
            fail_msg("%s: '%s', not '%s' (%s)", cases[i].meta, buf_cstr(&got), cases[i].sent,
                     m->err.msg);
        buf_done(&got);
        drop(m);
    }
}

static void what_is_wrong_is_named_and_never_shown_if_it_is_a_secret(void **state)
{
    static const struct {
        const char *meta, *params, *says;
        unsigned modes;
    } cases[] = {
        {"{'authModes':'digest'}", "{}", "only apiKey, basic, tls, bearer, custom, oauth", ALL},
        {"{'authModes':'custom'}", "{}", "only basic exist", HTTP_AUTH_BASIC},
        {"{'authModes':'bearer,basic'}", "{}", "only one of bearer, basic and oauth", ALL},
        {"{'authModes':'bearer,oauth'}", "{}", "only one of bearer, basic and oauth", ALL},
        {"{'authModes':'apiKey'}", "{}", "\"apiKey\" in [authParams]", ALL},
        {"{'authModes':'oauth'}", "{'clientID':'i'}", "\"clientSecret\" in [authParams]", ALL},
        {"{}", "{'authModes':'hunter2'}", "authModes: only", ALL},
        {"{'authModes':'bearer'}", "{'token':'hunter2\\nX: y'}", "control character", ALL},
        {"{'authModes':'custom'}", "{'customAuthHeader':'hunter2 X','customAuthValue':'v'}",
         "no name of a header", ALL},
        {"{'authModes':'custom'}", "{'customAuthHeader':'X','customAuthValue':'hunter2\\r\\nY: z'}",
         "control character", ALL},
        {"{'authMode':'apiKey','method':'cookie'}", "{'apiKey':'hunter2'}", "one of header, query",
         ALL},
        {"{'authMode':'apiKey','keyParamName':'a b'}", "{'apiKey':'hunter2'}",
         "'a b' is no name of a header", ALL},
        {"{'authMode':'apiKey'}", "{'apiKey':'hunter2\\nX: y'}", "control character", ALL},
        {"{'customHeaders':'a=b=c'}", "{}", "'a=b=c' is not key=value", ALL},
        {"{'customHeaders':'a b=c'}", "{}", "is not key=value", ALL},
        {"{'unsafeSsl':'perhaps'}", "{}", "unsafeSsl", ALL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct made *m = make(cases[i].meta, cases[i].params, cases[i].modes);

        if (!m->err.code || !strstr(m->err.msg, cases[i].says))
            fail_msg("%s: '%s' does not say '%s'", cases[i].meta, m->err.msg, cases[i].says);
        assert_null(strstr(m->err.msg, "hunter2"));
        drop(m);
    }
}

static void pem_texts_that_are_none_are_no_error_of_the_metadata(void **state)
{
    struct made *m = make("{'authModes':'tls'}", "{'ca':'c','cert':'c','key':'hunter2'}", ALL);

    (void)state;
    assert_int_equal(m->err.code, 0);
    assert_null(m->a.tls);
    assert_non_null(strstr(m->a.problem, "ca, cert or key cannot be used"));
    assert_null(strstr(m->a.problem, "hunter2"));
    drop(m);
    m = make("{'unsafeSsl':'true'}", "{}", ALL);
    assert_non_null(m->a.tls);
    drop(m);
    m = make("{}", "{}", ALL);
    assert_null(m->a.tls); /* the system's */
    drop(m);
}

static void a_user_of_the_url_becomes_a_header(void **state)
{
    static const struct {
        const char *url, *left, *sent;
    } cases[] = {
        {"http://u:p@h:9090/x", "http://h:9090/x", "!Authorization: Basic dTpw; "},
        {"https://u@h", "https://h", "!Authorization: Basic dTo=; "},
        {"http://u:p%40%3A@h/a@b", "http://h/a@b", "!Authorization: Basic dTpwQDo=; "},
        {"http://h/a@b?c=d@e", "http://h/a@b?c=d@e", ""},
        {"h", "h", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct made *m = make("{}", "{}", ALL);
        AUTO_FREE char *url = mem_strdup(cases[i].url);
        struct buf got = BUF_INIT;

        http_auth_take_user(&m->a, url);
        sent(&m->a, &got);
        assert_string_equal(url, cases[i].left);
        assert_string_equal(buf_cstr(&got), cases[i].sent);
        buf_done(&got);
        drop(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mode_sends_what_it_is_for),
        cmocka_unit_test(what_is_wrong_is_named_and_never_shown_if_it_is_a_secret),
        cmocka_unit_test(pem_texts_that_are_none_are_no_error_of_the_metadata),
        cmocka_unit_test(a_user_of_the_url_becomes_a_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/http_auth.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/base64.h"
#include "triggers/hub_int.h"

static const struct {
    const char *name;
    enum http_auth_mode mode;
    const char *params[3]; /* that it cannot do without; "a|b": either */
} modes[] = {
    {"apiKey", HTTP_AUTH_API_KEY, {"apiKey"}},
    {"basic", HTTP_AUTH_BASIC, {"username"}},
    {"tls", HTTP_AUTH_TLS, {"cert", "key"}},
    {"bearer", HTTP_AUTH_BEARER, {"bearerToken|token"}},
    {"custom", HTTP_AUTH_CUSTOM, {"customAuthHeader", "customAuthValue"}},
    {"oauth", HTTP_AUTH_OAUTH, {"oauthTokenURI", "clientID", "clientSecret"}},
};

/* --- headers --- */

/* A line break would begin another header. */
static bool is_header_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return true;
}

static bool is_header_name(struct str s)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c && strchr(others, c))))
            return false;
    }
    return s.n > 0;
}

static void header_free(struct http_header *h)
{
    explicit_bzero((char *)(uintptr_t)h->value.p, h->value.n);
    free((char *)(uintptr_t)h->name.p);
    free((char *)(uintptr_t)h->value.p);
}

/* A header of the user's own with that name would go out beside it. */
static void add_secret(struct http_auth *a, struct str name, struct str value)
{
    size_t kept = 0;

    for (size_t i = 0; i < a->n_headers; i++) {
        if (str_eq_nocase(a->headers[i].name, name))
            header_free(&a->headers[i]);
        else
            a->headers[kept++] = a->headers[i];
    }
    a->n_headers = kept;
    FB_ASSERT(a->n_secrets < HTTP_AUTH_SECRETS_MAX);
    a->secrets[a->n_secrets++] =
        (struct http_header){str_of(str_dup(name)), str_of(str_dup(value))};
}

static void add_basic(struct http_auth *a, struct str user, struct str password)
{
    struct buf plain = BUF_INIT, value = BUF_INIT;

    buf_printf(&plain, "%.*s:%.*s", STR_ARG(user), STR_ARG(password));
    buf_add_cstr(&value, "Basic ");
    base64_encode(&value, buf_str(&plain));
    add_secret(a, STR("Authorization"), buf_str(&value));
    explicit_bzero(plain.p, plain.n);
    explicit_bzero(value.p, value.n);
    buf_done(&plain);
    buf_done(&value);
}

/* --- metadata --- */

static void parse_headers(struct trigger *t, const json_t *meta, struct http_auth *a,
                          struct err *err)
{
    AUTO_FREE char *text = meta_text(t, meta, "customHeaders");
    bool is_hidden = meta_is_hidden(t, meta, "customHeaders");
    struct str rest = str_of(text), part, k, v;

    while (text && str_split(&rest, ',', &part)) {
        ptrdiff_t eq = str_chr(part, '=');

        k = eq < 0 ? STR_NONE : str_trim((struct str){part.p, (size_t)eq});
        v = eq < 0 ? STR_NONE : str_trim(str_skip(part, (size_t)eq + 1));
        if (eq < 0 || str_chr(v, '=') >= 0 || !is_header_name(k) || !is_header_text(v)) {
            meta_wrong(t, err, "customHeaders: '%.*s' is not key=value",
                       is_hidden ? 3 : (int)part.n, is_hidden ? "***" : part.p);
            return;
        }
        if (a->n_headers == HTTP_AUTH_HEADERS_MAX) {
            meta_wrong(t, err, "more than %d customHeaders", HTTP_AUTH_HEADERS_MAX);
            return;
        }
        mem_grow(&a->headers, &a->cap_headers, a->n_headers);
        a->headers[a->n_headers++] = (struct http_header){str_of(str_dup(k)), str_of(str_dup(v))};
    }
}

/* authModes or authMode, of the metadata or of the authentication. */
static char *modes_text(struct trigger *t, const json_t *meta)
{
    static const char *const keys[] = {"authModes", "authMode"};
    char *text = NULL;

    for (size_t i = 0; i < ARRAY_LEN(keys) && !text; i++)
        text = meta_text(t, meta, keys[i]);
    for (size_t i = 0; i < ARRAY_LEN(keys) && !text; i++)
        text = trigger_param(t, keys[i]) ? mem_strdup(trigger_param(t, keys[i])) : NULL;
    return text;
}

static unsigned mode_named(struct str name, unsigned allowed)
{
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (str_is(name, modes[i].name))
            return modes[i].mode & allowed;
    return 0;
}

static void unknown_mode(struct trigger *t, unsigned allowed, struct err *err)
{
    struct buf known = BUF_INIT;

    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (modes[i].mode & allowed)
            buf_printf(&known, "%s%s", known.n ? ", " : "", modes[i].name);
    meta_wrong(t, err, "authModes: only %s exist for %s", buf_cstr(&known), t->type->name);
    buf_done(&known);
}

static bool parse_modes(struct trigger *t, const json_t *meta, unsigned allowed,
                        struct http_auth *a, struct err *err)
{
    unsigned one_of = HTTP_AUTH_BEARER | HTTP_AUTH_BASIC | HTTP_AUTH_OAUTH, both;
    AUTO_FREE char *text = modes_text(t, meta);
    struct str rest = str_of(text), part;

    while (text && str_split(&rest, ',', &part)) {
        unsigned mode = mode_named(str_trim(part), allowed);

        if (!mode) {
            unknown_mode(t, allowed, err);
            return false;
        }
        a->modes |= mode;
    }
    both = a->modes & one_of;
    if (both & (both - 1)) {
        meta_wrong(t, err, "authModes: only one of bearer, basic and oauth can be used");
        return false;
    }
    return true;
}

/* --- parameters --- */

static const char *either(struct trigger *t, const char *names)
{
    struct str rest = str_of(names), one;
    const char *value = NULL;

    while (!value && str_split(&rest, '|', &one)) {
        AUTO_FREE char *name = str_dup(one);

        value = trigger_param(t, name);
    }
    return value;
}

static bool has_params(struct trigger *t, const struct http_auth *a, unsigned allowed,
                       struct err *err)
{
    unsigned wanted = a->modes;
    bool has_all = true;

    if (allowed & HTTP_AUTH_KEY_IS_OPTIONAL)
        wanted &= ~(unsigned)HTTP_AUTH_API_KEY;

    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        for (size_t k = 0; k < ARRAY_LEN(modes[i].params) && modes[i].params[k]; k++)
            if ((wanted & modes[i].mode) && !either(t, modes[i].params[k])) {
                AUTO_FREE char *name = mem_strdup(modes[i].params[k]);

                *strchrnul(name, '|') = '\0';
                param_missing(t, name, err);
                has_all = false;
            }
    return has_all;
}

static void use_api_key(struct trigger *t, const json_t *meta, struct http_auth *a, struct err *err)
{
    static const char *const ways[] = {"header", "query", NULL};
    AUTO_FREE char *name = meta_text(t, meta, "keyParamName");
    struct buf b = BUF_INIT;
    int way;

    meta_word(t, meta, "method", ways, 0, &way, err);
    if (way == 0) {
        if (name && !is_header_name(str_of(name)))
            meta_wrong(t, err, "keyParamName '%s' is no name of a header", name);
        else if (!is_header_text(str_of(trigger_param(t, "apiKey"))))
            meta_wrong(t, err, "apiKey has a line break or another control character");
        else
            add_secret(a, str_of(name ? name : "X-API-KEY"), str_of(trigger_param(t, "apiKey")));
        return;
    }
    http_pct_encode(&b, str_of(name ? name : "api_key"));
    buf_add_char(&b, '=');
    http_pct_encode(&b, str_of(trigger_param(t, "apiKey")));
    a->query = buf_take(&b, NULL);
}

static void use_custom(struct trigger *t, struct http_auth *a, struct err *err)
{
    struct str name = str_of(trigger_param(t, "customAuthHeader")),
               value = str_of(trigger_param(t, "customAuthValue"));

    if (!is_header_name(name))
        meta_wrong(t, err, "customAuthHeader is no name of a header");
    else if (!is_header_text(value))
        meta_wrong(t, err, "customAuthValue has a line break or another control character");
    else
        add_secret(a, name, value);
}

static void use_bearer(struct trigger *t, struct http_auth *a, struct err *err)
{
    const char *token = either(t, "bearerToken|token");
    AUTO_FREE char *value = mem_printf("Bearer %s", token);

    if (is_header_text(str_of(token)))
        add_secret(a, STR("Authorization"), str_of(value));
    else
        meta_wrong(t, err, "bearerToken has a line break or another control character");
    explicit_bzero(value, strlen(value));
}

/* The first of bearer, basic and custom goes out, as in KEDA; the key of an API beside it. oauth
 * sends nothing, as in KEDA. */
static void use_modes(struct trigger *t, const json_t *meta, struct http_auth *a, struct err *err)
{
    const char *password = trigger_param(t, "password");

    if (a->modes & HTTP_AUTH_BEARER)
        use_bearer(t, a, err);
    else if (a->modes & HTTP_AUTH_BASIC)
        add_basic(a, str_of(trigger_param(t, "username")), str_of(password ? password : ""));
    else if (a->modes & HTTP_AUTH_CUSTOM)
        use_custom(t, a, err);
    if ((a->modes & HTTP_AUTH_API_KEY) && trigger_param(t, "apiKey"))
        use_api_key(t, meta, a, err);
}

/* ca and unsafeSsl are honoured with every mode and with none. */
static void use_tls(struct trigger *t, struct http_auth *a, bool insecure)
{
    bool has_cert = a->modes & HTTP_AUTH_TLS;
    struct tls_client_options o = {.ca_pem = str_of(trigger_param(t, "ca")),
                                   .adds_ca = true,
                                   .cert_pem =
                                       has_cert ? str_of(trigger_param(t, "cert")) : STR_NONE,
                                   .key_pem = has_cert ? str_of(trigger_param(t, "key")) : STR_NONE,
                                   .key_password = trigger_param(t, "keyPassword"),
                                   .insecure = insecure};
    struct err bad = ERR_INIT;

    if (!o.ca_pem.n && !has_cert && !insecure)
        return;
    a->hub = t->w->hub;
    if (hub_tls_get(a->hub, &o, &a->tls, &bad) < 0)
        a->problem = mem_printf("the authentication's ca, cert or key cannot be used: %s", bad.msg);
}

void http_auth_parse(struct trigger *t, const json_t *meta, unsigned allowed, struct http_auth *a,
                     struct err *err)
{
    bool insecure = false;

    meta_flag(t, meta, "unsafeSsl", false, &insecure, err);
    parse_headers(t, meta, a, err);
    if (parse_modes(t, meta, allowed, a, err) && has_params(t, a, allowed, err))
        use_modes(t, meta, a, err);
    use_tls(t, a, insecure);
}

void http_auth_take_user(struct http_auth *a, char *url)
{
    char *from = strstr(url, "://"), *at, *end;
    struct str user, password = STR_NONE;

    if (!from)
        return;
    from += 3;
    end = from + strcspn(from, "/?#");
    at = memrchr(from, '@', (size_t)(end - from));
    if (!at)
        return;
    user = (struct str){from, (size_t)(at - from)};
    if (str_chr(user, ':') >= 0) {
        password = str_skip(user, (size_t)str_chr(user, ':') + 1);
        user.n = (size_t)str_chr(user, ':');
    }
    if (a->n_secrets == 0) {
        AUTO_FREE char *u = str_dup(user), *p = str_dup(password);
        ptrdiff_t nu = http_pct_decode(u, user.n), np = http_pct_decode(p, password.n);

        if (nu >= 0 && np >= 0)
            add_basic(a, str_n(u, (size_t)nu), str_n(p, (size_t)np));
        explicit_bzero(p, password.n);
    }
    memmove(from, at + 1, strlen(at + 1) + 1);
}

struct http_auth *http_auth_keep(struct http_auth *a)
{
    struct http_auth *kept;

    if (!a->modes && !a->headers && !a->n_secrets && !a->tls && !a->problem)
        return NULL;
    kept = mem_alloc(sizeof(*kept));
    *kept = *a;
    *a = (struct http_auth){0};
    return kept;
}

void http_auth_done(struct http_auth *a)
{
    for (size_t i = 0; i < a->n_headers; i++)
        header_free(&a->headers[i]);
    free(a->headers);
    for (size_t i = 0; i < a->n_secrets; i++)
        header_free(&a->secrets[i]);
    if (a->query)
        explicit_bzero(a->query, strlen(a->query));
    free(a->query);
    hub_tls_put(a->hub, a->tls);
    free(a->problem);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is asked through which proxy, as Go programs read the environment. */
#include <string.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "net/proxy.h"

static struct proxies *make(const char *http, const char *https, const char *direct)
{
    struct proxies *p = NULL;
    struct err err = ERR_INIT;

    if (proxies_new(&(struct proxy_settings){http, https, direct}, &p, &err) < 0)
        fail_msg("%s", err.msg);
    return p;
}

static void each_scheme_has_its_proxy(void **state)
{
    struct proxies *p = make("proxy:3128", " http://me:p%40ss@[::1]:8080/ ", NULL);
    const struct proxy *via = proxies_for(p, false, STR("server"), 80);

    (void)state;
    assert_string_equal(via->host, "proxy");
    assert_int_equal(via->port, 3128);
    assert_null(via->auth);
    via = proxies_for(p, true, STR("server"), 443);
    assert_string_equal(via->host, "::1");
    assert_int_equal(via->port, 8080);
    assert_string_equal(via->auth, "Basic bWU6cEBzcw==");
    proxies_free(p);
    p = make("", "http://user@proxy", "");
    assert_null(proxies_for(p, false, STR("server"), 80));
    assert_int_equal(proxies_for(p, true, STR("server"), 443)->port, 80);
    assert_string_equal(proxies_for(p, true, STR("server"), 443)->auth, "Basic dXNlcjo=");
    proxies_free(p);
    assert_null(proxies_for(NULL, false, STR("server"), 80));
}

static void what_is_no_http_proxy_is_refused_without_being_quoted(void **state)
{
    static const char *const bad[] = {
        "https://secret-7", "socks5://secret-7:1", "http://",       "secret-7:port",
        "secret 7",         "x%zz@secret-7",       "http://a:70000"};
    struct proxies *p = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;

        assert_int_equal(proxies_new(&(struct proxy_settings){NULL, bad[i], NULL}, &p, &err),
                         ERR_BAD_INPUT);
        assert_string_equal(err.msg, "HTTPS_PROXY is not http://[USER:PASSWORD@]HOST[:PORT]");
    }
}

static void who_is_named_is_asked_directly(void **state)
{
    static const struct {
        const char *direct, *host;
        uint16_t port;
        bool is_direct;
    } cases[] = {
        {"", "example.com", 80, false},
        {"", "localhost", 80, true},
        {"", "127.9.9.9", 80, true},
        {"", "::1", 80, true},
        {"", "::ffff:127.0.0.1", 80, true},
        {"", "128.0.0.1", 80, false},
        {"*", "example.com", 80, true},
        {"a, *", "10.0.0.1", 80, true},
        {"example.com", "example.com", 80, true},
        {"example.com", "EXAMPLE.com", 80, true},
        {"Example.com", "a.b.example.com", 80, true},
        {"example.com", "badexample.com", 80, false},
        {"example.com", "com", 80, false},
        {".example.com", "example.com", 80, false},
        {".example.com", "a.example.com", 80, true},
        {"*.example.com", "example.com", 80, false},
        {"*.example.com", "a.example.com", 80, true},
        {"example.com:8080", "example.com", 8080, true},
        {"example.com:8080", "example.com", 80, false},
        {" , other ,example.com ", "example.com", 80, true},
        {"10.1.2.3", "10.1.2.3", 80, true},
        {"10.1.2.3", "10.1.2.4", 80, false},
        {"10.1.2.3:90", "10.1.2.3", 90, true},
        {"10.1.2.3:90", "10.1.2.3", 80, false},
        {"10.0.0.0/8", "10.200.1.1", 80, true},
        {"10.0.0.0/8", "11.0.0.1", 80, false},
        {"10.0.0.0/8", "example.com", 80, false},
        {"192.168.64.0/20", "192.168.79.255", 80, true},
        {"192.168.64.0/20", "192.168.80.0", 80, false},
        {"0.0.0.0/0", "8.8.8.8", 80, true},
        {"0.0.0.0/0", "2001:db8::1", 80, false},
        {"10.0.0.0/33", "10.0.0.1", 80, false},
        {"2001:db8::/32", "2001:db8:5::1", 80, true},
        {"2001:db8::/32", "2001:db9::1", 80, false},
        {"2001:db8::7", "2001:db8::7", 80, true},
        {"[2001:db8::7]:90", "2001:db8::7", 90, true},
        {"[2001:db8::7]:90", "2001:db8::7", 80, false},
        {"[", "example.com", 80, false},
        {":80", "example.com", 80, false},
        {".", "example.com", 80, false},
        {".1", "10.0.0.1", 80, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct proxies *p = make("proxy:1", NULL, cases[i].direct);

        if (!proxies_for(p, false, str_of(cases[i].host), cases[i].port) != cases[i].is_direct)
            fail_msg("NO_PROXY=%s: %s:%u", cases[i].direct, cases[i].host, cases[i].port);
        proxies_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_scheme_has_its_proxy),
        cmocka_unit_test(what_is_no_http_proxy_is_refused_without_being_quoted),
        cmocka_unit_test(who_is_named_is_asked_directly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

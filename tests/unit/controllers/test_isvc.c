/* SPDX-License-Identifier: Apache-2.0
 *
 * What the InferenceService controller makes of inputs that admission would refuse. */
#include <stdio.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "codec/yaml.h"
#include "controllers/isvc.h"

static json_t *load(const char *name)
{
    static char text[1 << 16];
    AUTO_FREE char *path = mem_printf("%s/golden/%s", FB_TEST_DATA, name);
    FILE *f = fopen(path, "rb");
    struct err err = ERR_INIT;
    json_t *doc = NULL;
    size_t n;

    assert_non_null(f);
    n = fread(text, 1, sizeof(text), f);
    fclose(f);
    if (yaml_parse(str_n(text, n), &doc, &err) < 0)
        fail_msg("%s: %s", path, err.msg);
    return doc;
}

static void equal_to(const json_t *have, const char *name)
{
    AUTO_JSON json_t *want = load(name);
    struct buf a = BUF_INIT, b = BUF_INIT;

    if (json_equal(want, have))
        return;
    json_write(&a, want);
    json_write(&b, have);
    fail_msg("%s\nwanted %s\ngot    %s", name, buf_cstr(&a), buf_cstr(&b));
}

/* Golden 15 verbatim: the maximum is raised to the minimum, what the ConfigMap lacks is left out.
 */
static void a_minimum_above_the_maximum_raises_it(void **state)
{
    AUTO_JSON json_t *isvc = load("15-config-overrides/input.yaml"),
                     *config = load("_fixtures/config.yaml"),
                     *changes = load("15-config-overrides/config.yaml"),
                     *runtime = load("_fixtures/clusterservingruntime-huggingface.yaml"),
                     *own = json_pack("{s:s,s:s,s:s,s:s,s:b,s:b}", "apiVersion",
                                      "serving.kserve.io/v1beta1", "kind", "InferenceService",
                                      "name", "cfg-opt", "uid", "<uid of the InferenceService>",
                                      "controller", 1, "blockOwnerDeletion", 1),
                     *so = NULL, *collector = NULL;
    struct isvc_runtime rt = {.tree = runtime,
                              .spec = json_object_get(runtime, "spec"),
                              .name = "kserve-huggingfaceserver",
                              .is_cluster = true};
    const char *key;
    json_t *v;

    (void)state;
    json_object_foreach (changes, key, v) {
        if (json_is_null(v))
            json_object_del(config, key);
        else
            json_object_set(config, key, v);
    }
    so = isvc_scaled_object(isvc, &rt, config, own);
    equal_to(so, "15-config-overrides/expect-scaledobject.yaml");
    collector = isvc_collector(isvc, &rt, config, own);
    equal_to(collector, "15-config-overrides/expect-opentelemetrycollector.yaml");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_minimum_above_the_maximum_raises_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

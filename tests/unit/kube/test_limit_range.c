/* SPDX-License-Identifier: Apache-2.0
 *
 * LimitRanges: what they give, in Kubernetes' annotation, and what they refuse, in its words; which
 * of them are refused themselves. */
#include <stdlib.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "codec/yaml.h"
#include "kube/defaults.h"
#include "kube/limit_range.h"

static json_t *read(const char *yaml)
{
    json_t *o = NULL;
    struct err err = ERR_INIT;

    if (yaml_parse(str_of(yaml), &o, &err) < 0)
        fail_msg("%s: %s", yaml, err.msg);
    return o;
}

static void same(const char *what, const json_t *got, const char *want)
{
    AUTO_JSON json_t *w = read(want);
    struct buf text = BUF_INIT;

    json_write(&text, got);
    if (!json_equal(got, w))
        fail_msg("%s: %s, not %s", what, buf_cstr(&text), want);
    buf_done(&text);
}

/* --- what they give --- */

static const struct {
    const char *limits, *containers, *want, *note;
} gifts[] = {
    {"[{type: Container, default: {cpu: '1', memory: 1Gi}, defaultRequest: {cpu: 500m}}]",
     "[{name: a}]",
     "[{name: a, resources: {limits: {cpu: '1', memory: 1Gi}, requests: {cpu: 500m}}}]",
     "cpu request for container a; cpu, memory limit for container a"},
    {"[{type: Container, default: {cpu: '1'}, defaultRequest: {cpu: 500m}}]",
     "[{name: a, resources: {limits: {cpu: '2'}, requests: {cpu: '2'}}}, {name: b}]",
     "[{name: a, resources: {limits: {cpu: '2'}, requests: {cpu: '2'}}}, {name: b, resources: "
     "{limits: {cpu: '1'}, requests: {cpu: 500m}}}]",
     "cpu request for container b; cpu limit for container b"},
    {"[{type: Pod, max: {cpu: '1'}}]", "[{name: a}]", "[{name: a, resources: {}}]", NULL},
};

static void defaults_go_to_containers_that_lack_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(gifts); i++) {
        AUTO_JSON json_t *limits = read(gifts[i].limits), *pod = NULL;
        const json_t *note;

        pod = json_pack("{s:{},s:{s:o}}", "metadata", "spec", "containers",
                        read(gifts[i].containers));
        limit_range_default(limits, pod);
        same(gifts[i].limits, json_at(pod, "spec.containers"), gifts[i].want);
        note = json_object_get(json_at(pod, "metadata.annotations"), "kubernetes.io/limit-ranger");
        if (!gifts[i].note) {
            assert_null(note);
            continue;
        }
        assert_true(str_starts(json_strv(note), STR("LimitRanger plugin set: ")));
        assert_string_equal(json_string_value(note) + 24, gifts[i].note);
    }
}

static void init_containers_get_theirs_too(void **state)
{
    AUTO_JSON json_t *limits = read("[{type: Container, defaultRequest: {memory: 1Mi}}]"),
                     *pod = read("{metadata: {annotations: {a: b}}, spec: {initContainers: [{name: "
                                 "i}], containers: [{name: c, resources: {requests: {memory: "
                                 "2Mi}}}]}}");

    (void)state;
    limit_range_default(limits, pod);
    same("init", pod,
         "{metadata: {annotations: {a: b, kubernetes.io/limit-ranger: 'LimitRanger plugin set: "
         "memory request for init container i'}}, spec: {initContainers: [{name: i, resources: "
         "{requests: {memory: 1Mi}}}], containers: [{name: c, resources: {requests: {memory: "
         "2Mi}}}]}}");
}

/* --- what they refuse --- */

#define CPU(request, limit) \
    "{containers: [{name: a, resources: {requests: {" request "}, limits: {" limit "}}}]}"

static const struct {
    const char *limits, *spec, *why; /* why NULL: admitted */
} verdicts[] = {
    {"[{type: Container, min: {cpu: 100m}}]", CPU("cpu: 100m", ""), NULL},
    {"[{type: Container, min: {cpu: 100m}}]", CPU("", ""),
     "minimum cpu usage per Container is 100m.  No request is specified"},
    {"[{type: Container, min: {cpu: 100m}}]", CPU("cpu: 50m", "cpu: '1'"),
     "minimum cpu usage per Container is 100m, but request is 50m"},
    {"[{type: Container, min: {cpu: 100m}}]", CPU("cpu: 100m", "cpu: 99m"),
     "minimum cpu usage per Container is 100m, but limit is 99m"},
    {"[{type: Container, max: {memory: 1Gi}}]", CPU("", ""),
     "maximum memory usage per Container is 1Gi.  No limit is specified"},
    {"[{type: Container, max: {memory: 1Gi}}]", CPU("", "memory: 1536Mi"),
     "maximum memory usage per Container is 1Gi, but limit is 1536Mi"},
    {"[{type: Container, max: {memory: 1Gi}}]", CPU("memory: 2Gi", "memory: 1Gi"),
     "maximum memory usage per Container is 1Gi, but request is 2Gi"},
    {"[{type: Container, max: {memory: 1Gi}}]", CPU("memory: 1Gi", "memory: 1073741824"), NULL},
    {"[{type: Container, maxLimitRequestRatio: {cpu: '2'}}]", CPU("cpu: 500m", "cpu: '1'"), NULL},
    {"[{type: Container, maxLimitRequestRatio: {cpu: '2'}}]", CPU("cpu: 400m", "cpu: '1'"),
     "cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000"},
    {"[{type: Container, maxLimitRequestRatio: {cpu: '2'}}]", CPU("", "cpu: '1'"),
     "cpu max limit to request ratio per Container is 2, but no request is specified or request is "
     "0"},
    {"[{type: Container, maxLimitRequestRatio: {cpu: '2'}}]", CPU("cpu: '1'", ""),
     "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0"},
    {"[{type: Container, min: {cpu: '1'}, max: {memory: 1}}]", CPU("cpu: 1m", "memory: 2"),
     "[minimum cpu usage per Container is 1, but request is 1m, maximum memory usage per Container "
     "is 1, but limit is 2]"},
    {"[{type: Container, min: {cpu: '1'}}]",
     "{initContainers: [{name: i}], containers: [{name: a}]}",
     "minimum cpu usage per Container is 1.  No request is specified"},
    {"[{type: Pod, max: {cpu: '1'}}]",
     "{containers: [{name: a, resources: {limits: {cpu: 600m}}}, {name: b, resources: {limits: "
     "{cpu: 600m}}}]}",
     "maximum cpu usage per Pod is 1, but limit is 1200m"},
    {"[{type: Pod, max: {cpu: '1'}}]",
     "{initContainers: [{name: i, resources: {limits: {cpu: 900m}}}], containers: [{name: a, "
     "resources: {limits: {cpu: 600m}}}]}",
     NULL},
    {"[{type: Pod, max: {cpu: '1'}}]",
     "{initContainers: [{name: i, restartPolicy: Always, resources: {limits: {cpu: 900m}}}], "
     "containers: [{name: a, resources: {limits: {cpu: 600m}}}]}",
     "maximum cpu usage per Pod is 1, but limit is 1500m"},
    {"[{type: PersistentVolumeClaim, max: {storage: 1Gi}}]", CPU("", ""), NULL},
};

static void constraints_are_told_in_kubernetes_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
        AUTO_JSON json_t *limits = read(verdicts[i].limits),
                         *pod = json_pack("{s:o}", "spec", read(verdicts[i].spec));
        struct buf why = BUF_INIT;
        bool ok = limit_range_admits(limits, pod, &why);

        assert_int_equal(ok, verdicts[i].why == NULL);
        assert_string_equal(buf_cstr(&why), verdicts[i].why ? verdicts[i].why : "");
        buf_done(&why);
    }
}

/* --- LimitRanges themselves --- */

static void what_is_missing_comes_from_max_and_min(void **state)
{
    AUTO_JSON json_t *o = read("{spec: {limits: [{type: Container, max: {cpu: 2000m}, min: {cpu: "
                               "100m, memory: 1Mi}}, {type: Pod, max: {cpu: '4'}}]}}");

    (void)state;
    default_limitrange(o);
    same("defaults", o,
         "{spec: {limits: [{type: Container, max: {cpu: '2'}, min: {cpu: 100m, memory: 1Mi}, "
         "default: {cpu: '2'}, defaultRequest: {cpu: '2', memory: 1Mi}}, {type: Pod, max: {cpu: "
         "'4'}}]}}");
}

static const struct {
    const char *limits, *why; /* "field: message" of the first error */
} ranges[] = {
    {"[{type: Container, min: {cpu: '2'}, max: {cpu: '1'}}]",
     "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1"},
    {"[{type: Container, min: {cpu: '2'}, defaultRequest: {cpu: '1'}}]",
     "spec.limits[0].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than "
     "default request value 1"},
    {"[{type: Container, default: {cpu: '1'}, defaultRequest: {cpu: '2'}}]",
     "spec.limits[0].defaultRequest[cpu]: Invalid value: \"2\": default request value 2 is greater "
     "than default limit value 1"},
    {"[{type: Container, max: {cpu: '1'}, default: {cpu: '2'}, defaultRequest: {cpu: 100m}}]",
     "spec.limits[0].default[cpu]: Invalid value: \"2\": default value 2 is greater than max value "
     "1"},
    {"[{type: Container, maxLimitRequestRatio: {cpu: 500m}}]",
     "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than "
     "1"},
    {"[{type: Container, min: {cpu: '1'}, max: {cpu: '2'}, maxLimitRequestRatio: {cpu: '3'}}]",
     "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"3\": ratio 3 is greater than "
     "max/min = 2.000000"},
    {"[{type: Pod, default: {cpu: '1'}}]",
     "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"},
    {"[{type: PersistentVolumeClaim}]",
     "spec.limits[0]: Required value: either minimum or maximum storage value is required, but "
     "neither was provided"},
    {"[{type: Pod, max: {cpu: '1'}}, {type: Pod, min: {cpu: '1'}}]",
     "spec.limits[1].type: Duplicate value: \"Pod\""},
    {"[{max: {cpu: '1'}}]", "spec.limits[0].type: Required value"},
    {"[{type: Container, max: {cpu: '2'}, min: {cpu: 100m}, default: {memory: 1Gi}}]", NULL},
};

static void wrong_ranges_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        AUTO_JSON json_t *o = json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:o}}", "apiVersion", "v1", "kind",
                                        "LimitRange", "metadata", "name", "l", "namespace", "d",
                                        "spec", "limits", read(ranges[i].limits));
        struct denial d = {0};
        int r = admit(NULL, kind_of(KIND_LIMITRANGE), ADMIT_CREATE, o, NULL, FIELDS_STRICT, &d);

        if (!ranges[i].why) {
            assert_int_equal(r, 0);
        } else {
            AUTO_FREE char *got = d.fields.n ? mem_printf("%s: %s", d.fields.items[0].field,
                                                          d.fields.items[0].message)
                                             : mem_strdup("nothing");

            assert_string_equal(got, ranges[i].why);
        }
        denial_done(&d);
    }
}

static void a_limit_that_is_given_holds_for_the_request_that_is_there(void **state)
{
    AUTO_JSON json_t *pod = read("{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: d}, "
                                 "spec: {containers: [{name: c, image: i, resources: {requests: "
                                 "{cpu: '1'}}}]}}"),
                     *limits = read("[{type: Container, default: {cpu: 500m}}]");
    struct denial d = {0};

    (void)state;
    limit_range_default(limits, pod);
    assert_true(admit(NULL, kind_of(KIND_POD), ADMIT_CREATE, pod, NULL, FIELDS_STRICT, &d) < 0);
    assert_int_equal(d.fields.n, 1);
    assert_string_equal(d.fields.items[0].field, "spec.containers[0].resources.requests");
    assert_string_equal(d.fields.items[0].message,
                        "Invalid value: \"1\": must be less than or equal to cpu limit of 500m");
    denial_done(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_go_to_containers_that_lack_them),
        cmocka_unit_test(init_containers_get_theirs_too),
        cmocka_unit_test(constraints_are_told_in_kubernetes_words),
        cmocka_unit_test(a_limit_that_is_given_holds_for_the_request_that_is_there),
        cmocka_unit_test(what_is_missing_comes_from_max_and_min),
        cmocka_unit_test(wrong_ranges_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

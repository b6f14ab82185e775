/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "base/mem.h"
#include "kube/schema.h"

static json_t *parse(const char *text)
{
    json_t *o = NULL;
    struct err err = ERR_INIT;

    if (json_parse(str_of(text), &o, &err) < 0)
        fail_msg("%s", err.msg);
    return o;
}

static int try(enum kind_id id, const char *text, enum field_validation mode, struct denial *d)
{
    AUTO_JSON json_t *o = parse(text);

    return admit(NULL, kind_of(id), ADMIT_CREATE, o, NULL, mode, d);
}

#define ISVC(predictor)                                                            \
    "{\"apiVersion\":\"serving.kserve.io/v1beta1\",\"kind\":\"InferenceService\"," \
    "\"metadata\":{\"name\":\"a\",\"namespace\":\"d\"},\"spec\":{\"predictor\":" predictor "}}"
#define SO(spec)                                                      \
    "{\"apiVersion\":\"keda.sh/v1alpha1\",\"kind\":\"ScaledObject\"," \
    "\"metadata\":{\"name\":\"a\",\"namespace\":\"d\"},\"spec\":{" spec "}}"
#define SO_REST \
    "\"scaleTargetRef\":{\"name\":\"x\"},\"triggers\":[{\"type\":\"prometheus\",\"metadata\":{}}]"

static void strict_refuses_an_unknown_field_and_names_the_right_one(void **state)
{
    struct denial d = {0};

    (void)state;
    assert_int_equal(
        try(KIND_INFERENCESERVICE, ISVC("{\"model\":{},\"minReplica\":1}"), FIELDS_STRICT, &d),
        ERR_BAD_INPUT);
    assert_int_equal(d.http, 400);
    assert_string_equal(buf_cstr(&d.message),
                        "InferenceService in version \"v1beta1\" cannot be handled as a "
                        "InferenceService: strict decoding error: unknown field "
                        "\"spec.predictor.minReplica\" (did you mean \"minReplicas\"?)");
    denial_done(&d);
}

static void warn_drops_an_unknown_field_and_says_so(void **state)
{
    AUTO_JSON json_t *o = parse(ISVC("{\"model\":{\"arg\":[\"x\"]},\"zzzzzzzz\":1}"));
    struct denial d = {0};

    (void)state;
    assert_int_equal(
        admit(NULL, kind_of(KIND_INFERENCESERVICE), ADMIT_CREATE, o, NULL, FIELDS_WARN, &d), 0);
    assert_string_equal(buf_cstr(&d.warnings),
                        "unknown field \"spec.predictor.model.arg\" (did you mean \"args\"?)\n"
                        "unknown field \"spec.predictor.zzzzzzzz\"\n");
    assert_null(json_at(o, "spec.predictor.zzzzzzzz"));
    denial_done(&d);
}

static void ignore_drops_an_unknown_field_silently(void **state)
{
    AUTO_JSON json_t *o = parse(ISVC("{\"model\":{},\"zzz\":1}"));
    struct denial d = {0};

    (void)state;
    assert_int_equal(
        admit(NULL, kind_of(KIND_INFERENCESERVICE), ADMIT_CREATE, o, NULL, FIELDS_IGNORE, &d), 0);
    assert_int_equal(d.warnings.n, 0);
    assert_null(json_at(o, "spec.predictor.zzz"));
    denial_done(&d);
}

static void maps_take_any_key(void **state)
{
    AUTO_JSON json_t *o = parse(
        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\",\"labels\":"
        "{\"any/key\":\"v\"}},\"data\":{\"any.key\":\"v\"}}");
    struct buf unknown = BUF_INIT;

    (void)state;
    schema_prune(kind_of(KIND_CONFIGMAP), o, &unknown);
    assert_int_equal(unknown.n, 0);
    buf_done(&unknown);
}

static void inline_messages_belong_to_their_parent(void **state)
{
    const struct schema_type *probe = schema_type("core.v1.Probe");

    (void)state;
    assert_non_null(probe);
    assert_non_null(schema_field(probe, STR("httpGet")));
    assert_non_null(schema_field(probe, STR("periodSeconds")));
    assert_null(schema_field(probe, STR("")));
    assert_null(schema_field(probe, STR("httpget")));
}

/* One row, one rule: the field and the start of the message of the first error ("": admitted). */
static void rules_of_the_custom_kinds_hold(void **state)
{
    static const struct {
        enum kind_id kind;
        const char *object, *field, *reason;
    } rows[] = {
        {KIND_SCALEDOBJECT, SO(SO_REST), "", ""},
        {KIND_SCALEDOBJECT, SO("\"triggers\":[]"), "spec.scaleTargetRef", "FieldValueRequired"},
        {KIND_SCALEDOBJECT, SO("\"scaleTargetRef\":{\"name\":\"x\"},\"triggers\":[]"),
         "spec.triggers", "FieldValueInvalid"},
        {KIND_SCALEDOBJECT, SO("\"maxReplicaCount\":1," SO_REST), "", ""},
        {KIND_SCALEDOBJECT, SO("\"maxReplicaCount\":0," SO_REST), "spec.maxReplicaCount",
         "FieldValueInvalid"},
        {KIND_SCALEDOBJECT, SO("\"minReplicaCount\":-1," SO_REST), "spec.minReplicaCount",
         "FieldValueInvalid"},
        {KIND_SCALEDOBJECT, SO("\"minReplicaCount\":100," SO_REST), "", ""},
        {KIND_SCALEDOBJECT, SO("\"minReplicaCount\":101," SO_REST), "spec", "FieldValueInvalid"},
        {KIND_SCALEDOBJECT, SO("\"pollingInterval\":0," SO_REST), "spec.pollingInterval",
         "FieldValueInvalid"},
        {KIND_SCALEDOBJECT, SO("\"pollingInterval\":2147483648," SO_REST), "spec.pollingInterval",
         "FieldValueInvalid"},
        {KIND_SCALEDOBJECT, SO("\"pollingInterval\":\"5\"," SO_REST), "spec.pollingInterval",
         "FieldValueTypeInvalid"},
        {KIND_SCALEDOBJECT,
         SO("\"scaleTargetRef\":{\"name\":\"\"},\"triggers\":[{\"type\":\"cron\",\"metadata\":{}}"
            "]"),
         "spec.scaleTargetRef.name", "FieldValueInvalid"},
        {KIND_SCALEDOBJECT,
         SO("\"scaleTargetRef\":{\"name\":\"x\"},\"triggers\":[{\"type\":\"cron\",\"metadata\":"
            "{\"threshold\":2}}]"),
         "spec.triggers[0].metadata.threshold", "FieldValueTypeInvalid"},
        {KIND_SCALEDOBJECT, SO("\"fallback\":{\"replicas\":1}," SO_REST),
         "spec.fallback.failureThreshold", "FieldValueRequired"},
        {KIND_INFERENCESERVICE, ISVC("[]"), "spec.predictor", "FieldValueTypeInvalid"},
        {KIND_INFERENCESERVICE, ISVC("null"), "spec.predictor", "FieldValueRequired"},
        {KIND_DEPLOYMENT,
         "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"replicas\":\"three\",\"selector\":{},"
         "\"template\":{}}}",
         "spec.replicas", "FieldValueTypeInvalid"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct denial d = {0};
        int r = try(rows[i].kind, rows[i].object, FIELDS_STRICT, &d);
        const char *field = d.fields.n ? d.fields.items[0].field : "";
        const char *reason = d.fields.n ? d.fields.items[0].reason : "";

        if ((r == 0) != (*rows[i].field == '\0') || strcmp(field, rows[i].field) != 0 ||
            strcmp(reason, rows[i].reason) != 0)
            fail_msg("row %zu: wanted %s at '%s', got %d %s at '%s' (%s)", i, rows[i].reason,
                     rows[i].field, r, reason, field, buf_cstr(&d.message));
        denial_done(&d);
    }
}

static void suggestions_need_two_thirds_of_the_letters(void **state)
{
    const struct schema_type *so = schema_type("keda.v1alpha1.ScaledObjectSpec");

    (void)state;
    assert_string_equal(schema_suggest(so, STR("maxreplicacount")), "maxReplicaCount");
    assert_string_equal(schema_suggest(so, STR("trigger")), "triggers");
    assert_string_equal(schema_suggest(so, STR("coolDownPeriods")), "cooldownPeriod");
    assert_null(schema_suggest(so, STR("replicas")));
    assert_null(schema_suggest(so, STR("x")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strict_refuses_an_unknown_field_and_names_the_right_one),
        cmocka_unit_test(warn_drops_an_unknown_field_and_says_so),
        cmocka_unit_test(ignore_drops_an_unknown_field_silently),
        cmocka_unit_test(maps_take_any_key),
        cmocka_unit_test(inline_messages_belong_to_their_parent),
        cmocka_unit_test(rules_of_the_custom_kinds_hold),
        cmocka_unit_test(suggestions_need_two_thirds_of_the_letters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

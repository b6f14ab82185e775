/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "base/mem.h"
#include "kube/kind.h"
#include "kube/kpb.h"

/* --- a writer, to have something to read --- */

static void varint(struct buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_add_char(b, (char)(v | 0x80));
    buf_add_char(b, (char)v);
}

static void number(struct buf *b, unsigned field, int64_t v)
{
    varint(b, field << 3);
    varint(b, (uint64_t)v);
}

static void bytes(struct buf *b, unsigned field, const void *p, size_t n)
{
    varint(b, field << 3 | 2);
    varint(b, n);
    buf_add(b, p, n);
}

static void text(struct buf *b, unsigned field, const char *s)
{
    bytes(b, field, s, strlen(s));
}

static void nest(struct buf *b, unsigned field, struct buf *inner)
{
    bytes(b, field, buf_cstr(inner), inner->n);
    buf_done(inner);
}

static void envelope(struct buf *b, const char *version, const char *kind, struct buf *object)
{
    struct buf meta = BUF_INIT;

    text(&meta, 1, version);
    text(&meta, 2, kind);
    buf_add(b, "k8s\0", 4);
    nest(b, 1, &meta);
    nest(b, 2, object);
    text(b, 3, "");
}

/* A Service with an integer targetPort, a labelled name, and what Go writes although it is zero. */
static void service(struct buf *b)
{
    struct buf meta = BUF_INIT, label = BUF_INIT, time = BUF_INIT, spec = BUF_INIT, port = BUF_INIT,
               target = BUF_INIT, object = BUF_INIT;

    text(&meta, 1, "web");
    text(&meta, 3, "");
    nest(&meta, 8, &time); /* creationTimestamp: an empty Time */
    text(&label, 1, "app");
    text(&label, 2, "x");
    nest(&meta, 11, &label);
    number(&target, 1, 0);
    number(&target, 2, 8080);
    text(&port, 1, "http");
    number(&port, 3, 80);
    nest(&port, 4, &target);
    number(&port, 5, 0); /* nodePort */
    nest(&spec, 1, &port);
    text(&spec, 4, "ClusterIP");
    number(&spec, 777, 5); /* of a later release */
    nest(&object, 1, &meta);
    nest(&object, 2, &spec);
    envelope(b, "v1", "Service", &object);
}

static void expect(struct buf *b, const char *want)
{
    json_t *o = NULL;
    struct err err = ERR_INIT;
    struct buf got = BUF_INIT;

    if (kpb_decode(buf_str(b), &o, &err) < 0)
        fail_msg("%s", err.msg);
    json_write(&got, o);
    assert_string_equal(buf_cstr(&got), want);
    buf_done(&got);
    json_decref(o);
    buf_done(b);
}

static void zero_values_of_plain_fields_are_absent_and_unknown_numbers_skipped(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    service(&b);
    expect(&b, "{\"metadata\":{\"name\":\"web\",\"labels\":{\"app\":\"x\"}},\"spec\":{\"ports\":["
               "{\"name\":\"http\",\"port\":80,\"targetPort\":8080}],\"type\":\"ClusterIP\"},"
               "\"apiVersion\":\"v1\",\"kind\":\"Service\"}");
}

static void zero_of_a_pointer_field_stays_and_negative_numbers_are_read(void **state)
{
    struct buf object = BUF_INIT, b = BUF_INIT;

    (void)state;
    number(&object, 1, 0); /* gracePeriodSeconds */
    envelope(&b, "v1", "DeleteOptions", &object);
    expect(&b, "{\"gracePeriodSeconds\":0,\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\"}");
    number(&object, 1, -1);
    envelope(&b, "apps/v1", "DeleteOptions", &object);
    expect(&b, "{\"gracePeriodSeconds\":-1,\"apiVersion\":\"apps/v1\",\"kind\":\"DeleteOptions\"}");
}

static void bytes_become_base64(void **state)
{
    static const struct {
        const char *raw, *coded;
    } rows[] = {{"", ""}, {"a", "YQ=="}, {"ab", "YWI="}, {"abc", "YWJj"}, {"\xff\xfe", "//4="}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf entry = BUF_INIT, object = BUF_INIT, b = BUF_INIT;
        AUTO_FREE char *want = mem_printf(
            "{\"data\":{\"k\":\"%s\"},\"apiVersion\":\"v1\",\"kind\":\"Secret\"}", rows[i].coded);

        text(&entry, 1, "k");
        text(&entry, 2, rows[i].raw);
        nest(&object, 2, &entry);
        envelope(&b, "v1", "Secret", &object);
        expect(&b, want);
    }
}

static void a_cut_body_is_refused_or_reads_as_less_but_never_crashes(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    service(&b);
    for (size_t n = 0; n < b.n; n++) {
        char *exact = mem_alloc(n ? n : 1); /* so that the sanitizer sees one byte too far */
        json_t *o = NULL;

        memcpy(exact, b.p, n);
        if (kpb_decode(str_n(exact, n), &o, NULL) < 0)
            assert_null(o);
        json_decref(o);
        free(exact);
    }
    buf_done(&b);
}

static void a_type_without_a_table_is_unsupported(void **state)
{
    struct buf object = BUF_INIT, b = BUF_INIT;
    struct err err = ERR_INIT;
    json_t *o = NULL;

    (void)state;
    envelope(&b, "batch/v1", "Job", &object);
    assert_int_equal(kpb_decode(buf_str(&b), &o, &err), ERR_UNSUPPORTED);
    buf_done(&b);
    assert_int_equal(kpb_decode(STR("{\"kind\":\"Service\"}"), &o, &err), ERR_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_values_of_plain_fields_are_absent_and_unknown_numbers_skipped),
        cmocka_unit_test(zero_of_a_pointer_field_stays_and_negative_numbers_are_read),
        cmocka_unit_test(bytes_become_base64),
        cmocka_unit_test(a_cut_body_is_refused_or_reads_as_less_but_never_crashes),
        cmocka_unit_test(a_type_without_a_table_is_unsupported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

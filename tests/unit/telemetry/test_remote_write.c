/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "base/buf.h"
#include "base/mem.h"
#include "telemetry/remote_write.h"

static void add_varint(struct buf *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        buf_add_char(b, (char)(v | 128));
    buf_add_char(b, (char)v);
}

static void add_bytes(struct buf *b, unsigned field, struct str s)
{
    add_varint(b, field << 3 | 2);
    add_varint(b, s.n);
    buf_add_str(b, s);
}

static void add_label(struct buf *series, const char *name, const char *value)
{
    struct buf l = BUF_INIT;

    add_bytes(&l, 1, str_of(name));
    add_bytes(&l, 2, str_of(value));
    add_bytes(series, 1, buf_str(&l));
    buf_done(&l);
}

static void add_sample(struct buf *series, double v, int64_t t)
{
    struct buf s = BUF_INIT;

    add_varint(&s, 1 << 3 | 1);
    buf_add(&s, &v, 8);
    add_varint(&s, 2 << 3);
    add_varint(&s, (uint64_t)t);
    add_bytes(series, 2, buf_str(&s));
    buf_done(&s);
}

/* up{job="x"} 1@1000 2@2000, and a metadata field that is passed over. */
static void whole_message(struct buf *out)
{
    struct buf series = BUF_INIT;

    add_label(&series, "__name__", "up");
    add_label(&series, "job", "x");
    add_label(&series, "empty", "");
    add_sample(&series, 1, 1000);
    add_sample(&series, 2, 2000);
    add_bytes(out, 1, buf_str(&series));
    add_bytes(out, 3, STR("metadata"));
    buf_done(&series);
}

static struct tsdb *new_db(void)
{
    return tsdb_new(&(struct tsdb_options){.retention_ms = -1});
}

static void samples_are_stored_and_what_is_not_known_is_passed_over(void **state)
{
    struct tsdb *db = new_db();
    struct remote_write_stats st;
    struct buf m = BUF_INIT;
    struct label l[] = {{STR("__name__"), STR("up")}, {STR("job"), STR("x")}};
    struct series *s;

    (void)state;
    whole_message(&m);
    assert_int_equal(remote_write_message(db, buf_str(&m), &st, NULL), 0);
    assert_int_equal(st.samples, 2);
    assert_int_equal(remote_write_message(db, buf_str(&m), &st, NULL), 0);
    assert_int_equal(st.samples, 0);
    assert_int_equal(st.duplicates + st.out_of_order, 2); /* 1@1000 is older, 2@2000 the same */
    s = tsdb_series(db, l, 2);
    assert_int_equal(tsdb_series_count(db), 1); /* an empty label is none */
    assert_int_equal(series_newest(s), 2000);
    tsdb_release(s);
    buf_done(&m);
    tsdb_free(db);
}

static void every_cut_is_refused_or_stores_less_and_never_reads_past_its_end(void **state)
{
    struct buf m = BUF_INIT;

    (void)state;
    whole_message(&m);
    for (size_t n = 0; n < m.n; n++) {
        struct tsdb *db = new_db();
        struct remote_write_stats st;
        struct err err = ERR_INIT;
        AUTO_FREE char *copy = mem_alloc(n + 1); /* so that the sanitizer sees a read behind it */

        memcpy(copy, m.p, n);
        if (remote_write_message(db, str_n(copy, n), &st, &err) < 0)
            assert_int_equal(err.code, ERR_BAD_INPUT);
        assert_true(st.samples <= 2);
        tsdb_free(db);
    }
    buf_done(&m);
}

static void refused(const char *name, const char *other, const char *says)
{
    struct tsdb *db = new_db();
    struct buf series = BUF_INIT, m = BUF_INIT;
    struct remote_write_stats st;
    struct err err = ERR_INIT;

    if (name)
        add_label(&series, "__name__", name);
    add_label(&series, other, "1");
    add_label(&series, other, "2");
    add_sample(&series, 1, 1);
    add_bytes(&m, 1, buf_str(&series));
    assert_int_equal(remote_write_message(db, buf_str(&m), &st, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.msg, says));
    buf_done(&series);
    buf_done(&m);
    tsdb_free(db);
}

static void labels_that_no_series_can_have_are_refused_by_name(void **state)
{
    (void)state;
    refused("x", "a", "label 'a' is given twice");
    refused("x", "", "a label has no name");
}

static void a_body_without_snappy_or_too_large_is_refused_before_memory_is_taken(void **state)
{
    struct tsdb *db = new_db();
    struct remote_write_stats st;
    struct err err = ERR_INIT;
    struct buf b = BUF_INIT;

    (void)state;
    assert_int_equal(remote_write(db, STR(""), &st, &err), ERR_BAD_INPUT);
    add_varint(&b, REMOTE_WRITE_MAX + 1);
    buf_add_cstr(&b, "xxxx");
    assert_int_equal(remote_write(db, buf_str(&b), &st, &err), ERR_LIMIT);
    buf_clear(&b);
    add_varint(&b, REMOTE_WRITE_MAX);
    buf_add_cstr(&b, "xxxx");
    assert_int_equal(remote_write(db, buf_str(&b), &st, &err), ERR_BAD_INPUT);
    buf_done(&b);
    tsdb_free(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_stored_and_what_is_not_known_is_passed_over),
        cmocka_unit_test(every_cut_is_refused_or_stores_less_and_never_reads_past_its_end),
        cmocka_unit_test(labels_that_no_series_can_have_are_refused_by_name),
        cmocka_unit_test(a_body_without_snappy_or_too_large_is_refused_before_memory_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

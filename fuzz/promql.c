/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "promql/promql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tsdb *some_series(void)
{
    static const char *const names[] = {"vllm:num_requests_running", "http_requests_total", "x"};
    struct tsdb *db = tsdb_new(&(struct tsdb_options){.retention_ms = -1});

    for (size_t i = 0; i < 6; i++) {
        char pod[] = "a", le[] = "1";
        struct label labels[] = {
            {STR("__name__"), str_of(names[i % 3])}, {STR("pod"), STR_NONE}, {STR("le"), STR_NONE}};
        struct series *s;

        pod[0] = (char)('a' + i);
        le[0] = (char)('1' + i);
        labels[1].value = str_of(pod);
        labels[2].value = str_of(le);
        s = tsdb_series(db, labels, 3);
        for (int64_t t = 0; t < 20; t++)
            tsdb_append(db, s, t * 1000, (double)(t % 7) * (double)(i + 1));
        tsdb_release(s);
    }
    return db;
}

/* What parses must evaluate, or fail with a text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tsdb *db;
    struct promql_options o = {.max_samples = 20000};
    struct promql_result r;
    struct promql *q = NULL;
    struct err err = ERR_INIT;
    struct buf out = BUF_INIT;

    if (!db)
        db = some_series();
    if (size > 4096 || promql_parse(str_n((const char *)data, size), &q, &err) < 0)
        return 0;
    if (promql_instant(db, q, 15000, &o, &r, &err) == 0) {
        promql_write_json(&out, &r);
        promql_result_done(&r);
    } else if (!err.msg[0]) {
        __builtin_trap();
    }
    err = ERR_INIT;
    if (promql_type_of(q) != PROMQL_MATRIX && promql_type_of(q) != PROMQL_STRING &&
        promql_range(db, q, 0, 10000, 5000, &o, &r, &err) == 0)
        promql_result_done(&r);
    buf_done(&out);
    promql_free(q);
    return 0;
}

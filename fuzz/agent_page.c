/* SPDX-License-Identifier: Apache-2.0
 *
 * Pages in a row through one target, cut at bytes 0xff; the first byte chooses the format. What
 * comes out must be what the receiver's own check accepts. */
#include <stdint.h>
#include <stdlib.h>

#include "agent/page.h"
#include "codec/otlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static void write_checked(struct page *p)
{
    struct buf out = BUF_INIT;
    size_t n = page_write(p, &out);

    if ((n == 0) != (out.n == 0) || otlp_check(buf_str(&out), NULL) < 0 || page_has_news(p))
        abort();
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct agent_config c;
    struct agent_job job = {.name = STR("j"), .scheme = STR("http"), .honor_timestamps = true};
    struct agent_target target = {.address = STR("localhost:1")};
    struct page_scrape s = {1000, 0.5};
    struct buf problems = BUF_INIT;
    struct page *p;
    struct str rest, text;

    if (size == 0)
        return 0;
    if (!c.arena.blocks)
        config_read(STR_NONE, no_env, &c, &problems, NULL); /* no processors */
    buf_done(&problems);
    job.honor_labels = data[0] & 1;
    p = page_new(&c, &job, &target);
    rest = str_n(data + 1, size - 1);
    while (str_split(&rest, '\xff', &text)) {
        s.t_ms += 100;
        if (!page_repeat(p, text, &s) &&
            page_take(p, text, data[0] & 2 ? PROMTEXT_OPENMETRICS : PROMTEXT_004, &s, NULL) < 0 &&
            data[0] & 4)
            continue;
        write_checked(p);
    }
    page_end(p, s.t_ms);
    write_checked(p);
    page_free(p);
    return 0;
}

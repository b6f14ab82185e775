/* SPDX-License-Identifier: Apache-2.0
 *
 * One thread, the vLLM page: parsing alone; understanding a page that was seen before; writing all
 * of it as OTLP. exposition PAGE.prom PAGE.openmetrics.txt */
#include <stdio.h>
#include <time.h>

#include "agent/page.h"
#include "base/mem.h"
#include "codec/promtext.h"

#define ROUNDS 4000

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool add(void *arg, const struct promtext_sample *s)
{
    *(double *)arg += s->value;
    return true;
}

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static void measure(struct str text, enum promtext_format format, const char *name)
{
    struct agent_config c;
    struct agent_job job = {.name = STR("j"), .scheme = STR("http"), .honor_timestamps = true};
    struct agent_target target = {.address = STR("localhost:1")};
    struct page_scrape s = {1, 0.001};
    struct buf out = BUF_INIT, problems = BUF_INIT;
    struct page *p;
    double sum = 0, start = now_s(), took;
    size_t points = 0;

    for (int i = 0; i < ROUNDS; i++)
        if (promtext_parse(text, format, add, NULL, &sum, NULL) < 0)
            return;
    took = (now_s() - start) / ROUNDS;
    printf("%s: parse %.1f us, %.0f MB/s", name, took * 1e6, (double)text.n / took / 1e6);

    config_read(STR_NONE, no_env, &c, &problems, NULL); /* nothing in it: no processors */
    p = page_new(&c, &job, &target);
    start = now_s();
    for (int i = 0; i < ROUNDS; i++) {
        s.t_ms += 100;
        page_take(p, text, format, &s, NULL);
    }
    printf("; take %.1f us", (now_s() - start) / ROUNDS * 1e6);
    start = now_s();
    for (int i = 0; i < ROUNDS; i++) {
        buf_clear(&out);
        points = page_write(p, &out);
    }
    took = (now_s() - start) / ROUNDS;
    printf("; write %.1f us (%zu points, %zu bytes, %.0f MB/s)\n", took * 1e6, points, out.n,
           (double)out.n / took / 1e6);
    page_free(p);
    config_done(&c);
    buf_done(&problems);
    buf_done(&out);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct buf b = BUF_INIT;
        char part[65536];
        size_t n;
        FILE *f = fopen(argv[i], "re");

        if (!f) {
            perror(argv[i]);
            return 1;
        }
        while ((n = fread(part, 1, sizeof(part), f)) > 0)
            buf_add(&b, part, n);
        fclose(f);
        measure(buf_str(&b), strstr(argv[i], "openmetrics") ? PROMTEXT_OPENMETRICS : PROMTEXT_004,
                argv[i]);
        buf_done(&b);
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "base/mem.h"
#include "node/images.h"

static void images_have_their_commands(void **state)
{
    static char one[] = "mine/server=run it", two[] = "exact/image:2=two",
                three[] = "*/special-*=special --flag";
    static char *const map[] = {one, two, three, NULL};
    static const struct {
        const char *image, *command;
    } rows[] = {
        {"kserve/huggingfaceserver:latest", "flyball model-server"},
        {"docker.io/kserve/huggingfaceserver@sha256:00", "flyball model-server"},
        {"ghcr.io/open-telemetry/opentelemetry-collector-releases/"
         "opentelemetry-collector-contrib:0.120.0",
         "flyball-agent"},
        {"otel/opentelemetry-collector-k8s", "flyball-agent"},
        {"localhost:5000/opentelemetry-collector:1", "flyball-agent"},
        {"example.org/my-opentelemetry-collector:1", NULL},
        {"example.org/opentelemetry-collector/other:1", NULL},
        {"mine/server:3", "run it"},
        {"exact/image:2", "two"},
        {"exact/image:3", NULL},
        {"r/special-one:1", "special --flag"},
        {"r/not-special-one:1", NULL},
        {"nginx", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *got = image_command(rows[i].image, map);

        if (strcmp(got ? got : "-", rows[i].command ? rows[i].command : "-") != 0)
            fail_msg("%s: wanted %s, got %s", rows[i].image,
                     rows[i].command ? rows[i].command : "none", got ? got : "none");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_have_their_commands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

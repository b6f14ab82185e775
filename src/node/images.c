/* SPDX-License-Identifier: Apache-2.0 */
#include "node/images.h"

#include "base/mem.h"

#define MODEL_SERVER                                                                               \
    "flyball model-server", "it computes no model: it schedules requests as vLLM does, takes its " \
                            "step times from a timing model and makes its text up"

static const struct stand_in {
    const char *repository, *command, *note;
} builtin[] = {
    {"kserve/huggingfaceserver", MODEL_SERVER},
    {"vllm/vllm-openai", MODEL_SERVER},
    {"vllm/vllm-openai-cpu", MODEL_SERVER},
    /* any collector image: its name may begin with this, whoever publishes it */
    {"*/opentelemetry-collector*", "flyball-agent",
     "it takes the part of the collector's configuration that a sidecar for scaling needs"},
};

/* A pattern "*" "/PREFIX" "*" stands for every repository whose last part begins with PREFIX. */
static bool matches(struct str repo, struct str pattern)
{
    size_t last = repo.n;

    if (!str_starts(pattern, STR("*/")) || !str_ends(pattern, STR("*")))
        return str_eq(repo, pattern);
    while (last > 0 && repo.p[last - 1] != '/')
        last--;
    pattern = str_skip(pattern, 2);
    pattern.n--;
    return str_starts(str_skip(repo, last), pattern);
}

static struct str repository(const char *image)
{
    struct str s = str_of(image);
    ptrdiff_t at = str_chr(s, '@');

    if (at >= 0)
        s.n = (size_t)at;
    for (size_t i = s.n; i > 0 && s.p[i - 1] != '/'; i--)
        if (s.p[i - 1] == ':') {
            s.n = i - 1;
            break;
        }
    if (str_starts(s, STR("docker.io/")))
        s = str_skip(s, strlen("docker.io/"));
    return s;
}

static const char *of_user(const char *image, char *const *map)
{
    struct str repo = repository(image);

    for (; map && *map; map++) {
        const char *eq = strchr(*map, '=');
        struct str key = eq ? (struct str){*map, (size_t)(eq - *map)} : STR_NONE;

        if (eq && (matches(repo, key) || str_is(key, image)))
            return eq + 1;
    }
    return NULL;
}

static const struct stand_in *of_builtin(const char *image)
{
    struct str repo = repository(image);

    for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
        if (matches(repo, str_of(builtin[i].repository)))
            return &builtin[i];
    return NULL;
}

const char *image_command(const char *image, char *const *map)
{
    const char *own = of_user(image, map);
    const struct stand_in *b = own ? NULL : of_builtin(image);

    return b ? b->command : own;
}

const char *image_note(const char *image, char *const *map)
{
    const struct stand_in *b = of_user(image, map) ? NULL : of_builtin(image);

    return b ? b->note : NULL;
}

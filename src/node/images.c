/* SPDX-License-Identifier: Apache-2.0 */
#include "node/images.h"

#include "base/mem.h"

static const struct {
    const char *repository, *command;
} builtin[] = {
    {"kserve/huggingfaceserver", "flyball model-server"},
    {"vllm/vllm-openai", "flyball model-server"},
    {"vllm/vllm-openai-cpu", "flyball model-server"},
};

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

const char *image_command(const char *image, char *const *map)
{
    struct str repo = repository(image);

    for (; map && *map; map++) {
        const char *eq = strchr(*map, '=');
        struct str key = eq ? (struct str){*map, (size_t)(eq - *map)} : STR_NONE;

        if (eq && (str_eq(key, repo) || str_is(key, image)))
            return eq + 1;
    }
    for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
        if (str_is(repo, builtin[i].repository))
            return builtin[i].command;
    return NULL;
}

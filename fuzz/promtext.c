/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "codec/promtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool look(void *arg, const struct promtext_sample *s)
{
    size_t *bytes = arg;

    *bytes += s->line_key.n + s->name.n; /* reads what it is given */
    for (size_t i = 0; i < s->n_labels; i++)
        *bytes += s->labels[i].name.n + s->labels[i].value.n;
    if (s->n_labels > PROMTEXT_LABELS_MAX || s->name.n == 0)
        __builtin_trap();
    return true;
}

/* The first byte chooses the format. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t bytes = 0;

    if (size > 0)
        promtext_parse(str_n((const char *)data + 1, size - 1), data[0] == 'o', look, &bytes, NULL);
    return 0;
}

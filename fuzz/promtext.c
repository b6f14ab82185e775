/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>

#include "codec/promtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_labels(size_t *sum, const struct promtext_label *l, size_t n)
{
    if (n > PROMTEXT_LABELS_MAX)
        abort();
    for (size_t i = 0; i < n; i++) {
        if (l[i].name.n == 0 || !str_is_utf8(l[i].value))
            abort();
        *sum += str_hash(l[i].name);
    }
}

static bool look(void *arg, const struct promtext_sample *s)
{
    size_t *sum = arg;

    *sum += str_hash(s->line_key); /* reads what it is given */
    read_labels(sum, s->labels, s->n_labels);
    if (s->name.n == 0 || !str_is_utf8(s->name))
        abort();
    if (s->has_exemplar)
        read_labels(sum, s->exemplar.labels, s->exemplar.n_labels);
    return true;
}

static bool look_meta(void *arg, const struct promtext_meta *m)
{
    size_t *sum = arg;

    *sum += str_hash(m->name) + str_hash(m->text);
    return true;
}

/* The first byte chooses the format. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t sum = 0;

    if (size > 0)
        promtext_parse(str_n((const char *)data + 1, size - 1),
                       data[0] == 'o' ? PROMTEXT_OPENMETRICS : PROMTEXT_004, look, look_meta, &sum,
                       NULL);
    return 0;
}

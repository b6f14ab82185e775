/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "kube/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The printed form of a selector must be a selector. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct selector *s = NULL, *again = NULL;
    struct field_selector *f = NULL;
    struct buf text = BUF_INIT;

    if (selector_parse(str_n(data, size), &s, NULL) == 0) {
        selector_text(s, &text);
        if (selector_parse(buf_str(&text), &again, NULL) < 0)
            __builtin_trap();
    }
    if (field_selector_parse(kind_of(KIND_POD), str_n(data, size), &f, NULL) == 0)
        field_selector_free(f);
    selector_free(s);
    selector_free(again);
    buf_done(&text);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "kube/kpb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *o = NULL;

    if (kpb_decode(str_n(data, size), &o, NULL) < 0 && o)
        __builtin_trap();
    json_decref(o);
    return 0;
}

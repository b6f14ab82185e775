/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "codec/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *docs = NULL;
    struct err err = ERR_INIT;

    if (yaml_parse_all(str_n(data, size), &docs, &err) < 0 && docs)
        __builtin_trap();
    json_decref(docs);
    return 0;
}

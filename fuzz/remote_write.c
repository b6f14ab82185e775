/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "telemetry/remote_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* With and without the compression. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tsdb *db = tsdb_new(&(struct tsdb_options){.retention_ms = -1});
    struct remote_write_stats st;

    remote_write(db, str_n((const char *)data, size), &st, NULL);
    remote_write_message(db, str_n((const char *)data, size), &st, NULL);
    if (st.samples > size)
        __builtin_trap();
    tsdb_free(db);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>

#include "agent/config.h"
#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *env(const char *name)
{
    return name[0] == 'O' ? "a=b,c=%20" : name[0] == 'X' ? "x" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct agent_config c;
    struct buf problems = BUF_INIT;
    struct err err = ERR_INIT;
    int rc;

    log_set_level(LOG_LEVEL_ERROR);
    rc = config_read(str_n(data, size), env, &c, &problems, &err);
    if ((rc < 0) != (problems.n > 0))
        abort(); /* refused without a word, or the other way round */
    config_done(&c);
    buf_done(&problems);
    return 0;
}

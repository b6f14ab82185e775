/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/metric_name.h"

#include <string.h>

#include "base/mem.h"
#include "triggers/trigger_int.h"

static void normalise(struct buf *b, const char *text)
{
    for (; *text; text++)
        buf_add_char(b, strchr("/.:%()", *text) ? '-' : *text);
}

/* Without the room that a buffer takes for what may still come. */
static char *keep(struct buf *b)
{
    char *text = str_dup(buf_str(b));

    buf_done(b);
    return text;
}

char *trigger_metric_name_of(const char *type, int index, const json_t *meta, struct str ns,
                             const char *remote)
{
    const struct trigger_type *t = trigger_type_named(type);
    struct buf name = BUF_INIT, out = BUF_INIT;

    if (!t || !t->is_external)
        return NULL;
    buf_printf(&out, "s%d-", index);
    if (remote) {
        buf_add_cstr(&out, remote);
        return keep(&out);
    }
    if (t->metric_name)
        t->metric_name(&name, meta, ns);
    else
        buf_add_cstr(&name, t->name);
    normalise(&out, buf_cstr(&name));
    buf_done(&name);
    return keep(&out);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/status_writer.h"

#include <stdlib.h>

#include "base/mem.h"

struct status_call {
    struct status_writer *w; /* NULL: it has gone meanwhile */
};

static void forget(struct status_writer *w)
{
    json_decref(w->newest);
    w->newest = NULL;
    w->waits = false;
}

void status_writer_done(struct status_writer *w)
{
    if (w->call)
        w->call->w = NULL;
    w->call = NULL;
    forget(w);
}

static void on_written(void *arg, const struct object *now, const struct err *err);

static void send(struct status_writer *w, const struct object *o)
{
    w->waits = false;
    w->call = mem_zalloc(sizeof(*w->call));
    w->call->w = w;
    cluster_write_status(w->cluster, o, w->newest, w->manager, on_written, w->call);
}

static void on_written(void *arg, const struct object *now, const struct err *err)
{
    struct status_call *call = arg;
    struct status_writer *w = call->w;

    free(call);
    if (!w)
        return;
    w->call = NULL;
    if (now)
        w->rv = now->rv;
    if (err || !now) /* the next word begins from what is stored */
        forget(w);
    else if (w->waits)
        send(w, now);
}

const json_t *status_newest(struct status_writer *w, const struct object *o, const json_t *stored)
{
    if (!w->call && o->rv > w->rv) /* nobody else's word is overlooked */
        forget(w);
    return w->newest ? w->newest : json_object_get(stored, "status");
}

bool status_say(struct status_writer *w, const struct object *o, const json_t *stored,
                json_t *status)
{
    const json_t *was = status_newest(w, o, stored);

    if (was && json_equal(status, was)) {
        json_decref(status);
        return false;
    }
    json_decref(w->newest);
    w->newest = status;
    w->waits = true;
    if (!w->call)
        send(w, o);
    return true;
}

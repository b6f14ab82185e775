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
    w->answered = object_unref(w->answered);
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
    object_unref(w->answered);
    w->answered = err ? NULL : object_ref(now);
    if (now && !err && w->waits)
        send(w, now);
    else /* the next word begins from what is stored */
        forget(w);
}

/* The cluster's own object may be behind an answer; nobody else's word is overlooked. */
static const struct object *stored(struct status_writer *w, const struct object *o)
{
    if (w->answered && (w->answered->rv < o->rv || !str_eq(w->answered->uid, o->uid)))
        w->answered = object_unref(w->answered);
    return w->answered ? w->answered : o;
}

bool status_is_ours(struct status_writer *w, const struct object *o)
{
    return w->newest || stored(w, o) == w->answered;
}

json_t *status_newest(struct status_writer *w, const struct object *o)
{
    return w->newest ? json_deep_copy(w->newest) : object_status(stored(w, o));
}

static bool is_said(struct status_writer *w, const struct object *o, const json_t *status)
{
    struct buf bytes = BUF_INIT;
    bool is_same;

    if (w->newest)
        return json_equal(status, w->newest);
    json_write(&bytes, status);
    is_same = object_has_status(stored(w, o), buf_str(&bytes), status);
    buf_done(&bytes);
    return is_same;
}

bool status_say(struct status_writer *w, const struct object *o, json_t *status)
{
    if (is_said(w, o, status)) {
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

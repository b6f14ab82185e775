/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/status_writer.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct status_call {
    struct status_writer *w; /* NULL: it has gone meanwhile */
};

static void forget(struct status_writer *w)
{
    free(w->newest);
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

static void send(struct status_writer *w, const struct object *o, const json_t *status)
{
    w->waits = false;
    w->call = mem_zalloc(sizeof(*w->call));
    w->call->w = w;
    cluster_write_status(w->cluster, o, status, w->manager, on_written, w->call);
}

static void send_newest(struct status_writer *w, const struct object *o)
{
    json_t *status = json_reread(str_of(w->newest));

    send(w, o, status);
    json_decref(status);
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
        send_newest(w, now);
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
    return w->newest ? json_reread(str_of(w->newest)) : object_status(stored(w, o));
}

bool status_say(struct status_writer *w, const struct object *o, json_t *status)
{
    struct buf text = BUF_INIT;
    bool is_said;

    json_write(&text, status);
    is_said = w->newest ? strcmp(w->newest, buf_cstr(&text)) == 0
                        : object_has_status(stored(w, o), buf_str(&text), status);
    if (!is_said) {
        free(w->newest);
        w->newest = str_dup(buf_str(&text));
        w->waits = true;
        if (!w->call)
            send(w, o, status);
    }
    buf_done(&text);
    json_decref(status);
    return !is_said;
}

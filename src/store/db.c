/* SPDX-License-Identifier: Apache-2.0
 *
 * The database thread. One table:
 *
 *   objects(kind TEXT, ns TEXT, name TEXT, rv INTEGER, json BLOB)   key (kind, ns, name)
 *   meta(key TEXT, value)                                            'rv': newest revision
 *
 * WAL with synchronous=FULL: a commit is on the disk when it returns. PRAGMA user_version is the
 * schema's version; a newer one is refused. The directory is locked for life by flock on `lock`,
 * whose text names the holder. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/store_int.h"

#define SCHEMA_VERSION 1

struct db {
    struct store *s;
    sqlite3 *sql;
    sqlite3_stmt *put, *del, *set_rv;
    int lock_fd;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake, idle;
    struct change *work; /* under mutex */
    bool is_stopping, is_busy;
    bool is_closed;      /* of the loop's thread */
    struct change *done; /* handed back to the loop */
    struct err done_err;
};

static int sql_error(struct db *d, struct err *err, const char *what)
{
    int code = sqlite3_errcode(d->sql);
    const char *hint = code == SQLITE_FULL       ? " (the disk is full: free some room)"
                       : code == SQLITE_READONLY ? " (the file system is read-only)"
                       : code == SQLITE_IOERR    ? " (the disk reports an error)"
                                                 : "";

    return err_set(err, ERR_IO, "%s: %s%s", what, sqlite3_errmsg(d->sql), hint);
}

static int lock_dir(struct db *d, const char *dir, struct err *err)
{
    AUTO_FREE char *path = mem_printf("%s/lock", dir);
    char holder[32] = "";

    d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock_fd < 0)
        return err_set(err, ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = pread(d->lock_fd, holder, sizeof(holder) - 1, 0);

        holder[n > 0 ? n : 0] = '\0';
        return err_set(err, ERR_EXISTS,
                       "the data directory '%s' is in use by process %s; end that flyball first "
                       "('flyball down') or "
                       "choose another with --data-dir",
                       dir, *holder ? holder : "?");
    }
    if (ftruncate(d->lock_fd, 0) < 0 || dprintf(d->lock_fd, "%d", (int)getpid()) < 0)
        return err_set(err, ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    return 0;
}

static int exec(struct db *d, const char *sql, struct err *err)
{
    return sqlite3_exec(d->sql, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
                                                                    : sql_error(d, err, "database");
}

static int user_version(struct db *d)
{
    sqlite3_stmt *st;
    int v = -1;

    if (sqlite3_prepare_v2(d->sql, "PRAGMA user_version", -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        v = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return v;
}

static int set_up(struct db *d, const char *path, struct err *err)
{
    char version[64];
    int v;

    if (sqlite3_open(path, &d->sql) != SQLITE_OK)
        return sql_error(d, err, path);
    sqlite3_busy_timeout(d->sql, 5000);
    v = user_version(d);
    if (v > SCHEMA_VERSION)
        return err_set(err, ERR_UNSUPPORTED,
                       "'%s' was written by a newer flyball (schema %d, this one knows %d): use "
                       "that version, or "
                       "another --data-dir",
                       path, v, SCHEMA_VERSION);
    if (v < 0)
        return sql_error(d, err, path);
    snprintf(version, sizeof(version), "PRAGMA user_version=%d", SCHEMA_VERSION);
    if (exec(d,
             "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=1000;"
             "PRAGMA cache_size=-512;", /* kB: all is read once, at start */
             err) < 0 ||
        exec(d,
             "CREATE TABLE IF NOT EXISTS objects(kind TEXT NOT NULL, ns TEXT NOT NULL, name TEXT "
             "NOT NULL,"
             " rv INTEGER NOT NULL, json BLOB NOT NULL, PRIMARY KEY(kind, ns, name)) WITHOUT ROWID;"
             "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;",
             err) < 0 ||
        exec(d, version, err) < 0)
        return ERR_IO;
    if (sqlite3_prepare_v2(d->sql, "INSERT OR REPLACE INTO objects VALUES(?,?,?,?,?)", -1, &d->put,
                           NULL) ||
        sqlite3_prepare_v2(d->sql, "DELETE FROM objects WHERE kind=? AND ns=? AND name=?", -1,
                           &d->del, NULL) ||
        sqlite3_prepare_v2(d->sql, "INSERT OR REPLACE INTO meta VALUES('rv',?)", -1, &d->set_rv,
                           NULL))
        return sql_error(d, err, "database");
    return 0;
}

static void bind_key(sqlite3_stmt *st, const struct change *c, char res[128])
{
    sqlite3_bind_text(st, 1, kind_resource(c->kind, res), -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(st, 2, c->entry->ns, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 3, c->entry->name, -1, SQLITE_STATIC);
}

static int write_one(struct db *d, const struct change *c)
{
    sqlite3_stmt *st = c->now ? d->put : d->del;
    char res[128];
    int r;

    bind_key(st, c, res);
    if (c->now) {
        sqlite3_bind_int64(st, 4, (sqlite3_int64)c->rv);
        sqlite3_bind_blob(st, 5, c->now->json.p, (int)c->now->json.n, SQLITE_STATIC);
    }
    r = sqlite3_step(st);
    sqlite3_reset(st);
    return r == SQLITE_DONE ? 0 : -1;
}

/* One transaction for everything that queued up meanwhile. */
static int write_list(struct db *d, const struct change *list, struct err *err)
{
    uint64_t rv = 0;
    int r = exec(d, "BEGIN IMMEDIATE", err);

    if (r < 0)
        return r;
    for (const struct change *c = list; c && r == 0; c = c->next) {
        r = write_one(d, c);
        rv = c->rv;
    }
    if (r == 0) {
        sqlite3_bind_int64(d->set_rv, 1, (sqlite3_int64)rv);
        r = sqlite3_step(d->set_rv) == SQLITE_DONE ? 0 : -1;
        sqlite3_reset(d->set_rv);
    }
    if (r == 0 && sqlite3_exec(d->sql, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    r = sql_error(d, err, "database");
    sqlite3_exec(d->sql, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

static void hand_back(void *arg)
{
    struct db *d = arg;
    struct change *list;
    struct err err;

    if (d->is_closed)
        return;
    pthread_mutex_lock(&d->mutex);
    list = d->done;
    err = d->done_err;
    d->done = NULL;
    pthread_mutex_unlock(&d->mutex);
    if (list)
        store_committed(d->s, list, err.code ? &err : NULL);
}

static void *writer(void *arg)
{
    struct db *d = arg;

    pthread_mutex_lock(&d->mutex);
    for (;;) {
        struct change *list = d->work;
        struct err err = ERR_INIT;

        if (!list && d->is_stopping)
            break;
        if (!list) {
            pthread_cond_wait(&d->wake, &d->mutex);
            continue;
        }
        d->work = NULL;
        d->is_busy = true;
        pthread_mutex_unlock(&d->mutex);
        write_list(d, list, &err);
        pthread_mutex_lock(&d->mutex);
        d->is_busy = false;
        d->done = list;
        d->done_err = err;
        pthread_cond_broadcast(&d->idle);
        loop_post_threadsafe(d->s->o.loop, hand_back, d);
    }
    pthread_mutex_unlock(&d->mutex);
    return NULL;
}

int db_open(struct store *s, struct db **ret, struct err *err)
{
    struct db *d = mem_zalloc(sizeof(*d));
    AUTO_FREE char *path = mem_printf("%s/flyball.db", s->o.dir);
    int r;

    d->s = s;
    *ret = d;
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->wake, NULL);
    pthread_cond_init(&d->idle, NULL);
    d->is_stopping = true; /* until the thread runs */
    r = lock_dir(d, s->o.dir, err);
    if (r == 0)
        r = set_up(d, path, err);
    if (r < 0)
        return r;
    d->is_stopping = false;
    if (pthread_create(&d->thread, NULL, writer, d) != 0) {
        d->is_stopping = true;
        return err_set(err, ERR_INTERNAL, "cannot start the database thread");
    }
    return 0;
}

static const struct kind *kind_by_resource(const char *res)
{
    char text[128];

    for (int i = 0; i < KIND_COUNT; i++)
        if (strcmp(kind_resource(kind_of((enum kind_id)i), text), res) == 0)
            return kind_of((enum kind_id)i);
    return NULL;
}

int db_load(struct db *d, struct store *s, struct err *err)
{
    sqlite3_stmt *st;
    int r, n = 0;

    if (sqlite3_prepare_v2(d->sql, "SELECT value FROM meta WHERE key='rv'", -1, &st, NULL))
        return sql_error(d, err, "database");
    if (sqlite3_step(st) == SQLITE_ROW)
        s->committed_rv = (uint64_t)sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    if (sqlite3_prepare_v2(d->sql, "SELECT kind, ns, name, json FROM objects", -1, &st, NULL))
        return sql_error(d, err, "database");
    while ((r = sqlite3_step(st)) == SQLITE_ROW) {
        const struct kind *k = kind_by_resource((const char *)sqlite3_column_text(st, 0));
        struct object *o;
        struct entry *e;

        if (!k || object_from_json(
                      k, str_n(sqlite3_column_blob(st, 3), (size_t)sqlite3_column_bytes(st, 3)), &o,
                      err) < 0) {
            log_warn("store",
                     "an object of kind '%s' is not known here and stays untouched on disk",
                     (const char *)sqlite3_column_text(st, 0));
            continue;
        }
        e = index_find(s, k->id, o->ns, o->name, true);
        e->committed = o;
        e->accepted = object_ref(o);
        n++;
    }
    sqlite3_finalize(st);
    if (r != SQLITE_DONE)
        return sql_error(d, err, "database");
    log_debug("store", "%d objects, revision %llu", n, (unsigned long long)s->committed_rv);
    return 0;
}

void db_commit(struct db *d, struct change *list)
{
    pthread_mutex_lock(&d->mutex);
    d->work = list;
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->mutex);
}

void db_drain(struct db *d)
{
    for (;;) {
        pthread_mutex_lock(&d->mutex);
        while (d->work || d->is_busy)
            pthread_cond_wait(&d->idle, &d->mutex);
        pthread_mutex_unlock(&d->mutex);
        hand_back(d);
        if (!d->s->first)
            return;
        d->s->flying = d->s->first;
        db_commit(d, d->s->first);
        d->s->first = d->s->last = NULL;
    }
}

void db_close(struct db *d)
{
    bool runs = !d->is_stopping;

    if (runs) {
        db_drain(d);
        pthread_mutex_lock(&d->mutex);
        d->is_stopping = true;
        pthread_cond_signal(&d->wake);
        pthread_mutex_unlock(&d->mutex);
        pthread_join(d->thread, NULL);
    }
    sqlite3_finalize(d->put);
    sqlite3_finalize(d->del);
    sqlite3_finalize(d->set_rv);
    sqlite3_close(d->sql);
    if (d->lock_fd > 0)
        close(d->lock_fd);
    pthread_mutex_destroy(&d->mutex);
    pthread_cond_destroy(&d->wake);
    pthread_cond_destroy(&d->idle);
    d->is_closed = true;
    /* behind the hand_back() that the writer may have posted last */
    loop_post_threadsafe(d->s->o.loop, free, d);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/fetch.h"

#include <stdlib.h>

#include "base/mem.h"
#include "cmd/rundir.h"
#include "net/http_client.h"

struct fetching {
    struct loop *loop;
    int *status;
    struct buf *body;
    struct err err;
};

static void on_all(void *arg, const struct http_response *r, struct str body, const struct err *err)
{
    struct fetching *f = arg;

    if (err)
        f->err = *err;
    else
        *f->status = r->status;
    buf_add_str(f->body, body);
    loop_stop(f->loop);
}

int fetch(const char *server, const char *data_dir, const char *path, int *ret_status,
          struct buf *body, struct err *err)
{
    const char *env = getenv("FLYBALL_URL");
    struct fetching f = {.status = ret_status, .body = body};
    struct http_client *client;
    struct run_info info;
    char *url;

    if (server || (env && *env && !data_dir)) {
        url = mem_printf("%s%s", server ? server : env, path);
    } else {
        AUTO_FREE char *dir = rundir_path(data_dir);

        if (rundir_read(dir, &info, err) < 0)
            return err->code;
        url = mem_printf("http://%s%s", info.web, path);
    }
    f.loop = loop_new();
    client = http_client_new(f.loop);
    http_client_send(client, &(struct http_call_options){.url = url,
                                                         .timeout_ms = 30000,
                                                         .max_body = (size_t)256 << 20,
                                                         .arg = &f,
                                                         .on_all = on_all});
    loop_run(f.loop);
    http_client_free(client);
    loop_free(f.loop);
    free(url);
    return f.err.code ? err_set(err, f.err.code, "%s", f.err.msg) : 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * The metrics half of flyball alone, for measuring beside other stores: scrapes a list of URLs
 * through the real rounds into the real tsdb and answers PromQL on the real web port.
 *
 *   store_server --targets-file FILE --listen 127.0.0.1:PORT --interval SECONDS
 *
 * FILE has one http://IP:PORT/PATH a line. Each becomes a Pod object, its own workload, in an
 * object store in memory; no process is started. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apiserver/apiserver.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store.h"
#include "telemetry/web.h"

struct bench {
    struct loop *loop;
    struct store *store;
    size_t pending;
};

static void on_created(void *arg, const struct store_result *r)
{
    struct bench *b = arg;

    if (r->err_code < 0) {
        fprintf(stderr, "store_server: %.*s\n", STR_ARG(r->message));
        exit(1);
    }
    b->pending--;
}

static void on_written(void *arg, const struct object *now, const struct err *err)
{
    (void)arg;
    (void)now;
    if (err)
        fprintf(stderr, "store_server: %s\n", err->msg);
}

static void add_target(struct bench *b, size_t i, const char *url)
{
    char ip[64], path[300], name[40], port[8];
    unsigned number;
    AUTO_JSON json_t *pod = NULL, *status = NULL;

    if (sscanf(url, "http://%63[0-9.]:%u%299s", ip, &number, path) != 3) {
        fprintf(stderr, "store_server: '%s' is not http://IP:PORT/PATH\n", url);
        exit(1);
    }
    snprintf(name, sizeof(name), "target-%zu", i);
    snprintf(port, sizeof(port), "%u", number);
    pod =
        json_pack("{s:s,s:s,s:{s:s,s:s,s:{s:s,s:s,s:s}},s:{s:s,s:[{s:s,s:s}]}}", "apiVersion", "v1",
                  "kind", "Pod", "metadata", "name", name, "namespace", "default", "annotations",
                  "prometheus.io/scrape", "true", "prometheus.io/port", port, "prometheus.io/path",
                  path, "spec", "nodeName", "bench", "containers", "name", "c", "image", "bench");
    b->pending++;
    store_submit(
        b->store,
        &(struct store_request){
            .verb = CLUSTER_CREATE, .kind = kind_of(KIND_POD), .ns = STR("default"), .tree = pod},
        on_created, b);
    status = json_pack("{s:{s:s,s:s},s:{s:s,s:s}}", "metadata", "name", name, "namespace",
                       "default", "status", "phase", "Running", "podIP", ip);
    cluster_write(store_cluster(b->store),
                  &(struct cluster_write){.verb = CLUSTER_UPDATE,
                                          .kind = KIND_POD,
                                          .ns = STR("default"),
                                          .name = str_of(name),
                                          .subresource = "status",
                                          .tree = status,
                                          .manager = "bench"},
                  on_written, NULL);
}

static void add_targets(struct bench *b, const char *path)
{
    FILE *f = fopen(path, "re");
    char line[600];
    size_t n = 0;

    if (!f) {
        perror(path);
        exit(1);
    }
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "%599s", line) == 1)
            add_target(b, n++, line);
    fclose(f);
}

static void on_signal(void *arg, int signum)
{
    (void)signum;
    loop_stop(arg);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"targets-file", required_argument, NULL, 't'},
                                          {"listen", required_argument, NULL, 'l'},
                                          {"interval", required_argument, NULL, 'i'},
                                          {0}};
    const char *targets = NULL, *listen = "127.0.0.1:0";
    struct rounds_options ro = {.interval_ms = 5000};
    struct web_options wo = {0};
    struct err err = ERR_INIT;
    struct bench b = {0};
    struct web *web;
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
        switch (c) {
        case 't':
            targets = optarg;
            break;
        case 'l':
            listen = optarg;
            break;
        case 'i':
            ro.interval_ms = (int64_t)(strtod(optarg, NULL) * 1000);
            break;
        default:
            return 2;
        }
    b.loop = loop_new();
    if (!targets || store_open(&(struct store_options){.loop = b.loop}, &b.store, &err) < 0) {
        fprintf(stderr, "store_server: %s\n", targets ? err.msg : "--targets-file is missing");
        return 1;
    }
    apiserver_bootstrap(b.store);
    ro.cluster = store_cluster(b.store);
    ro.http = http_client_new(b.loop);
    ro.db = wo.db = tsdb_new(&(struct tsdb_options){0});
    wo.rounds = rounds_new(&ro);
    if (net_addr_parse(str_of(listen), &wo.listen, &err) < 0 ||
        web_new(b.loop, &wo, &web, &err) < 0) {
        fprintf(stderr, "store_server: %s\n", err.msg);
        return 1;
    }
    add_targets(&b, targets);
    loop_on_signal(b.loop, SIGTERM, on_signal, b.loop);
    loop_on_signal(b.loop, SIGINT, on_signal, b.loop);
    loop_run(b.loop);
    web_free(web);
    rounds_free(wo.rounds);
    http_client_free(ro.http);
    tsdb_free(wo.db);
    store_close(b.store);
    loop_free(b.loop);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/instance.h"
#include "cmd/rundir.h"
#include "promql/promql.h"

struct up {
    struct instance_options o;
    struct loop *loop;
    struct instance *instance;
    char *dir;
    bool is_detached, is_stopping;
    int ready_fd; /* detached: the parent waits here */
};

static void usage(FILE *f)
{
    fputs(
        "Usage: flyball up [-d] [OPTION]...\n\n"
        "Runs the control plane on this machine. In the foreground Ctrl-C ends it and all pods; "
        "with -d it\n"
        "goes into the background when it is ready.\n\n"
        "  -d, --detach            in the background; end it with: flyball down\n"
        "      --data-dir DIR      state (default $FLYBALL_DATA_DIR, $XDG_DATA_HOME/flyball)\n"
        "      --api-listen A      API server, IP:PORT (default 127.0.0.1:6443, or the next free "
        "port)\n"
        "      --gateway-listen A  ingress gateway (default 127.0.0.1:8080, or the next free "
        "port)\n"
        "      --web-listen A      Prometheus API and /metrics (default 127.0.0.1:9090, or the "
        "next free port)\n"
        "      --otlp-listen A     OTLP metrics, gRPC and HTTP (default 127.0.0.1:4317, or the "
        "next "
        "free port)\n"
        "      --scaler-listen A   KEDA external scaler, and OTLP too (default 127.0.0.1:4318, or "
        "the next\n"
        "                          free port)\n"
        "      --otlp-tls-cert F   PEM file: the OTLP port speaks TLS with this certificate\n"
        "      --otlp-tls-key F    PEM file: its key\n"
        "      --otlp-client-ca F  PEM file: only clients with a certificate of this CA may push "
        "there\n"
        "      --otlp-max-message N  MiB that one OTLP request may have (default 64, at least 4)\n"
        "      --scrape-interval D milliseconds between scrapes of a pod (default 250)\n"
        "      --retention D       how long samples are kept, like 15m or 6h (default 15m); 0: for "
        "ever\n"
        "      --sync-period D     decide like the originals: the HPA each D (15s), KEDA each "
        "pollingInterval\n"
        "                          (default: after every round of scrapes)\n"
        "      --scaledobject-columns tutorial|new  what kubectl get scaledobject prints: as KEDA "
        "up to "
        "2.15, or\n"
        "                          from 2.16 on (default tutorial)\n"
        "      --max-samples N     MiB of memory for samples (default 512)\n"
        "      --max-series N      how many series pushes may make (default 1000000)\n"
        "      --enable-remote-write  take samples at /api/v1/write of the metrics port (whoever "
        "reaches it\n"
        "                          may then influence scaling)\n"
        "      --filepath-auth-root-path DIR  where filePath of ClusterTriggerAuthentications may "
        "read\n"
        "                          (default: nowhere)\n"
        "      --pod-user USER     who runs the pods when flyball is root (default nobody)\n"
        "      --image-map I=CMD   run containers of image I with the command CMD (may be "
        "repeated)\n",
        f);
}

static int parse(int argc, char **argv, struct up *u, const char **dir)
{
    static const struct option longs[] = {{"detach", no_argument, NULL, 'd'},
                                          {"data-dir", required_argument, NULL, 'D'},
                                          {"api-listen", required_argument, NULL, 'a'},
                                          {"gateway-listen", required_argument, NULL, 'g'},
                                          {"web-listen", required_argument, NULL, 'w'},
                                          {"otlp-listen", required_argument, NULL, 'o'},
                                          {"scaler-listen", required_argument, NULL, 'S'},
                                          {"otlp-tls-cert", required_argument, NULL, 'c'},
                                          {"otlp-tls-key", required_argument, NULL, 'k'},
                                          {"otlp-client-ca", required_argument, NULL, 'C'},
                                          {"max-samples", required_argument, NULL, 'M'},
                                          {"max-series", required_argument, NULL, 'n'},
                                          {"otlp-max-message", required_argument, NULL, 'm'},
                                          {"scrape-interval", required_argument, NULL, 's'},
                                          {"retention", required_argument, NULL, 'r'},
                                          {"sync-period", required_argument, NULL, 'y'},
                                          {"scaledobject-columns", required_argument, NULL, 'O'},
                                          {"enable-remote-write", no_argument, NULL, 'W'},
                                          {"filepath-auth-root-path", required_argument, NULL, 'F'},
                                          {"pod-user", required_argument, NULL, 'u'},
                                          {"image-map", required_argument, NULL, 'i'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    size_t maps = 0;
    uint64_t mib, number;
    int c;

    u->o.scrape_interval_ms = 250;
    u->o.image_maps = mem_array((size_t)argc + 1, sizeof(char *));
    while ((c = getopt_long(argc, argv, "dh", longs, NULL)) != -1) {
        switch (c) {
        case 'd':
            u->is_detached = true;
            break;
        case 'D':
            *dir = optarg;
            break;
        case 'a':
            u->o.api_listen = optarg;
            break;
        case 'g':
            u->o.gateway_listen = optarg;
            break;
        case 'w':
            u->o.web_listen = optarg;
            break;
        case 'o':
            u->o.otlp_listen = optarg;
            break;
        case 'S':
            u->o.scaler_listen = optarg;
            break;
        case 'c':
            u->o.otlp_tls_cert = optarg;
            break;
        case 'k':
            u->o.otlp_tls_key = optarg;
            break;
        case 'C':
            u->o.otlp_client_ca = optarg;
            break;
        case 'M':
            if (!str_to_u64(str_of(optarg), &mib) || mib < 1 || mib > 1048576) {
                fprintf(stderr, "flyball up: --max-samples '%s' is not a number of MiB from 1 on\n",
                        optarg);
                return 2;
            }
            u->o.max_samples_bytes = (size_t)mib << 20;
            break;
        case 'n':
            if (!str_to_u64(str_of(optarg), &number) || number < 1 || number > 100000000) {
                fprintf(stderr,
                        "flyball up: --max-series '%s' is not a number from 1 to 100000000\n",
                        optarg);
                return 2;
            }
            u->o.max_series = (size_t)number;
            break;
        case 'm':
            if (!str_to_u64(str_of(optarg), &mib) || mib < 4 || mib > 1024) {
                fprintf(stderr,
                        "flyball up: --otlp-max-message '%s' is not a number of MiB from 4 to "
                        "1024\n",
                        optarg);
                return 2;
            }
            u->o.otlp_max_message = (size_t)mib << 20;
            break;
        case 's':
            if (!str_to_i64(str_of(optarg), &u->o.scrape_interval_ms) ||
                u->o.scrape_interval_ms < 20 || u->o.scrape_interval_ms > 3600000) {
                fprintf(stderr,
                        "flyball up: --scrape-interval '%s' is not a number of milliseconds from "
                        "20 on\n",
                        optarg);
                return 2;
            }
            break;
        case 'r':
            if (!promql_parse_duration(str_of(optarg), &u->o.retention_ms) ||
                u->o.retention_ms < 0) {
                fprintf(stderr, "flyball up: --retention '%s' is not a duration like 15m or 6h\n",
                        optarg);
                return 2;
            }
            if (u->o.retention_ms == 0)
                u->o.retention_ms = -1;
            break;
        case 'y':
            if (!promql_parse_duration(str_of(optarg), &u->o.sync_period_ms) ||
                u->o.sync_period_ms < 1000 || u->o.sync_period_ms > 3600000) {
                fprintf(
                    stderr,
                    "flyball up: --sync-period '%s' is not a duration from 1s to 1h, like 15s\n",
                    optarg);
                return 2;
            }
            break;
        case 'O':
            u->o.has_new_columns = strcmp(optarg, "new") == 0;
            if (!u->o.has_new_columns && strcmp(optarg, "tutorial") != 0) {
                fprintf(stderr,
                        "flyball up: --scaledobject-columns '%s' is neither tutorial nor new\n",
                        optarg);
                return 2;
            }
            break;
        case 'W':
            u->o.takes_remote_write = true;
            break;
        case 'F':
            u->o.auth_file_root = optarg;
            break;
        case 'u':
            u->o.pod_user = optarg;
            break;
        case 'i':
            u->o.image_maps[maps++] = optarg;
            break;
        default:
            usage(c == 'h' ? stdout : stderr);
            return c == 'h' ? 1 : 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "flyball up: unexpected '%s'; see flyball help up\n", argv[optind]);
        return 2;
    }
    return 0;
}

static void stopped(void *arg)
{
    struct up *u = arg;

    loop_stop(u->loop);
}

static void on_signal(void *arg, int signum)
{
    struct up *u = arg;

    if (u->is_stopping) {
        log_warn("up", "second signal: leaving at once; pods that still run end by themselves");
        loop_stop(u->loop);
        return;
    }
    u->is_stopping = true;
    log_info("up", "signal %d: stopping all pods (objects stay)", signum);
    instance_stop(u->instance, stopped, u);
}

static void announce(struct up *u, FILE *f)
{
    struct run_info info = {.pid = getpid()};
    struct net_addr api = instance_api_addr(u->instance), gw = instance_gateway_addr(u->instance),
                    web = instance_web_addr(u->instance), otlp = instance_otlp_addr(u->instance),
                    scaler = instance_scaler_addr(u->instance);
    struct err err = ERR_INIT;

    net_addr_text(&api, info.api);
    net_addr_text(&gw, info.gateway);
    net_addr_text(&web, info.web);
    net_addr_text(&otlp, info.otlp);
    net_addr_text(&scaler, info.scaler);
    if (rundir_write(u->dir, &info, &err) < 0)
        log_error("up", "%s", err.msg);
    fprintf(f,
            "api server  https://%s\ngateway     http://%s\nmetrics     http://%s\notlp        "
            "%s\nscaler      %s\nkubeconfig  %s/kubeconfig\nready\n",
            info.api, info.gateway, info.web, info.otlp, info.scaler, u->dir);
    fflush(f);
}

static int run(struct up *u)
{
    struct err err = ERR_INIT;

    u->loop = loop_new();
    u->o.data_dir = u->dir;
    if (instance_new(u->loop, &u->o, &u->instance, &err) < 0) {
        fprintf(stderr, "flyball up: %s\n", err.msg);
        loop_free(u->loop);
        return 1;
    }
    loop_on_signal(u->loop, SIGINT, on_signal, u);
    loop_on_signal(u->loop, SIGTERM, on_signal, u);
    if (u->is_detached) {
        FILE *f = fdopen(u->ready_fd, "w");

        announce(u, f);
        fclose(f);
    } else {
        announce(u, stdout);
    }
    loop_run(u->loop);
    rundir_remove(u->dir);
    instance_free(u->instance);
    loop_free(u->loop);
    return 0;
}

/* The child's own stderr is the log file; what it says before it is ready is shown here too. */
static int wait_ready(struct up *u, int fd, pid_t child, const char *log_path)
{
    char line[512];
    FILE *f = fdopen(fd, "r");
    bool ready = false;
    int status;

    (void)u;
    while (fgets(line, sizeof(line), f)) {
        ready |= strcmp(line, "ready\n") == 0;
        fputs(line, stdout);
    }
    fclose(f);
    if (ready)
        return 0;
    waitpid(child, &status, 0);
    f = fopen(log_path, "re");
    if (f) {
        char last[512] = "";

        while (fgets(line, sizeof(line), f))
            if (strncmp(line, "flyball", 7) == 0)
                memcpy(last, line, sizeof(last));
        fputs(last, stderr);
        fclose(f);
    }
    fprintf(stderr, "flyball up: it did not become ready; its log is %s\n", log_path);
    return 1;
}

static int detach(struct up *u)
{
    AUTO_FREE char *log_path = mem_printf("%s/flyball.log", u->dir);
    int fds[2], log_fd, null_fd;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0) {
        fprintf(stderr, "flyball up: %s\n", strerror(errno));
        return 1;
    }
    log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (log_fd < 0 || null_fd < 0) {
        fprintf(stderr, "flyball up: cannot write '%s': %s\n", log_path, strerror(errno));
        return 1;
    }
    pid = fork();
    if (pid < 0) {
        fprintf(stderr, "flyball up: %s\n", strerror(errno));
        return 1;
    }
    if (pid > 0) {
        close(fds[1]);
        return wait_ready(u, fds[0], pid, log_path);
    }
    setsid();
    close(fds[0]);
    dup2(null_fd, 0);
    dup2(null_fd, 1);
    dup2(log_fd, 2);
    u->ready_fd = fds[1];
    return run(u);
}

int cmd_up(int argc, char **argv)
{
    struct up u = {0};
    const char *dir = NULL;
    struct err err = ERR_INIT;
    int r = parse(argc, argv, &u, &dir);

    if (r == 0) {
        u.dir = rundir_path(dir);
        signal(SIGPIPE, SIG_IGN);
        if (rundir_make(u.dir, &err) < 0) {
            fprintf(stderr, "flyball up: %s\n", err.msg);
            r = 1;
        } else {
            r = u.is_detached ? detach(&u) : run(&u);
        }
        free(u.dir);
    } else if (r == 1) {
        r = 0;
    }
    free(u.o.image_maps);
    return r;
}

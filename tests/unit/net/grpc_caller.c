/* SPDX-License-Identifier: Apache-2.0
 *
 * Our gRPC client as a program for tests with foreign servers: calls METHOD at TARGET with each
 * line of standard input as a message, one after the other over one channel, and prints what comes:
 * "message N BYTES" lines, then "status CODE TEXT". */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/grpc_client.h"

static struct loop *loop;

static void on_message(void *arg, struct str message)
{
    (void)arg;
    printf("message %zu %.*s\n", message.n, message.n > 80 ? 80 : (int)message.n, message.p);
}

static void on_done(void *arg, const struct grpc_status *status)
{
    (void)arg;
    printf("status %s %s\n", grpc_code_name(status->code), status->message);
    fflush(stdout);
    loop_stop(loop);
}

int main(int argc, char **argv)
{
    struct tls_client_options tls = {.insecure = false};
    struct grpc_client *client;
    struct grpc_channel *channel;
    struct err err = ERR_INIT;
    char line[4096];

    if (argc < 5) {
        fprintf(stderr,
                "usage: grpc_caller TARGET METHOD identity|gzip|zstd TIMEOUT_MS [CA_FILE]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    loop = loop_new();
    client = grpc_client_new(loop, &(struct grpc_client_options){.connect_ms = 5000});
    if (argc > 5) {
        FILE *f = fopen(argv[5], "rb");
        char *pem = mem_zalloc(65536);

        tls.ca_pem = str_n(pem, f ? fread(pem, 1, 65535, f) : 0);
        if (f)
            fclose(f);
    }
    if (grpc_channel_get(
            client,
            &(struct grpc_channel_options){.target = argv[1], .tls = argc > 5 ? &tls : NULL},
            &channel, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    while (fgets(line, sizeof(line), stdin)) {
        struct grpc_call_options o = {.method = argv[2],
                                      .timeout_ms = strtol(argv[4], NULL, 10),
                                      .on_message = on_message,
                                      .on_done = on_done,
                                      .is_stream = strstr(argv[2], "Stream") != NULL};

        line[strcspn(line, "\n")] = '\0';
        o.message = str_of(line);
        compression_named(str_of(argv[3]), &o.compression);
        grpc_call_start(channel, &o);
        loop_run(loop);
    }
    grpc_client_free(client);
    loop_free(loop);
    free((char *)(uintptr_t)tls.ca_pem.p);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "cmd/cmd.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"up", cmd_up, "run the control plane here: API server, controllers, pods, gateway, metrics"},
    {"down", cmd_down, "end a detached one, with all its pods"},
    {"env", cmd_env, "print what a shell can eval: KUBECONFIG, INGRESS_HOST, INGRESS_PORT"},
    {"explain", cmd_explain, "say why there are that many replicas"},
    {"query", cmd_query, "evaluate one PromQL expression, on a running flyball or over a file"},
    {"agent", cmd_agent, "sidecar collector: scrape the pod's metrics, push them as OTLP"},
    {"model-server", cmd_model_server, "OpenAI-compatible server with vllm:* metrics"},
};

static void usage(FILE *f)
{
    fprintf(f, "flyball " FLYBALL_VERSION
               ": autoscales LLM inference services on their own metrics\n\n"
               "Usage: flyball COMMAND [OPTION]...\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(f, "  %-13s %s\n", commands[i].name, commands[i].help);
    fprintf(f,
            "  %-13s %s\n  %-13s %s\n\nA first try: ./demo, or: flyball up -d; eval \"$(flyball "
            "env)\"\n",
            "help COMMAND", "options of a command", "version", "print the version");
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

int main(int argc, char **argv)
{
    const struct command *c;

    log_init();
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0) {
        puts("flyball " FLYBALL_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0) {
        char help[] = "--help";
        char *args[] = {argv[1], help, NULL};

        c = argc > 2 ? find(argv[2]) : NULL;
        if (c) {
            args[0] = argv[2];
            return c->run(2, args);
        }
        usage(stdout);
        return 0;
    }
    c = find(argv[1]);
    if (!c) {
        fprintf(stderr, "flyball: '%s' is not a command; see flyball help\n", argv[1]);
        return 2;
    }
    return c->run(argc - 1, argv + 1);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/rundir.h"

/* Single quotes, so that any path survives eval. */
static void export_line(const char *name, const char *value)
{
    printf("export %s='", name);
    for (const char *p = value; *p; p++) {
        if (*p == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*p);
    }
    puts("'");
}

int cmd_env(int argc, char **argv)
{
    static const struct option longs[] = {
        {"data-dir", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *dir_option = NULL;
    struct run_info info;
    struct err err = ERR_INIT;
    char *colon;
    int c;

    while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        if (c == 'd') {
            dir_option = optarg;
        } else {
            fputs("Usage: eval \"$(flyball env [--data-dir DIR])\"\n\n"
                  "Prints KUBECONFIG, INGRESS_HOST, INGRESS_PORT, FLYBALL_URL, FLYBALL_OTLP and "
                  "FLYBALL_SCALER of\n"
                  "the flyball that runs there.\n",
                  c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 2;
        }
    }
    AUTO_FREE char *dir = rundir_path(dir_option);

    if (rundir_read(dir, &info, &err) < 0) {
        fprintf(stderr, "flyball env: %s\n", err.msg);
        return 1;
    }
    AUTO_FREE char *kubeconfig = mem_printf("%s/kubeconfig", dir);
    AUTO_FREE char *url = mem_printf("http://%s", info.web);

    export_line("KUBECONFIG", kubeconfig);
    colon = strrchr(info.gateway, ':');
    if (colon) {
        *colon = '\0';
        export_line("INGRESS_HOST", info.gateway);
        export_line("INGRESS_PORT", colon + 1);
    }
    export_line("FLYBALL_URL", url);
    export_line("FLYBALL_OTLP", info.otlp);
    export_line("FLYBALL_SCALER", info.scaler);
    return 0;
}

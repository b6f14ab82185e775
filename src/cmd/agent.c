/* SPDX-License-Identifier: Apache-2.0
 *
 * The sidecar collector is a program of its own, so that a pod's second container is small: this
 * becomes flyball-agent, which lies beside flyball. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/cmd.h"

int cmd_agent(int argc, char **argv)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;
    AUTO_FREE char *path = NULL;

    (void)argc;
    self[n > 0 ? n : 0] = '\0';
    slash = strrchr(self, '/');
    path = mem_printf("%.*s/flyball-agent", slash ? (int)(slash - self) : 0, self);
    execv(path, argv);
    fprintf(stderr, "flyball agent: cannot run '%s': %m; it has to lie beside flyball\n", path);
    return 1;
}

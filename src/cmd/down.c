/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/rundir.h"
#include "node/leftovers.h"

#define WAIT_MS 60000

/* Ends the process and waits for its end, by pidfd, so that a reused pid is never hit. */
static int end_process(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int r;

    if (fd < 0)
        return errno == ESRCH ? 0 : -1;
    if (syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) < 0 && errno != ESRCH) {
        fprintf(stderr, "flyball down: process %d: %s\n", (int)pid, strerror(errno));
        close(fd);
        return -1;
    }
    r = poll(&p, 1, WAIT_MS);
    if (r == 0) {
        fprintf(stderr, "flyball down: process %d has not ended within %d s; killing it\n",
                (int)pid, WAIT_MS / 1000);
        syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
        poll(&p, 1, 5000);
    }
    close(fd);
    return 0;
}

int cmd_down(int argc, char **argv)
{
    static const struct option longs[] = {
        {"data-dir", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *dir_option = NULL;
    struct run_info info;
    struct err err = ERR_INIT;
    int c, n;

    while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        if (c == 'd') {
            dir_option = optarg;
        } else {
            fputs("Usage: flyball down [--data-dir DIR]\n\nEnds the flyball that runs there, with "
                  "all its pods. "
                  "Objects stay for the next 'flyball up'.\n",
                  c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 2;
        }
    }
    AUTO_FREE char *dir = rundir_path(dir_option);
    bool ran = rundir_read(dir, &info, &err) == 0;

    if (ran && end_process(info.pid) < 0)
        return 1;
    n = node_end_leftovers(dir); /* pods of one that was killed */
    rundir_remove(dir);
    if (ran || n > 0)
        printf("stopped%s\n", n > 0 ? ", with pods that an earlier one had left behind" : "");
    else
        printf("nothing runs on %s\n", dir);
    return 0;
}

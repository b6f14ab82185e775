/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/fetch.h"

int cmd_explain(int argc, char **argv)
{
    static const struct option longs[] = {
        {"data-dir", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *dir = NULL;
    struct buf body = BUF_INIT;
    struct err err = ERR_INIT;
    int c, status;

    while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        if (c == 'd') {
            dir = optarg;
        } else {
            fputs("Usage: flyball explain [--data-dir DIR]\n\nSays of every ScaledObject why it "
                  "has that many replicas.\n",
                  c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 2;
        }
    }
    if (fetch(NULL, dir, "/explain", &status, &body, &err) < 0) {
        fprintf(stderr, "flyball explain: %s\n", err.msg);
        return 1;
    }
    fputs(buf_cstr(&body), stdout);
    buf_done(&body);
    return status != 200;
}

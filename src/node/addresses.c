/* SPDX-License-Identifier: Apache-2.0 */
#include "node/addresses.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

#define BLOCKS 1024
#define POD_BASE 0x7f400000u     /* 127.64.0.0 */
#define SERVICE_BASE 0x7f800000u /* 127.128.0.0 */

/* Not close-on-exec: shims keep it. */
static int lock_block(int block)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "flyball-block-%d", block);

    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&a,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int saved_block(const char *path)
{
    FILE *f = fopen(path, "re");
    int block = -1;

    if (f) {
        if (fscanf(f, "%d", &block) != 1 || block < 0 || block >= BLOCKS)
            block = -1;
        fclose(f);
    }
    return block;
}

int addresses_open(const char *data_dir, bool has_live_pods, struct addresses *a, struct err *err)
{
    AUTO_FREE char *path = mem_printf("%s/block", data_dir);
    int saved = saved_block(path), block = saved;
    FILE *f;

    *a = (struct addresses){.lock_fd = -1, .next = 1};
    if (saved >= 0) {
        a->lock_fd = lock_block(saved);
        if (a->lock_fd < 0 && !has_live_pods)
            block = -1; /* somebody else's by now */
    }
    for (int i = 0; block < 0 && i < BLOCKS; i++) {
        a->lock_fd = lock_block(i);
        if (a->lock_fd >= 0)
            block = i;
    }
    if (block < 0)
        return err_set(err, ERR_LIMIT,
                       "all %d blocks of loopback addresses are taken by other instances", BLOCKS);
    a->block = block;
    a->pods = POD_BASE + (uint32_t)block * 4096;
    a->services = SERVICE_BASE + (uint32_t)block * 4096;
    if (block != saved) {
        f = fopen(path, "we");
        if (!f || fprintf(f, "%d\n", block) < 0 || fclose(f) != 0)
            return err_set(err, ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    }
    return 0;
}

void addresses_close(struct addresses *a)
{
    if (a->lock_fd >= 0)
        close(a->lock_fd);
    a->lock_fd = -1;
}

static bool offset_of(const struct addresses *a, const char *ip, uint32_t *ret)
{
    struct in_addr in;

    if (inet_pton(AF_INET, ip, &in) != 1)
        return false;
    *ret = ntohl(in.s_addr) - a->pods;
    return *ret < 4096;
}

bool addresses_take(struct addresses *a, char out[20])
{
    for (uint32_t i = 0; i < 4094; i++) {
        uint32_t off = 1 + (a->next - 1 + i) % 4094;
        struct in_addr in = {htonl(a->pods + off)};

        if (a->used[off / 8] & (1u << (off % 8)))
            continue;
        a->used[off / 8] |= (uint8_t)(1u << (off % 8));
        a->next = off % 4094 + 1;
        inet_ntop(AF_INET, &in, out, 20);
        return true;
    }
    return false;
}

void addresses_mark(struct addresses *a, const char *ip)
{
    uint32_t off;

    if (offset_of(a, ip, &off))
        a->used[off / 8] |= (uint8_t)(1u << (off % 8));
}

void addresses_release(struct addresses *a, const char *ip)
{
    uint32_t off;

    if (offset_of(a, ip, &off))
        a->used[off / 8] &= (uint8_t) ~(1u << (off % 8));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"

#define YEARS_10 3650

static char *read_file(const char *path)
{
    struct buf b = BUF_INIT_MAX(1 << 20);
    FILE *f = fopen(path, "re");
    char part[4096];
    size_t n;

    if (!f)
        return NULL;
    while ((n = fread(part, 1, sizeof(part), f)) > 0)
        buf_add(&b, part, n);
    fclose(f);
    return buf_take(&b, NULL);
}

/* Whole or not at all, for the owner's eyes only. */
static int write_file(const char *path, const char *text, struct err *err)
{
    AUTO_FREE char *tmp = mem_printf("%s.new", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t n = strlen(text);
    bool ok = fd >= 0 && write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    if (!ok || rename(tmp, path) < 0)
        return err_set(err, ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    return 0;
}

char *pki_load(const char *dir, const char *name)
{
    AUTO_FREE char *path = mem_printf("%s/pki/%s", dir, name);

    return read_file(path);
}

int pki_save(const char *dir, const char *name, const char *text, struct err *err)
{
    AUTO_FREE char *path = mem_printf("%s/pki/%s", dir, name);

    return write_file(path, text, err);
}

static int save(const char *dir, const char *name, const char *ext, const char *text,
                struct err *err)
{
    AUTO_FREE char *file = mem_printf("%s.%s", name, ext);

    return pki_save(dir, file, text, err);
}

static bool load(const char *dir, const char *name, struct tls_pair *p)
{
    AUTO_FREE char *cert = mem_printf("%s/pki/%s.crt", dir, name);
    AUTO_FREE char *key = mem_printf("%s/pki/%s.key", dir, name);

    p->cert_pem = read_file(cert);
    p->key_pem = read_file(key);
    if (p->cert_pem && p->key_pem)
        return true;
    tls_pair_done(p);
    return false;
}

static int make(const char *dir, const char *name, const struct tls_pair *ca, const char *cn,
                const char *org, const char *sans, struct tls_pair *p, struct err *err)
{
    int r =
        ca ? tls_make_leaf(ca, cn, org, sans, YEARS_10, p, err) : tls_make_ca(cn, YEARS_10, p, err);

    if (r == 0)
        r = save(dir, name, "key", p->key_pem, err);
    return r == 0 ? save(dir, name, "crt", p->cert_pem, err) : r;
}

static int open_token(const char *dir, char **ret, struct err *err)
{
    unsigned char raw[24];
    struct buf b = BUF_INIT;

    *ret = pki_load(dir, "token");
    if (*ret)
        return 0;
    rand_bytes(raw, sizeof(raw));
    for (size_t i = 0; i < sizeof(raw); i++)
        buf_printf(&b, "%02x", raw[i]);
    *ret = buf_take(&b, NULL);
    return pki_save(dir, "token", *ret, err);
}

int pki_open(const char *dir, struct pki *p, struct err *err)
{
    static const char sans[] =
        "DNS:localhost,IP:127.0.0.1,IP:::1,DNS:kubernetes,DNS:kubernetes.default,"
        "DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local";
    AUTO_FREE char *sub = mem_printf("%s/pki", dir);
    int r = 0;

    *p = (struct pki){0};
    if (mkdir(sub, 0700) < 0 && errno != EEXIST)
        return err_set(err, ERR_IO, "cannot create '%s': %s", sub, strerror(errno));
    if (!load(dir, "ca", &p->ca))
        r = make(dir, "ca", NULL, "flyball", NULL, NULL, &p->ca, err);
    if (r == 0 && !load(dir, "server", &p->server))
        r = make(dir, "server", &p->ca, "flyball-apiserver", NULL, sans, &p->server, err);
    if (r == 0 && !load(dir, "admin", &p->admin))
        r = make(dir, "admin", &p->ca, "flyball-admin", "system:masters", NULL, &p->admin, err);
    if (r == 0)
        r = open_token(dir, &p->token, err);
    if (r < 0)
        pki_done(p);
    return r;
}

void pki_done(struct pki *p)
{
    tls_pair_done(&p->ca);
    tls_pair_done(&p->server);
    tls_pair_done(&p->admin);
    free(p->token);
    *p = (struct pki){0};
}

static void add_base64(struct buf *out, const char *key, const char *text)
{
    size_t n = strlen(text);
    char *enc = mem_alloc(n * 4 / 3 + 8);

    EVP_EncodeBlock((unsigned char *)enc, (const unsigned char *)text, (int)n);
    buf_printf(out, "    %s: %s\n", key, enc);
    explicit_bzero(enc, strlen(enc));
    free(enc);
}

int pki_write_kubeconfig(const struct pki *p, const char *dir, const struct net_addr *addr,
                         struct err *err)
{
    AUTO_FREE char *path = mem_printf("%s/kubeconfig", dir);
    struct buf b = BUF_INIT;
    char text[64];
    int r;

    buf_printf(&b,
               "apiVersion: v1\nkind: Config\ncurrent-context: flyball\ncontexts:\n- name: "
               "flyball\n  context:\n"
               "    cluster: flyball\n    user: admin\n    namespace: default\nclusters:\n- name: "
               "flyball\n"
               "  cluster:\n    server: https://%s\n",
               net_addr_text(addr, text));
    add_base64(&b, "certificate-authority-data", p->ca.cert_pem);
    buf_printf(&b, "users:\n- name: admin\n  user:\n    token: %s\n", p->token);
    add_base64(&b, "client-certificate-data", p->admin.cert_pem);
    add_base64(&b, "client-key-data", p->admin.key_pem);
    r = write_file(path, buf_cstr(&b), err);
    buf_done(&b);
    return r;
}

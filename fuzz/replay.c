/* SPDX-License-Identifier: Apache-2.0
 *
 * Feeds every file of the directories named on the command line, and every prefix of the small
 * ones, to a fuzz target: the corpus is a regression test with any compiler. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(const uint8_t *data, size_t n)
{
    uint8_t *exact = malloc(n ? n : 1); /* so that the sanitizer sees one byte too far */

    if (!exact)
        abort();
    memcpy(exact, data, n);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
}

static int replay(const char *path)
{
    static uint8_t data[4u << 20];
    FILE *f = fopen(path, "rb");
    size_t n;

    if (!f)
        return 0;
    n = fread(data, 1, sizeof(data), f);
    fclose(f);
    feed(data, n);
    for (size_t i = 0; i < n && n <= 4096; i++)
        feed(data, i);
    return 1;
}

int main(int argc, char **argv)
{
    int files = 0;

    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        struct dirent *e;

        while (d && (e = readdir(d))) {
            char path[4096];

            if (e->d_name[0] == '.')
                continue;
            snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
            files += replay(path);
        }
        if (d)
            closedir(d);
    }
    printf("%d inputs replayed\n", files);
    return files > 0 ? 0 : 1;
}

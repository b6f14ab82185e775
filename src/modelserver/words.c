/* SPDX-License-Identifier: Apache-2.0 */
#include "modelserver/words.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/mem.h"

static const char *const words[] = {
    " the",    " light",   " of",     " a",     " slow",  " river", " and",     " blue",
    " wheel",  " turns",   " under",  " green", " hills", " while", " red",     " leaves",
    " fall",   " on",      " quiet",  " water", " in",    " gold",  " morning", " we",
    " count",  " every",   " colour", " that",  " moves", " from",  " white",   " to",
    " violet", " weights", " rise",   " as",    " speed", " grows", " then",    " sink",
    " again",  " with",    " silver", " steam", " until", " all",   " is",      " steady",
};

static int class_of(unsigned char c)
{
    if (isalpha(c) || c >= 0x80)
        return 1;
    if (isdigit(c))
        return 2;
    if (isspace(c))
        return 3;
    return 4;
}

static bool add_id(int32_t **ids, int *n, int *cap, int max, int32_t id)
{
    if (*n >= max)
        return false;
    if (*n == *cap) {
        *cap = *cap ? *cap * 2 : 64;
        *ids = mem_rearray(*ids, (size_t)*cap, sizeof(**ids));
    }
    (*ids)[(*n)++] = id;
    return true;
}

int words_tokenize(struct str text, int32_t **ids, int max)
{
    int n = 0, cap = 0;
    size_t at = 0;

    *ids = NULL;
    if (!add_id(ids, &n, &cap, max, WORDS_BOS))
        return -1;
    while (at < text.n) {
        size_t from = at;
        int cls;

        if (text.p[at] == ' ' && at + 1 < text.n && class_of((unsigned char)text.p[at + 1]) != 3)
            at++; /* one space belongs to the piece behind it */
        cls = class_of((unsigned char)text.p[at]);
        /* common words are one token; longer ones fall into parts of about six letters */
        while (at < text.n && class_of((unsigned char)text.p[at]) == cls && at - from < 7)
            at++;
        if (!add_id(ids, &n, &cap, max,
                    (int32_t)(4 + str_hash((struct str){text.p + from, at - from}) % 50261)))
            return -1;
    }
    return n;
}

const char *words_pick(uint64_t seed, int at, int32_t *ret_id)
{
    uint64_t h = (seed + (uint64_t)at * 0x9e3779b97f4a7c15u);
    size_t i;

    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    i = (h ^ (h >> 31)) % ARRAY_LEN(words);
    *ret_id = (int32_t)(4 + str_hash(str_of(words[i])) % 50261);
    return words[i];
}

// SPDX-License-Identifier: Apache-2.0
#include "promql/re2_shim.h"

#include <re2/re2.h>

#include <cstdio>
#include <string>

struct re2_pattern {
    RE2 re;
    explicit re2_pattern(const std::string &p) : re(p, RE2::Quiet) {}
};

struct re2_pattern *re2_compile(const char *pattern, size_t n, char *why, size_t cap)
{
    auto *re = new re2_pattern("^(?s:" + std::string(pattern, n) + ")$");
    if (re->re.ok())
        return re;
    snprintf(why, cap, "%s", re->re.error().c_str());
    delete re;
    return nullptr;
}

void re2_free(struct re2_pattern *re)
{
    delete re;
}

bool re2_matches(const struct re2_pattern *re, const char *s, size_t n)
{
    return re->re.Match(::re2::StringPiece(s, n), 0, n, RE2::ANCHOR_BOTH, nullptr, 0);
}

int re2_groups(const struct re2_pattern *re)
{
    return re->re.NumberOfCapturingGroups();
}

bool re2_captures(const struct re2_pattern *re, const char *s, size_t n, const char **begin, size_t *len, int max)
{
    ::re2::StringPiece groups[32];
    if (max > 32)
        max = 32;
    if (!re->re.Match(::re2::StringPiece(s, n), 0, n, RE2::ANCHOR_BOTH, groups, max))
        return false;
    for (int i = 0; i < max; i++) {
        begin[i] = groups[i].data();
        len[i] = groups[i].size();
    }
    return true;
}

int re2_group_number(const struct re2_pattern *re, const char *name, size_t n)
{
    auto &names = re->re.NamedCapturingGroups();
    auto it = names.find(std::string(name, n));
    return it == names.end() ? -1 : it->second;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/hosts.h"

bool host_is_ours(const struct http_request *req)
{
    struct str h = req->host;
    char ip[64];

    if (h.n == 0)
        return true;
    for (size_t i = h.n; i > 0 && h.p[i - 1] != ']'; i--)
        if (h.p[i - 1] == ':') {
            h.n = i - 1;
            break;
        }
    return str_is(h, "localhost") || str_is(h, net_addr_ip(&req->local, ip)) ||
           str_is(h, "[::1]") || str_starts(h, STR("127.")) || str_ends(h, STR(".svc")) ||
           str_ends(h, STR(".svc.cluster.local"));
}

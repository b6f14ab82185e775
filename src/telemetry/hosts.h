/* SPDX-License-Identifier: Apache-2.0
 *
 * The Host check of every plain-HTTP port: a web page that reaches us under a name of its own (DNS
 * rebinding) is refused. */
#ifndef FB_TELEMETRY_HOSTS_H
#define FB_TELEMETRY_HOSTS_H

#include "net/http_server.h"

/* Whether the request names this machine: localhost, the address it came in on, any loopback
 * address, or a Service's name; also if it names nothing. */
bool host_is_ours(const struct http_request *req);

#endif

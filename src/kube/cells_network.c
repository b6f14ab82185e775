/* SPDX-License-Identifier: Apache-2.0
 *
 * Columns of Services, their endpoints, and Ingresses. */
#include "kube/cells.h"

/* --- services --- */

CELL(service_type)
{
    buf_add_cstr(out, json_text(o, "spec.type", "ClusterIP"));
}

CELL(service_ip)
{
    cell_add_text(out, json_text(o, "spec.clusterIP", NULL));
}

CELL(service_external)
{
    if (strcmp(json_text(o, "spec.type", ""), "ExternalName") == 0)
        buf_add_cstr(out, json_text(o, "spec.externalName", "<none>"));
    else
        buf_add_cstr(out, "<none>");
}

CELL(service_ports)
{
    const json_t *p;
    size_t i;

    if (json_array_size(json_at(o, "spec.ports")) == 0)
        buf_add_cstr(out, "<none>");
    json_array_foreach (json_at(o, "spec.ports"), i, p) {
        buf_printf(out, "%s%lld", i ? "," : "", (long long)json_int(p, "port", 0));
        if (json_int(p, "nodePort", 0))
            buf_printf(out, ":%lld", (long long)json_int(p, "nodePort", 0));
        buf_printf(out, "/%s", json_text(p, "protocol", "TCP"));
    }
}

CELL(service_selector)
{
    cell_add_selector(out, json_at(o, "spec.selector"), true);
}

const struct column service_columns[] = {NAME_COLUMN,
                                         {"Type", .cell = service_type},
                                         {"Cluster-IP", .cell = service_ip},
                                         {"External-IP", .cell = service_external},
                                         {"Port(s)", .cell = service_ports},
                                         AGE_COLUMN,
                                         {"Selector", .cell = service_selector, .wide = true},
                                         {0}};

CELL(endpoints_cell)
{
    const json_t *subset, *a, *p;
    size_t i, k, m, n = 0;

    json_array_foreach (json_at(o, "subsets"), i, subset) {
        json_array_foreach (json_at(subset, "addresses"), k, a) {
            json_array_foreach (json_at(subset, "ports"), m, p) {
                if (n++ < 3)
                    buf_printf(out, "%s%s:%lld", n > 1 ? "," : "", json_text(a, "ip", ""),
                               (long long)json_int(p, "port", 0));
            }
        }
    }
    if (n == 0)
        buf_add_cstr(out, "<none>");
    else if (n > 3)
        buf_printf(out, " + %zu more...", n - 3);
}

const struct column endpoints_columns[] = {
    NAME_COLUMN, {"Endpoints", .cell = endpoints_cell}, AGE_COLUMN, {0}};

CELL(slice_ports)
{
    const json_t *p;
    size_t i;

    json_array_foreach (json_at(o, "ports"), i, p)
        buf_printf(out, "%s%lld", i ? "," : "", (long long)json_int(p, "port", 0));
    if (out->n == 0)
        buf_add_cstr(out, "<unset>");
}

CELL(slice_endpoints)
{
    const json_t *e;
    size_t i;

    json_array_foreach (json_at(o, "endpoints"), i, e)
        buf_printf(out, "%s%s", i ? "," : "",
                   json_string_value(json_array_get(json_at(e, "addresses"), 0)));
    if (out->n == 0)
        buf_add_cstr(out, "<unset>");
}

const struct column endpointslice_columns[] = {NAME_COLUMN,
                                               {"AddressType", .path = ".addressType"},
                                               {"Ports", .cell = slice_ports},
                                               {"Endpoints", .cell = slice_endpoints},
                                               AGE_COLUMN,
                                               {0}};

/* --- ingresses --- */

CELL(ingress_hosts)
{
    const json_t *r;
    size_t i, n = json_array_size(json_at(o, "spec.rules"));

    json_array_foreach (json_at(o, "spec.rules"), i, r) {
        if (i < 3)
            buf_printf(out, "%s%s", i ? "," : "", json_text(r, "host", "*"));
    }
    if (n == 0)
        buf_add_char(out, '*');
    if (n > 3)
        buf_printf(out, " + %zu more...", n - 3);
}

CELL(ingress_class)
{
    cell_add_text(out, json_text(o, "spec.ingressClassName", NULL));
}

CELL(ingress_address)
{
    const json_t *first = json_array_get(json_at(o, "status.loadBalancer.ingress"), 0);

    buf_add_cstr(out, json_text(first, "ip", json_text(first, "hostname", "")));
}

CELL(ingress_ports)
{
    buf_add_cstr(out, json_array_size(json_at(o, "spec.tls")) ? "80, 443" : "80");
}

const struct column ingress_columns[] = {NAME_COLUMN,
                                         {"Class", .cell = ingress_class},
                                         {"Hosts", .cell = ingress_hosts},
                                         {"Address", .cell = ingress_address},
                                         {"Ports", .cell = ingress_ports},
                                         AGE_COLUMN,
                                         {0}};

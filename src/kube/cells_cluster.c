/* SPDX-License-Identifier: Apache-2.0
 *
 * Columns of the other built-in kinds. */
#include "kube/cells.h"

CELL(data_count)
{
    buf_add_i64(out, (int64_t)(json_object_size(json_at(o, "data")) +
                               json_object_size(json_at(o, "binaryData"))));
}

const struct column secret_columns[] = {NAME_COLUMN,
                                        {"Type", .path = ".type"},
                                        {"Data", "integer", .cell = data_count},
                                        AGE_COLUMN,
                                        {0}};
const struct column configmap_columns[] = {
    NAME_COLUMN, {"Data", "integer", .cell = data_count}, AGE_COLUMN, {0}};
const struct column namespace_columns[] = {
    NAME_COLUMN, {"Status", .path = ".status.phase"}, AGE_COLUMN, {0}};

CELL(account_secrets)
{
    buf_add_i64(out, (int64_t)json_array_size(json_at(o, "secrets")));
}

const struct column serviceaccount_columns[] = {
    NAME_COLUMN, {"Secrets", "integer", .cell = account_secrets}, AGE_COLUMN, {0}};

static const char *event_time(const json_t *o)
{
    const char *t = json_text(o, "lastTimestamp", NULL);

    if (!t)
        t = json_text(o, "eventTime", NULL);
    return t ? t : json_text(o, "metadata.creationTimestamp", NULL);
}

static const char *event_first(const json_t *o)
{
    const char *t = json_text(o, "firstTimestamp", NULL);

    return t ? t : event_time(o);
}

CELL(event_last_seen)
{
    int64_t n = json_int(o, "count", 1);

    cell_add_age(out, event_time(o), now_ms);
    if (n > 1) {
        buf_printf(out, " (x%lld over ", (long long)n);
        cell_add_age(out, event_first(o), now_ms);
        buf_add_char(out, ')');
    }
}

CELL(event_first_seen)
{
    cell_add_age(out, event_first(o), now_ms);
}

CELL(event_object)
{
    for (const char *p = json_text(o, "involvedObject.kind", ""); *p; p++)
        buf_add_char(out, *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p);
    buf_printf(out, "/%s", json_text(o, "involvedObject.name", ""));
}

CELL(event_message)
{
    buf_add_str(out, str_trim(str_of(json_text(o, "message", ""))));
}

CELL(event_source)
{
    buf_add_cstr(out, json_text(o, "source.component", json_text(o, "reportingComponent", "")));
}

CELL(event_count)
{
    buf_add_i64(out, json_int(o, "count", 1));
}

const struct column event_columns[] = {
    {"Last Seen", .cell = event_last_seen},
    {"Type", .path = ".type"},
    {"Reason", .path = ".reason"},
    {"Object", .cell = event_object},
    {"Subobject", .path = ".involvedObject.fieldPath", .wide = true},
    {"Source", .cell = event_source, .wide = true},
    {"Message", .cell = event_message},
    {"First Seen", .cell = event_first_seen, .wide = true},
    {"Count", "integer", .cell = event_count, .wide = true},
    {"Name", .path = ".metadata.name", .wide = true},
    {0}};

const struct column lease_columns[] = {
    NAME_COLUMN, {"Holder", .path = ".spec.holderIdentity"}, AGE_COLUMN, {0}};
const struct column limitrange_columns[] = {
    NAME_COLUMN, {"Created At", .path = ".metadata.creationTimestamp"}, {0}};
const struct column crd_columns[] = {
    NAME_COLUMN, {"Created At", .path = ".metadata.creationTimestamp"}, {0}};

CELL(node_status)
{
    buf_add_cstr(out, cell_is_true(o, "Ready") ? "Ready" : "NotReady");
}

static void node_address(struct buf *out, const json_t *o, const char *type)
{
    const json_t *a;
    size_t i;

    json_array_foreach (json_at(o, "status.addresses"), i, a) {
        if (strcmp(json_text(a, "type", ""), type) == 0) {
            buf_add_cstr(out, json_text(a, "address", ""));
            return;
        }
    }
    buf_add_cstr(out, "<none>");
}

CELL(node_internal)
{
    node_address(out, o, "InternalIP");
}

CELL(node_external)
{
    node_address(out, o, "ExternalIP");
}

const struct column node_columns[] = {
    NAME_COLUMN,
    {"Status", .cell = node_status},
    {"Roles", .cell = cell_none},
    AGE_COLUMN,
    {"Version", .path = ".status.nodeInfo.kubeletVersion"},
    {"Internal-IP", .cell = node_internal, .wide = true},
    {"External-IP", .cell = node_external, .wide = true},
    {"OS-Image", .path = ".status.nodeInfo.osImage", .wide = true},
    {"Kernel-Version", .path = ".status.nodeInfo.kernelVersion", .wide = true},
    {"Container-Runtime", .path = ".status.nodeInfo.containerRuntimeVersion", .wide = true},
    {0}};

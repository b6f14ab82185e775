#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns the field tables (src/kube/kube-types.tsv, custom-types.tsv) into one C table (schema.h).

Usage: gen_schema.py OUT.c TSV...
A file whose first line ends in 'custom' has the columns
message, name, cardinality, type, rules, description; the other one is described in its own head.
"""
import sys

SCALARS = {
    "string": "STRING", "bool": "BOOL", "int32": "INT32", "int64": "INT64", "double": "DOUBLE",
    "bytes": "BYTES", "any": "ANY", "resource.Quantity": "QUANTITY",
    "intstr.IntOrString": "INT_OR_STRING", "meta.v1.Time": "TIME", "meta.v1.MicroTime": "MICRO_TIME",
    "meta.v1.FieldsV1": "RAW", "runtime.RawExtension": "RAW",
    "authentication.v1.ExtraValue": "STRINGS", "authorization.v1.ExtraValue": "STRINGS",
}


def quote(s):
    return '"%s"' % s.replace("\\", "\\\\").replace('"', '\\"') if s else "NULL"


def read(path, types):
    with open(path, encoding="utf-8") as f:
        lines = f.read().splitlines()
    custom = lines[0].endswith("custom")
    for at, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        c = line.split("\t") + [""] * 9
        field = {"where": "%s:%d" % (path, at)}
        if custom:
            message, field["name"], field["card"], field["type"], rules, field["doc"] = c[:6]
            for r in rules.split():
                key, _, value = r.partition("=")
                if key not in ("req", "enum", "min", "max", "len"):
                    sys.exit("%s: unknown rule %s" % (field["where"], r))
                field[key] = value or "1"
        else:
            message, field["number"], field["name"], field["card"], field["type"], field["presence"] = c[:6]
            field["patch"], field["key"] = c[6], c[7]
        fields = types.setdefault(message, [])
        if field["name"] and field["name"] in [f["name"] for f in fields]:
            sys.exit("%s: %s has a field %s already" % (field["where"], message, field["name"]))
        fields.append(field)


def main():
    types = {}
    for path in sys.argv[2:]:
        read(path, types)
    names = sorted(types)
    index = {n: i for i, n in enumerate(names)}
    out = ["/* Made by tools/gen_schema.py: do not edit. */", '#include "kube/schema.h"', "",
           "const struct schema_field schema_fields[] = {"]
    spans, n = [], 0
    for name in names:
        fields = sorted(types[name], key=lambda f: f["name"] == "")
        for f in fields:
            kind = SCALARS.get(f["type"], "MESSAGE")
            if kind == "MESSAGE" and f["type"] not in index:
                sys.exit("%s: no type %s" % (f["where"], f["type"]))
            p = f.get("presence", "")
            out.append("    {%s, %s, %s, %s, %s, SCHEMA_%s, SCHEMA_%s, %s, '%s', %s, %s, %s, %s, %s}," % (
                quote(f["name"]) if f["name"] else '""', quote(f.get("enum")), quote(f.get("doc")),
                quote(f.get("patch")), quote(f.get("key")), f["card"].upper(), kind,
                index.get(f["type"], 0) if kind == "MESSAGE" else 0, p or "-", f.get("number", 0),
                "true" if "req" in f else "false", f.get("min", "INT64_MIN"), f.get("max", "INT64_MAX"),
                f.get("len", 0)))
        spans.append((name, n, len(fields)))
        n += len(fields)
    out += ["};", "", "const struct schema_type schema_types[] = {"]
    out += ['    {"%s", %d, %d},' % s for s in spans]
    out += ["};", "", "const size_t schema_types_n = %d;" % len(names), ""]
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        f.write("\n".join(out))


main()

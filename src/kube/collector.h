/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenTelemetryCollector (otel.md 5): defaults, the two served versions, and what is wrong with a
 * configuration before any collector has read it. Pure. */
#ifndef FB_KUBE_COLLECTOR_H
#define FB_KUBE_COLLECTOR_H

#include "base/buf.h"
#include "codec/json.h"

#define COLLECTOR_VERSION "0.120.0" /* whose behaviour the resource and its sidecars have */
#define COLLECTOR_CONTAINER "otc-container"
#define COLLECTOR_INJECT_ANNOTATION "sidecar.opentelemetry.io/inject"
#define COLLECTOR_INJECTED_LABEL "sidecar.opentelemetry.io/injected"

void default_collector(json_t *obj);
/* v1alpha1 holds the configuration as YAML text and the autoscaler's bounds at the top. Text that
 * is no YAML stays text: validation says where it breaks. */
void collector_to_v1alpha1(json_t *obj);
void collector_from_v1alpha1(json_t *obj);

/* What no collector could start with: a pipeline that names a component nobody defines, a pipeline
 * without receivers or exporters, no pipeline at all. Appends one finding a line, each with its
 * path; true if there is any. */
bool collector_config_problems(const json_t *config, struct buf *out);
/* Paths of null sections ("processors.batch"), comma-separated; true if there is any. */
bool collector_null_sections(const json_t *config, struct buf *out);
/* "NAMESPACE.NAME", the value of the label of injected pods: at most 63 characters. Returns out. */
const char *collector_label(struct str ns, struct str name, char out[64]);

#endif

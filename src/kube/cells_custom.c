/* SPDX-License-Identifier: Apache-2.0
 *
 * Columns of custom kinds: jsonPaths, exactly the originals'. */
#include "kube/cells.h"

#define AGE_PATH                                     \
    {                                                \
        "Age", "date", ".metadata.creationTimestamp" \
    }
#define PREV ".status.components.predictor.traffic[?(@.tag=='prev')]"
#define LATEST ".status.components.predictor.traffic[?(@.latestRevision==true)]"

const struct column inferenceservice_columns[] = {
    NAME_COLUMN,
    {"URL", .path = ".status.url"},
    {"Ready", .path = ".status.conditions[?(@.type=='Ready')].status"},
    {"Prev", "integer", PREV ".percent"},
    {"Latest", "integer", LATEST ".percent"},
    {"PrevRolledoutRevision", .path = PREV ".revisionName"},
    {"LatestReadyRevision", .path = LATEST ".revisionName"},
    AGE_PATH,
    {0}};

const struct column runtime_columns[] = {
    NAME_COLUMN,
    {"Disabled", "boolean", ".spec.disabled"},
    {"ModelType", .path = ".spec.supportedModelFormats[*].name"},
    {"Containers", .path = ".spec.containers[*].name"},
    AGE_PATH,
    {0}};

/* The layout of the tutorial (KEDA 2.11 to 2.15). */
const struct column scaledobject_columns[] = {
    NAME_COLUMN,
    {"ScaleTargetKind", .path = ".status.scaleTargetKind"},
    {"ScaleTargetName", .path = ".spec.scaleTargetRef.name"},
    {"Min", "integer", ".spec.minReplicaCount"},
    {"Max", "integer", ".spec.maxReplicaCount"},
    {"Triggers", .path = ".spec.triggers[*].type"},
    {"Authentication", .path = ".spec.triggers[*].authenticationRef.name"},
    {"Ready", .path = ".status.conditions[?(@.type==\"Ready\")].status"},
    {"Active", .path = ".status.conditions[?(@.type==\"Active\")].status"},
    {"Fallback", .path = ".status.conditions[?(@.type==\"Fallback\")].status"},
    {"Paused", .path = ".status.conditions[?(@.type==\"Paused\")].status"},
    AGE_PATH,
    {0}};

/* Those of KEDA from 2.16 on: all triggers and authentications, behind the conditions. */
const struct column scaledobject_columns_new[] = {
    NAME_COLUMN,
    {"ScaleTargetKind", .path = ".status.scaleTargetKind"},
    {"ScaleTargetName", .path = ".spec.scaleTargetRef.name"},
    {"Min", "integer", ".spec.minReplicaCount"},
    {"Max", "integer", ".spec.maxReplicaCount"},
    {"Ready", .path = ".status.conditions[?(@.type==\"Ready\")].status"},
    {"Active", .path = ".status.conditions[?(@.type==\"Active\")].status"},
    {"Fallback", .path = ".status.conditions[?(@.type==\"Fallback\")].status"},
    {"Paused", .path = ".status.conditions[?(@.type==\"Paused\")].status"},
    {"Triggers", .path = ".status.triggersTypes"},
    {"Authentications", .path = ".status.authenticationsTypes"},
    AGE_PATH,
    {0}};

const struct column triggerauth_columns[] = {
    NAME_COLUMN,
    {"PodIdentity", .path = ".spec.podIdentity.provider"},
    {"Secret", .path = ".spec.secretTargetRef[*].name"},
    {"Env", .path = ".spec.env[*].name"},
    {"VaultAddress", .path = ".spec.hashiCorpVault.address"},
    {"ScaledObjects", .path = ".status.scaledobjects", .wide = true},
    {"ScaledJobs", .path = ".status.scaledjobs", .wide = true},
    {0}};

const struct column clustertriggerauth_columns[] = {
    NAME_COLUMN,
    {"PodIdentity", .path = ".spec.podIdentity.provider"},
    {"Secret", .path = ".spec.secretTargetRef[*].name"},
    {"Env", .path = ".spec.env[*].name"},
    {"FilePath", .path = ".spec.filePath"},
    {"VaultAddress", .path = ".spec.hashiCorpVault.address"},
    {"ScaledObjects", .path = ".status.scaledobjects", .wide = true},
    {"ScaledJobs", .path = ".status.scaledjobs", .wide = true},
    {0}};

const struct column collector_columns[] = {NAME_COLUMN,
                                           {"Mode", .path = ".spec.mode"},
                                           {"Version", .path = ".status.version"},
                                           {"Ready", .path = ".status.scale.statusReplicas"},
                                           AGE_PATH,
                                           {"Image", .path = ".status.image"},
                                           {"Management", .path = ".spec.managementState"},
                                           {0}};

/* SPDX-License-Identifier: Apache-2.0
 *
 * Rules about where models come from and about workers (kserve.md 7.2, rules 4, 7, 9). */
#include "base/mem.h"
#include "codec/json.h"
#include "kube/webhook_isvc_int.h"

/* --- workers --- */

static bool is_known_gpu(const char *resource, const json_t *extra)
{
    static const char *const known[] = {"nvidia.com/gpu", "amd.com/gpu", "intel.com/gpu",
                                        "habana.ai/gaudi"};
    const json_t *v;
    size_t i;

    for (i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(resource, known[i]) == 0)
            return true;
    json_array_foreach ((json_t *)extra, i, v)
        if (str_is(json_strv(v), resource))
            return true;
    return strncmp(resource, "nvidia.com/mig", 14) == 0;
}

/* A resource of another vendor's name is a device: one that can be counted must be known. */
static const char *unknown_gpu(const json_t *container, const json_t *extra)
{
    static const char *const lists[] = {"resources.limits", "resources.requests"};
    const char *key;
    const json_t *v;

    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        json_members (json_at(container, lists[i]), key, v)
            if (strchr(key, '/') && !is_known_gpu(key, extra))
                return key;
    return NULL;
}

static const char *parallel_env(const json_t *container)
{
    const json_t *e;
    size_t i;

    json_array_foreach (json_object_get(container, "env"), i, e) {
        const char *name = json_text(e, "name", "");

        if (strcmp(name, "PIPELINE_PARALLEL_SIZE") == 0 ||
            strcmp(name, "TENSOR_PARALLEL_SIZE") == 0)
            return name;
    }
    return NULL;
}

#define WORKER ISVC_HOOK "the InferenceService \"%s\" is invalid: "

static int check_sizes(const char *name, const json_t *worker, struct denial *d)
{
    static const char *const sizes[] = {"pipelineParallelSize", "tensorParallelSize"};

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        if (json_int(worker, sizes[i], 1) < 1)
            return webhook_deny(d, WORKER "workerSpec.%s must be at least 1, not %lld", name,
                                sizes[i], (long long)json_int(worker, sizes[i], 1));
    return 0;
}

int isvc_check_worker(const char *name, const char *cls, const json_t *o, struct denial *d)
{
    const json_t *predictor = json_at(o, "spec.predictor"), *model, *container;
    const json_t *worker = json_object_get(predictor, "workerSpec");
    const char *more = json_string_value(json_object_get(json_at(o, "metadata.annotations"),
                                                         "serving.kserve.io/gpu-resource-types"));
    AUTO_JSON json_t *extra = json_loads(more ? more : "[]", 0, NULL);
    const char *uri, *bad;

    if (!json_is_object(worker))
        return 0;
    model = json_object_get(predictor, "model");
    container = json_array_get(json_object_get(worker, "containers"), 0);
    uri = json_text(model, "storageUri", "");
    if (json_array_size(json_object_get(worker, "containers")) > 1)
        return webhook_deny(d, WORKER "workerSpec may have one container", name);
    if ((bad = parallel_env(model)) || (bad = parallel_env(container)))
        return webhook_deny(d,
                            WORKER "the environment variable %s is not allowed; set "
                                   "workerSpec.pipelineParallelSize and tensorParallelSize",
                            name, bad);
    if ((bad = unknown_gpu(model, extra)) || (bad = unknown_gpu(container, extra)))
        return webhook_deny(d,
                            WORKER "'%s' is not a known GPU type; list it in the annotation "
                                   "serving.kserve.io/gpu-resource-types",
                            name, bad);
    if (!*uri)
        return webhook_deny(d, WORKER "with workerSpec a storageUri is required", name);
    if (strncmp(uri, "pvc://", 6) != 0 && strncmp(uri, "oci", 3) != 0)
        return webhook_deny(d, WORKER "with workerSpec the storageUri must be pvc:// or oci://",
                            name);
    if (!cls || strcmp(cls, "none") != 0)
        return webhook_deny(d,
                            WORKER "with workerSpec the annotation "
                                   "serving.kserve.io/autoscalerClass must be none",
                            name);
    return check_sizes(name, worker, d);
}

/* --- storage --- */

static const char *mount_path(const json_t *entry)
{
    return json_text(entry, "mountPath", "/mnt/models");
}

static bool has_dots(struct str path)
{
    struct str part;

    while (str_split(&path, '/', &part))
        if (str_is(part, ".."))
            return true;
    return false;
}

/* The first directory of a path: models that share none would need a volume each. */
static struct str first_part(const char *path)
{
    struct str rest = str_of(path), part = STR("");

    while (part.n == 0 && str_split(&rest, '/', &part))
        ;
    return part;
}

int isvc_check_storage_uris(const char *name, const json_t *predictor, struct denial *d)
{
    const json_t *list = json_object_get(predictor, "storageUris"), *e;
    size_t i;

    if (json_array_size(list) == 0)
        return 0;
    if (*json_text(predictor, "model.storageUri", ""))
        return webhook_deny(d, WORKER "storageUri and storageUris cannot be used together", name);
    json_array_foreach ((json_t *)list, i, e) {
        const char *path = mount_path(e);

        if (path[0] != '/')
            return webhook_deny(d, WORKER "storageUris[%zu].mountPath '%s' must be absolute", name,
                                i, path);
        if (has_dots(str_of(path)))
            return webhook_deny(d, WORKER "storageUris[%zu].mountPath '%s' must not contain '..'",
                                name, i, path);
        if (first_part(path).n == 0)
            return webhook_deny(d, WORKER "storageUris[%zu].mountPath must not be /", name, i);
        for (size_t k = 0; k < i; k++)
            if (strcmp(mount_path(json_array_get(list, k)), path) == 0)
                return webhook_deny(d,
                                    WORKER "storageUris[%zu].mountPath '%s' is used twice; each "
                                           "needs one of its own",
                                    name, i, path);
        if (!str_eq(first_part(path), first_part(mount_path(json_array_get(list, 0)))))
            return webhook_deny(d,
                                WORKER "the mountPaths of storageUris must have a common parent: "
                                       "'%s' and '%s' have none",
                                name, mount_path(json_array_get(list, 0)), path);
    }
    return 0;
}

static bool is_supported_uri(const char *uri)
{
    static const char *const schemes[] = {"hf://",      "gs://",   "s3://",         "pvc://",
                                          "file://",    "http://", "https://",      "hdfs://",
                                          "webhdfs://", "oci://",  "oci+native://", "oci+fetch://"};

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (strncmp(uri, schemes[i], strlen(schemes[i])) == 0)
            return true;
    return !strstr(uri, "://"); /* a path */
}

static int check_uri(const char *uri, struct denial *d)
{
    if (is_supported_uri(uri))
        return 0;
    return webhook_deny(d,
                        ISVC_HOOK
                        "storageUri, must be one of: [gs://, s3://, pvc://, file://, "
                        "https://, http://, hdfs://, webhdfs://, oci://, oci+native://, "
                        "oci+fetch://, hf://] or an absolute path. StorageUri [%s] is not "
                        "supported",
                        uri);
}

int isvc_check_storage(const json_t *predictor, struct denial *d)
{
    static const char *const types[] = {"s3", "hdfs", "webhdfs"};
    const char *type = json_text(predictor, "model.storage.parameters.type", NULL);
    const json_t *e;
    bool known = type == NULL;
    size_t i;
    int r = check_uri(json_text(predictor, "model.storageUri", ""), d);

    json_array_foreach (json_object_get(predictor, "storageUris"), i, e)
        if (r == 0)
            r = check_uri(json_text(e, "uri", ""), d);
    for (i = 0; i < ARRAY_LEN(types) && !known; i++)
        known = strcmp(type, types[i]) == 0;
    if (r == 0 && !known)
        return webhook_deny(d,
                            ISVC_HOOK "storage.parameters.type [%s] is not supported: use s3, "
                                      "hdfs or webhdfs",
                            type);
    return r;
}

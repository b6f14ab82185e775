/* SPDX-License-Identifier: Apache-2.0
 *
 * What a ScaledObject scales: anything with a scale subresource. */
#include "controllers/so_int.h"

int so_target_find(struct cluster *c, const json_t *so, struct str ns, struct so_target *ret,
                   struct err *err)
{
    const char *version = json_text(so, "spec.scaleTargetRef.apiVersion", "apps/v1"),
               *kind = json_text(so, "spec.scaleTargetRef.kind", "Deployment"),
               *name = json_text(so, "spec.scaleTargetRef.name", "");
    AUTO_JSON json_t *tree = NULL;
    char resource[128];

    *ret = (struct so_target){.kind = kind_by_type(str_of(version), str_of(kind), NULL)};
    if (!ret->kind)
        return err_set(
            err, ERR_INVALID,
            "ScaledObject doesn't have correct scaleTargetRef specification: there is no "
            "kind '%s' in '%s'",
            kind, version);
    if (!ret->kind->scale_spec)
        return err_set(err, ERR_INVALID,
                       "ScaledObject doesn't have correct scaleTargetRef specification: %s has no "
                       "scale subresource",
                       kind_resource(ret->kind, resource));
    ret->o = cluster_get(c, ret->kind->id, ns, str_of(name));
    if (!ret->o)
        return err_set(err, ERR_NOT_FOUND,
                       "ScaledObject doesn't have correct scaleTargetRef specification: the target "
                       "resource doesn't exist: %s '%s'",
                       kind_resource(ret->kind, resource), name);
    tree = object_tree(ret->o);
    ret->replicas = json_int(tree, ret->kind->scale_spec, 1);
    return 0;
}

void so_target_scale(struct cluster *c, const struct so_target *t, int64_t replicas)
{
    AUTO_JSON json_t *patch = NULL;

    if (t->replicas == replicas)
        return;
    patch = json_pack("{s:{s:I}}", "spec", "replicas", (json_int_t)replicas);
    cluster_write(c,
                  &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = t->kind->id,
                                          .ns = t->o->ns,
                                          .name = t->o->name,
                                          .subresource = "scale",
                                          .tree = patch,
                                          .manager = SO_COMPONENT},
                  NULL, NULL);
}

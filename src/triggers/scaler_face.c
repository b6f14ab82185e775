/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/scaler_face.h"

#include <stdlib.h>

#include "base/mem.h"
#include "net/grpc_health.h"
#include "net/grpc_reflection.h"
#include "triggers/scaler_descriptor.h"

struct scaler_face {
    struct scaler_service *service;
    struct grpc_health *health;
    struct grpc_reflection *reflection;
    struct buf descriptor;
};

int scaler_face_new(const struct scaler_service_options *o, struct grpc_server *grpc,
                    struct scaler_face **ret, struct err *err)
{
    struct scaler_face *f = mem_zalloc(sizeof(*f));
    int r;

    f->service = scaler_service_new(o);
    grpc_server_add(grpc, scaler_service_grpc(f->service));
    f->health = grpc_health_new(grpc);
    f->reflection = grpc_reflection_new(grpc);
    scaler_descriptor_write(&f->descriptor);
    r = grpc_reflection_add(f->reflection, buf_str(&f->descriptor), err);
    if (r < 0) {
        scaler_face_free(f);
        return r;
    }
    *ret = f;
    return 0;
}

void scaler_face_close(struct scaler_face *f)
{
    if (!f)
        return;
    grpc_health_set(f->health, "", GRPC_NOT_SERVING);
    grpc_health_set(f->health, scaler_service_grpc(f->service)->name, GRPC_NOT_SERVING);
    scaler_service_close(f->service);
}

void scaler_face_free(struct scaler_face *f)
{
    if (!f)
        return;
    grpc_reflection_free(f->reflection);
    grpc_health_free(f->health);
    scaler_service_free(f->service);
    buf_done(&f->descriptor);
    free(f);
}

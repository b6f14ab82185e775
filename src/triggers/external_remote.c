/* SPDX-License-Identifier: Apache-2.0
 *
 * An external scaler of somebody else. This version has no client for them: its trigger says so. */
#include "triggers/external.h"

int external_remote_new(const struct external_remote_options *o, struct external_remote **ret,
                        struct err *err)
{
    (void)o;
    (void)ret;
    return err_set(err, ERR_UNSUPPORTED,
                   "this version asks no external scaler but its own (--scaler-listen)");
}

void external_remote_free(struct external_remote *r)
{
    (void)r;
}

const char *external_remote_metric(const struct external_remote *r)
{
    (void)r;
    return NULL;
}

const char *external_remote_why(const struct external_remote *r)
{
    (void)r;
    return NULL;
}

double external_remote_target(const struct external_remote *r)
{
    (void)r;
    return 0;
}

bool external_remote_is_waiting(const struct external_remote *r)
{
    (void)r;
    return false;
}

void external_remote_value(const struct external_remote *r, struct decision_metric *ret)
{
    (void)r;
    (void)ret;
}

bool external_remote_is_active(const struct external_remote *r)
{
    (void)r;
    return false;
}

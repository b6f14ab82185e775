/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/mem.h"
#include "triggers/external.h"

#define BACKOFF_FIRST_MS 2000
#define BACKOFF_LAST_MS 60000

int64_t external_backoff(struct external_backoff *b, enum external_ending e)
{
    int64_t wait;

    if (e == EXTERNAL_UNIMPLEMENTED)
        return -1;
    wait = e == EXTERNAL_FAILED && b->next_ms ? b->next_ms : BACKOFF_FIRST_MS;
    b->next_ms = wait * 2 < BACKOFF_LAST_MS ? wait * 2 : BACKOFF_LAST_MS;
    return wait;
}

int external_metric_of(int index, struct str hpa_name, struct str *ret, struct err *err)
{
    char prefix[16];
    int n = snprintf(prefix, sizeof(prefix), "s%d-", index);

    if (!str_starts(hpa_name, str_n(prefix, (size_t)n)))
        return err_set(err, ERR_INVALID, "metric '%.*s' is not of trigger %d", STR_ARG(hpa_name),
                       index);
    *ret = str_skip(hpa_name, (size_t)n);
    return 0;
}

int external_sum(const struct scaler_number *values, size_t n, double *ret, struct err *err)
{
    *ret = 0;
    if (n == 0)
        return err_set(err, ERR_NOT_FOUND, "the answer holds no value");
    for (size_t i = 0; i < n; i++) {
        double v = scaler_number_value(&values[i]);

        *ret += v > 0 ? v : 0;
    }
    return 0;
}

bool external_split_address(struct str address, struct str *ret_host, uint16_t *ret_port)
{
    static const char *const schemes[] = {"dns:///", "passthrough:///", "dns:", "http://",
                                          "https://"};
    struct str port = STR_NONE;
    uint64_t n;

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (str_starts(address, str_of(schemes[i]))) {
            address = str_skip(address, strlen(schemes[i]));
            break;
        }
    for (size_t i = address.n; i > 0 && address.p[i - 1] != ']'; i--)
        if (address.p[i - 1] == ':') {
            port = str_skip(address, i);
            address.n = i - 1;
            break;
        }
    if (address.n > 1 && address.p[0] == '[' && address.p[address.n - 1] == ']')
        address = str_n(address.p + 1, address.n - 2);
    if (!address.n || !str_to_u64(port, &n) || n == 0 || n > 65535)
        return false;
    *ret_host = address;
    *ret_port = (uint16_t)n;
    return true;
}

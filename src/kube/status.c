/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/status.h"

#include <stdarg.h>

static void open_status(struct buf *out, struct str message, const char *reason)
{
    buf_add_cstr(
        out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
             "\"message\":");
    json_write_str(out, message);
    buf_printf(out, ",\"reason\":\"%s\",\"details\":{", reason);
}

static void write_details(struct buf *out, const struct kind *k, struct str name, bool kind_name)
{
    buf_add_cstr(out, "\"name\":");
    json_write_str(out, name);
    if (k && k->group[0])
        buf_printf(out, ",\"group\":\"%s\"", k->group);
    if (k)
        buf_printf(out, ",\"kind\":\"%s\"", kind_name ? k->kind : k->plural);
}

static int close_status(struct buf *out, int code)
{
    buf_printf(out, "},\"code\":%d}", code);
    return code;
}

__attribute__((format(printf, 6, 7))) static int named(struct buf *out, int code,
                                                       const char *reason, const struct kind *k,
                                                       struct str name, const char *fmt, ...)
{
    struct buf message = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&message, fmt, ap);
    va_end(ap);
    open_status(out, buf_str(&message), reason);
    write_details(out, k, name, false);
    buf_done(&message);
    return close_status(out, code);
}

int status_not_found(struct buf *out, const struct kind *k, struct str name)
{
    char res[128];

    return named(out, 404, "NotFound", k, name, "%s \"%.*s\" not found", kind_resource(k, res),
                 STR_ARG(name));
}

int status_no_such_path(struct buf *out)
{
    open_status(out, STR("the server could not find the requested resource"), "NotFound");
    return close_status(out, 404);
}

int status_already_exists(struct buf *out, const struct kind *k, struct str name)
{
    char res[128];

    return named(out, 409, "AlreadyExists", k, name, "%s \"%.*s\" already exists",
                 kind_resource(k, res), STR_ARG(name));
}

int status_conflict(struct buf *out, const struct kind *k, struct str name, const char *why)
{
    char res[128];

    return named(
        out, 409, "Conflict", k, name, "Operation cannot be fulfilled on %s \"%.*s\": %s",
        kind_resource(k, res), STR_ARG(name),
        why ? why
            : "the object has been modified; please apply your changes to the latest version and "
              "try again");
}

int status_invalid(struct buf *out, const struct kind *k, struct str name,
                   const struct field_errors *errors)
{
    struct buf message = BUF_INIT;
    char q[128];

    buf_printf(&message, "%s \"%.*s\" is invalid: %s", kind_qualified(k, q), STR_ARG(name),
               errors->n > 1 ? "[" : "");
    for (size_t i = 0; i < errors->n; i++)
        buf_printf(&message, "%s%s: %s", i ? ", " : "", errors->items[i].field,
                   errors->items[i].message);
    if (errors->n > 1)
        buf_add_char(&message, ']');
    open_status(out, buf_str(&message), "Invalid");
    write_details(out, k, name, true);
    buf_add_cstr(out, ",\"causes\":[");
    for (size_t i = 0; i < errors->n; i++) {
        buf_printf(out, "%s{\"reason\":\"%s\",\"message\":", i ? "," : "", errors->items[i].reason);
        json_write_str(out, str_of(errors->items[i].message));
        buf_add_cstr(out, ",\"field\":");
        json_write_str(out, str_of(errors->items[i].field));
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
    buf_done(&message);
    return close_status(out, 422);
}

int status_denial(struct buf *out, const struct kind *k, struct str name, const struct denial *d)
{
    if (d->fields.n)
        return status_invalid(out, k, name, &d->fields);
    open_status(out, buf_str(&d->message), d->reason ? d->reason : "BadRequest");
    if (d->http == 403 || d->http == 409 || d->http == 422)
        write_details(out, k, name, d->http == 422);
    return close_status(out, d->http);
}

int status_success(struct buf *out, const struct kind *k, struct str name, struct str uid)
{
    buf_add_cstr(
        out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\","
             "\"details\":{");
    write_details(out, k, name, false);
    buf_add_cstr(out, ",\"uid\":");
    json_write_str(out, uid);
    buf_add_cstr(out, "}}");
    return 200;
}

int status_error(struct buf *out, int code, const char *reason, const char *fmt, ...)
{
    struct buf message = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&message, fmt, ap);
    va_end(ap);
    open_status(out, buf_str(&message), reason);
    buf_done(&message);
    return close_status(out, code);
}

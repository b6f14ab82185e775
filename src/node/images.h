/* SPDX-License-Identifier: Apache-2.0
 *
 * Which local command stands for a container image. */
#ifndef FB_NODE_IMAGES_H
#define FB_NODE_IMAGES_H

#include "base/str.h"

/* The command (space-separated words) for an image: of the user's map first ("IMAGE=COMMAND",
 * NULL-terminated; IMAGE is the repository without tag, the whole name, or a pattern like
 * "*" "/opentelemetry-collector*" for the last part of a repository), then the built-in table.
 * NULL: none. "flyball" as the first word means this program, and "flyball-agent" the sidecar
 * collector beside it. */
const char *image_command(const char *image, char *const *map);
/* What a user has to know of a stand-in of ours: "it ..."; NULL where the command is the user's. */
const char *image_note(const char *image, char *const *map);

#endif

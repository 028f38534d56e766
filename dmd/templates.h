/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * templates.h - how back-ends are started: command templates in back-ends.conf files, and programs that say
 * in a JSON file that they follow QEMU's conventions for vhost-user back-ends. From back-end=NAME KEY=VALUE
 * ... to an argument vector; nothing is executed here. Used by plan.c.
 */
#ifndef VHOST_DM_DMD_TEMPLATES_H
#define VHOST_DM_DMD_TEMPLATES_H

#include <stddef.h>

#include "dmd/words.h"

/* Where to look; for tests too. NULL at the end of a list, and later ones are stronger. */
struct template_places {
    const char *files[3]; /* back-ends.conf */
    const char *json[4];  /* folders of vhost-user/?*.json */
};

/* The places of this system, and back-ends.conf in that folder. The strings are static. */
void template_places_default(struct template_places *places, const char *config_dir);

/* What can be filled in beside what the administrator gives: {socket}, {guest}, {device}, {domid}. */
struct template_values {
    const char *socket, *guest, *device, *domid;
    const char *type; /* of the device, which the back-end must be for */
    const char *file; /* {file} if the administrator gives none; or NULL */
};

/*
 * The command for `request`, "NAME KEY=VALUE ...", is added to argv; its first word is the path of a program
 * that can be executed. 0; or a negative errno and why: one line for people.
 */
int template_command(struct words *argv, const struct template_places *places, const char *request,
                     const struct template_values *values, char *why, size_t why_len);

/* A back-end by its JSON file. */
struct json_back_end {
    char binary[256];
    char path[256]; /* of the file */
};
/*
 * Looks for the first, by file name, whose type is `type` (a name of device_types.h) and whose program has
 * that name, or any of that type if name is the type. Damaged files are logged and left out. 0; -ENOENT:
 * there is none.
 */
int json_back_end_find(struct json_back_end *found, const char *const *folders, const char *name,
                       const char *type);

#endif

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * devices_list.c - see devices_list.h.
 */
#include "dm/devices_list.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"

#define MAX_HEAD_LINES 16

/* Copies the lines with '#' that the file begins with. */
static bool head_copy(FILE *from, FILE *to)
{
    char line[1024];

    for (int i = 0; i < MAX_HEAD_LINES && fgets(line, sizeof(line), from) != NULL && line[0] == '#'; i++)
        if (strchr(line, '\n') == NULL || fputs(line, to) < 0)
            return false;
    return ferror(from) == 0;
}

static int list_write(FILE *from, const char *path, const char *const *lines, size_t nr)
{
    FILE *to = fopen(path, "we");
    bool ok;

    if (to == NULL)
        return -errno;
    ok = head_copy(from, to);
    for (size_t i = 0; i < nr && ok; i++)
        ok = fprintf(to, "%s\n", lines[i]) > 0;
    ok = fclose(to) == 0 && ok;
    return ok ? 0 : -EIO;
}

int devices_list_update(const char *path, const char *const *lines, size_t nr)
{
    FILE *from = fopen(path, "re");
    char new_path[512];
    int rc;

    if (from == NULL)
        return -errno;
    rc = (size_t)snprintf(new_path, sizeof(new_path), "%s.new", path) < sizeof(new_path)
             ? list_write(from, new_path, lines, nr)
             : -ENAMETOOLONG;
    fclose(from);
    if (rc == 0 && rename(new_path, path) != 0)
        rc = -errno;
    if (rc != 0 && rc != -ENAMETOOLONG)
        unlink(new_path);
    return rc;
}

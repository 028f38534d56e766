// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * devices_file.c - see devices_file.h.
 */
#include "dmd/devices_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int path_make(char *path, size_t len, const char *state_dir, uint16_t domid, const char *suffix)
{
    return (size_t)snprintf(path, len, "%s/%u.devices%s", state_dir, domid, suffix) < len ? 0 : -ENAMETOOLONG;
}

void devices_file_head(char head[DEVICES_FILE_HEAD_LEN], const uint8_t uuid[16])
{
    char *at = stpcpy(head, "# uuid ");

    for (int i = 0; i < 16; i++)
        at += sprintf(at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
}

int devices_file_write(const char *state_dir, uint16_t domid, const uint8_t uuid[16],
                       const char *const *devices, size_t nr_devices, const char *confine)
{
    char path[512], next[512], head[DEVICES_FILE_HEAD_LEN];
    FILE *file;
    int fd, rc = 0;

    if (path_make(path, sizeof(path), state_dir, domid, "") != 0 ||
        path_make(next, sizeof(next), state_dir, domid, ".new") != 0)
        return -ENAMETOOLONG;
    if (mkdir(state_dir, 0700) < 0 && errno != EEXIST)
        return -errno;
    fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (file == NULL) {
        rc = -errno;
        if (fd >= 0)
            close(fd);
        return rc;
    }
    devices_file_head(head, uuid);
    fprintf(file, "%s\n", head);
    if (confine != NULL)
        fprintf(file, DEVICES_FILE_CONFINE "%s\n", confine);
    for (size_t i = 0; i < nr_devices; i++)
        fprintf(file, "%s\n", devices[i]);
    if (ferror(file))
        rc = -EIO;
    if (fclose(file) != 0)
        rc = -errno;
    if (rc == 0 && rename(next, path) < 0)
        rc = -errno;
    if (rc != 0)
        unlink(next);
    return rc;
}

void devices_file_remove(const char *state_dir, uint16_t domid)
{
    char path[512];

    if (path_make(path, sizeof(path), state_dir, domid, "") == 0)
        unlink(path);
}

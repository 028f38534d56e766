// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * guest_folder.c - STATE_DIR/GUEST, where the sockets of a guest's back-ends are by default (see guest.h).
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "dmd/guest.h"

static void folder_path(char path[RECORD_PATH_LEN], const struct guest *guest)
{
    snprintf(path, RECORD_PATH_LEN, "%s/%s", guest->daemon->config.state_dir, guest->name);
}

void guest_folder_make(struct guest *guest)
{
    char path[RECORD_PATH_LEN];

    folder_path(path, guest);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        log_warning("%s: %s: %s", guest->label, path, strerror(errno));
}

/* Whether a file in the folder is the socket of a back-end that we have started, or one that the back-end has
 * made beside it: virtiofsd has a SOCKET.pid, passt a SOCKET.repair. */
static bool is_back_ends(const struct guest *guest, const char *folder, const char *name)
{
    size_t folder_len = strlen(folder);

    for (size_t i = 0; i < guest->plan.nr_devices; i++) {
        const struct plan_device *device = &guest->plan.devices[i];
        const char *its = device->socket + folder_len + 1;
        size_t len;

        if (device->back_end.n == 0 || strncmp(device->socket, folder, folder_len) != 0 || its[-1] != '/')
            continue;
        len = strlen(its);
        if (strncmp(name, its, len) == 0 && (name[len] == '\0' || name[len] == '.'))
            return true;
    }
    return false;
}

void guest_folder_remove(struct guest *guest)
{
    char path[RECORD_PATH_LEN];
    const struct dirent *entry;
    DIR *folder;

    /* One of another name has none, and the path would be that of somebody else's folder. */
    if (!config_guest_name_good(guest->name))
        return;
    folder_path(path, guest);
    folder = opendir(path);
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        if (is_back_ends(guest, path, entry->d_name))
            unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder != NULL)
        closedir(folder);
    rmdir(path); /* stays if somebody else uses it */
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * xen_errors.c - see xen_errors.h.
 */
#include "xen/xen_errors.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Whether the first line of a file has that text; also when that cannot be known, as no more files can be
 * opened. */
static bool file_says(const char *path, const char *text)
{
    char line[128] = "";
    FILE *f = fopen(path, "re");

    if (!f)
        return errno != ENOENT;
    if (!fgets(line, sizeof(line), f))
        line[0] = 0;
    fclose(f);
    return strstr(line, text) != NULL;
}

int xen_explain_open(int error, char *why, size_t why_len)
{
    if (!file_says("/sys/hypervisor/type", "xen")) {
        snprintf(why, why_len,
                 "this machine does not run on Xen: boot the Xen hypervisor, and run this in dom0");
        return -ENODEV;
    }
    if (geteuid() != 0 && (error == EACCES || error == EPERM)) {
        snprintf(why, why_len, "Xen's interfaces may not be opened: run this as root");
        return -EACCES;
    }
    if (access("/dev/xen/privcmd", F_OK) != 0 && access("/proc/xen/privcmd", F_OK) != 0) {
        snprintf(
            why, why_len,
            "there is no /dev/xen/privcmd: load the module xen-privcmd (in dom0; a guest has no use for it)");
        return -ENODEV;
    }
    if (access("/dev/xen/evtchn", F_OK) != 0) {
        snprintf(why, why_len, "there is no /dev/xen/evtchn: load the module xen-evtchn");
        return -ENODEV;
    }
    snprintf(why, why_len, "Xen's interfaces cannot be opened: %s", strerror(error));
    return error == EACCES || error == EPERM ? -EACCES : -ENODEV;
}

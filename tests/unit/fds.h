/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fds.h - how many files this process has open: what tests compare to see that none was leaked.
 */
#ifndef VHOST_DM_TESTS_FDS_H
#define VHOST_DM_TESTS_FDS_H

#include <dirent.h>

/* The number of open fds, or -1. */
static inline int fds_count(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    if (dir == NULL)
        return -1;
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n - 3; /* ".", ".." and the directory itself */
}

#endif

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * process.c - see process.h.
 */
#include "common/process.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

uint64_t process_start_time(pid_t pid)
{
    char path[64], line[1024];
    unsigned long long start = 0;
    const char *at;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    f = fopen(path, "re");
    if (f == NULL)
        return 0;
    /* The name, which can hold anything, ends at the last parenthesis. */
    if (fgets(line, sizeof(line), f) == NULL || (at = strrchr(line, ')')) == NULL ||
        sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &start) != 1)
        start = 0;
    fclose(f);
    return start;
}

bool process_command(pid_t pid, char *name, size_t len)
{
    char path[64];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    name[0] = '\0';
    f = fopen(path, "re");
    if (f == NULL)
        return false;
    if (fgets(name, (int)len, f) == NULL)
        name[0] = '\0';
    fclose(f);
    name[strcspn(name, "\n")] = '\0';
    for (char *c = name; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return true;
}

pid_t process_of_peer(int fd)
{
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0 ? peer.pid : 0;
}

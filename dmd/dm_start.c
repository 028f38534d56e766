// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dm_start.c - see dm_start.h. Two forks, so that vhost-dm is nobody's child: QEMU, which its starter is
 * about to become, would be told of its end.
 */
#include "dmd/dm_start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_FD 3 /* in vhost-dm */

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* In the process that becomes vhost-dm. Returns an errno if it cannot; *ready_fd is where to say so. */
static int become_dm(const struct dm_start *start, int *ready_fd)
{
    char domid[8], ready[8];
    const char **argv;
    size_t n = 0;
    int err, null = open("/dev/null", O_RDWR);

    if (null < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0)
        return errno;
    if (*ready_fd == READY_FD ? fcntl(READY_FD, F_SETFD, 0) < 0 : dup2(*ready_fd, READY_FD) < 0)
        return errno;
    *ready_fd = READY_FD;
    if (syscall(SYS_close_range, READY_FD + 1, ~0U, 0) != 0 || chdir("/") < 0)
        return errno;
    unsetenv("NOTIFY_SOCKET"); /* of the service that xl may run in */
    snprintf(domid, sizeof(domid), "%u", start->domid);
    snprintf(ready, sizeof(ready), "%d", READY_FD);
    argv = calloc(start->nr_devices * 2 + 10, sizeof(*argv));
    if (argv == NULL)
        return ENOMEM;
    argv[n++] = "vhost-dm";
    argv[n++] = "--domain";
    argv[n++] = domid;
    argv[n++] = "--state-dir";
    argv[n++] = start->state_dir;
    argv[n++] = "--ready-fd";
    argv[n++] = ready;
    if (start->confine != NULL) {
        argv[n++] = "--confine";
        argv[n++] = start->confine;
    }
    for (size_t i = 0; i < start->nr_devices; i++) {
        argv[n++] = "--device";
        argv[n++] = start->devices[i];
    }
    execv(start->program, (char *const *)argv);
    err = errno;
    free(argv);
    return err;
}

/* In the process between; what goes wrong in it or in the other is said through fd. */
static _Noreturn void fork_dm(const struct dm_start *start, int fd)
{
    int answer;

    /* 0 to 2 are libxl's doing, and are there. */
    setsid();
    answer = fork();
    if (answer == 0) {
        answer = become_dm(start, &fd);
    } else if (answer > 0) {
        _exit(0);
    } else {
        answer = errno;
    }
    dprintf(fd, "failed %d\n", answer);
    _exit(1);
}

/* Reads one line of at most len - 1 bytes until deadline: its length without the line's end; -ECHILD: there
 * is none, as all who could write it have ended. */
static int line_read(int fd, char *line, size_t len, int64_t deadline)
{
    size_t n = 0;

    for (;;) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - now_ms();
        ssize_t got;
        int rc = poll(&pfd, 1, left > 0 ? (int)left : 0);

        if (rc < 0 && errno != EINTR)
            return -errno;
        if (rc == 0)
            return -ETIMEDOUT;
        if (rc < 0)
            continue;
        got = read(fd, line + n, 1);
        if (got < 0)
            return -errno;
        if (got == 0)
            return -ECHILD;
        if (line[n] == '\n' || ++n == len) {
            line[n < len ? n : len - 1] = '\0';
            return (int)n;
        }
    }
}

/* Tells the one who has the other end of the pipe, and nobody else, to end. */
static void dm_end(pid_t session)
{
    if (session > 0)
        kill(-session, SIGTERM);
}

int dm_start(const struct dm_start *start)
{
    int64_t deadline = now_ms() + (int64_t)start->seconds * 1000;
    int fds[2], rc, err;
    char line[32];
    pid_t between;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    between = fork();
    if (between == 0)
        fork_dm(start, fds[1]);
    rc = between < 0 ? -errno : 0;
    close(fds[1]);
    if (rc == 0) {
        while (waitpid(between, NULL, 0) < 0 && errno == EINTR)
            ;
        rc = line_read(fds[0], line, sizeof(line), deadline);
    }
    if (rc >= 0) {
        if (strcmp(line, "ready") == 0)
            rc = 0;
        else
            rc = sscanf(line, "failed %d", &err) == 1 && err > 0 ? -err : -EPROTO;
    }
    if (rc == -ETIMEDOUT || rc == -EPROTO)
        dm_end(between); /* its session, which it is in as long as the pipe is open */
    close(fds[0]);
    return rc;
}

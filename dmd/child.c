// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * child.c - see child.h. Here would be the place to give a process a user and limits of its own.
 */
#include "dmd/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/process.h"
#include "common/util.h"

#ifndef P_PIDFD
#define P_PIDFD 3 /* waitid(2), since Linux 5.4 */
#endif

static int pidfd_of(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void on_ended(struct ev_loop *loop, struct ev_io *io, int revents)
{
    struct child *child = container_of(io, struct child, io);
    siginfo_t info = {0};
    int status = -1;

    (void)loop;
    (void)revents;
    if (waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG) == 0) {
        if (info.si_pid == 0)
            return; /* not yet */
        status = info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0) : W_EXITCODE(0, info.si_status);
    }
    child_forget(child);
    child->ended(child->ctx, child, status);
}

static void watch(struct child *child, struct ev_loop *loop, child_ended_fn *ended, void *ctx)
{
    child->loop = loop;
    child->ended = ended;
    child->ctx = ctx;
    ev_io_init(&child->io, on_ended, child->pidfd, EV_READ);
    ev_io_start(loop, &child->io);
}

/* Ours, in the new process, where all are blocked. */
static void signals_default(void)
{
    static const int ours[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE};
    sigset_t none;

    for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
        signal(ours[i], SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the new process. Only calls that are safe after a fork with other threads around (libxenstore has one).
 */
__attribute__((noreturn)) static void become(char *const *argv, char *const *env, int gate, int fd)
{
    char byte;
    int null;
    ssize_t n;

    /* Until it is another program, what is sent to it must end it, and not come to our own handlers. */
    signals_default();
    setsid();
    do
        n = read(gate, &byte, 1);
    while (n < 0 && errno == EINTR);
    null = open("/dev/null", O_RDWR);
    if (n != 1 || null < 0 || dup2(null, STDIN_FILENO) < 0)
        _exit(127);
    if (fd == CHILD_FD ? fcntl(fd, F_SETFD, 0) < 0 : fd >= 0 && dup2(fd, CHILD_FD) < 0)
        _exit(127);
    /* All that is open is also marked to be closed; this is for what was open before us. */
    syscall(SYS_close_range, CHILD_FD + (fd >= 0), ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
    execve(argv[0], argv, env);
    _exit(127);
}

/* The environment with one more in front; not for long. NULL: no memory. */
static char **environment(const char *more)
{
    size_t n = 0;
    char **env;

    while (environ[n] != NULL)
        n++;
    env = calloc(n + 2, sizeof(*env));
    if (env == NULL)
        return NULL;
    n = 0;
    if (more != NULL)
        env[n++] = (char *)more;
    for (char **at = environ; *at != NULL; at++)
        if (strncmp(*at, "NOTIFY_SOCKET=", 14) != 0 && strncmp(*at, "VHOST_DM_SHM=", 13) != 0)
            env[n++] = *at;
    return env;
}

int child_start(struct child *child, struct ev_loop *loop, char *const *argv, const char *env, int fd,
                child_ended_fn *ended, void *ctx)
{
    char **all = environment(env);
    sigset_t every, before;
    int gate[2];
    pid_t pid;

    if (all == NULL)
        return -ENOMEM;
    if (pipe2(gate, O_CLOEXEC) != 0) {
        free(all);
        return -errno;
    }
    sigfillset(&every);
    sigprocmask(SIG_SETMASK, &every, &before);
    pid = fork();
    if (pid == 0) {
        close(gate[1]);
        become(argv, all, gate[0], fd);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    free(all);
    close(gate[0]);
    child->pidfd = pid > 0 ? pidfd_of(pid) : -1;
    if (child->pidfd < 0) {
        int rc = -errno;

        close(gate[1]); /* ends it */
        if (pid > 0)
            waitpid(pid, NULL, 0);
        return rc;
    }
    child->pid = pid;
    child->start = process_start_time(pid);
    child->gate = gate[1];
    watch(child, loop, ended, ctx);
    return 0;
}

void child_go(struct child *child)
{
    if (child->pid == 0 || child->gate < 0)
        return;
    /* Full it cannot be; without a reader it has been ended, which the loop will see. */
    if (write(child->gate, "", 1) != 1)
        errno = 0;
    close(child->gate);
    child->gate = -1;
}

int child_adopt(struct child *child, struct ev_loop *loop, pid_t pid, unsigned long long start,
                child_ended_fn *ended, void *ctx)
{
    struct pollfd pfd;

    child->pidfd = pidfd_of(pid);
    if (child->pidfd < 0)
        return -ESRCH;
    pfd = (struct pollfd){.fd = child->pidfd, .events = POLLIN};
    if (process_start_time(pid) != start || poll(&pfd, 1, 0) != 0) {
        close(child->pidfd);
        return -ESRCH;
    }
    child->pid = pid;
    child->start = start;
    child->gate = -1;
    watch(child, loop, ended, ctx);
    return 0;
}

bool child_runs(const struct child *child)
{
    return child->pid != 0;
}

void child_signal(struct child *child, int signum)
{
    if (child->pid != 0)
        syscall(SYS_pidfd_send_signal, child->pidfd, signum, NULL, 0);
}

void child_forget(struct child *child)
{
    if (child->pid == 0)
        return;
    ev_io_stop(child->loop, &child->io);
    close(child->pidfd);
    if (child->gate >= 0)
        close(child->gate);
    child->pid = 0;
}

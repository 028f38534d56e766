// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_confine.c - the system calls of takeover_calls.c in a process that dm/confine.c has confined: what of
 * the case "taken-over" can be seen without Xen. It takes root, with the right to make a mount namespace; for
 * others it is skipped. (A build with sanitizers has no confinement, and so not this test.)
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/notify.h"
#include "config.h"
#include "dm/confine.h"
#include "tests/takeover/takeover.h"

#define SKIPPED    77 /* to automake */
#define CALLS_MIN  80
#define OTHER_USER 2000000001
#define READY      "READY=1"

static int nr_tried, nr_wrong;

void takeover_say(const char *name, long result)
{
    nr_tried++;
    if (result == -EPERM)
        return;
    dprintf(STDOUT_FILENO, "%s: %ld\n", name, result);
    nr_wrong++;
}

/* What serving a guest takes goes on: the back-end's own channel, the limit of open files. */
static void needed(void)
{
    struct rlimit limit;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0 ||
        getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == 0 || eventfd(0, EFD_CLOEXEC) < 0 ||
        memfd_create("needed", MFD_CLOEXEC) < 0) {
        dprintf(STDOUT_FILENO, "what is needed is refused: %s\n", strerror(errno));
        nr_wrong++;
    }
}

/* The status that it ends with. */
static int confined(pid_t other, const char *folder)
{
    struct confine_options options = {OTHER_USER, folder};
    struct takeover t = {.confined = true, .process = other, .socket = "/run/taken", .broker = -1};
    char why[256];

    notify_prepare();
    if (confine(&options, why, sizeof(why)) != 0) {
        dprintf(STDOUT_FILENO, "%s\n", why);
        return 1;
    }
    notify_service_manager(READY);
    takeover_calls(&t);
    needed();
    dprintf(STDOUT_FILENO, "%d calls, %d of them not refused as they should be\n", nr_tried, nr_wrong);
    if (nr_wrong > 0 || nr_tried < CALLS_MIN)
        return 1;
    takeover_calls_last(&t);
    return nr_wrong > 0;
}

/* As a service manager: a socket that NOTIFY_SOCKET names. */
static int manager_listen(const char *folder)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/notify", folder);
    setenv("NOTIFY_SOCKET", addr.sun_path, 1);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0)
        perror(addr.sun_path);
    return fd;
}

/* What the confined process has told it; then nothing of it is left. */
static bool manager_heard(int fd)
{
    char said[32] = "";
    ssize_t n = recv(fd, said, sizeof(said) - 1, 0);

    close(fd);
    unlink(getenv("NOTIFY_SOCKET"));
    if (n >= 0 && strcmp(said, READY) == 0)
        return true;
    printf("the service manager was told '%s'\n", said);
    return false;
}

/* Whether this process may do what confinement takes: root in a container may not. */
static bool privileged(void)
{
    int status;
    pid_t pid;

    if (geteuid() != 0)
        return false;
    pid = fork();
    if (pid == 0)
        _exit(unshare(CLONE_NEWNS) == 0 ? 0 : 1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(void)
{
    char folder[] = "/tmp/vhost-dm-confine-XXXXXX";
    int status = 0, manager;
    bool heard;
    pid_t pid;

    if (!privileged()) {
        puts("skipped: not root, or root that may not make a mount namespace");
        return SKIPPED;
    }
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return EXIT_FAILURE;
    }
    manager = manager_listen(folder);
    pid = fork();
    if (pid == 0)
        _exit(confined(getppid(), folder));
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror("fork");
        return EXIT_FAILURE;
    }
    heard = manager_heard(manager);
    rmdir(folder);
    if (!heard)
        return EXIT_FAILURE;
    if (WIFSIGNALED(status)) {
        printf("ended by signal %d, which the call of a 32-bit program must do\n", WTERMSIG(status));
        return WTERMSIG(status) == SIGSYS ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    return WEXITSTATUS(status);
}

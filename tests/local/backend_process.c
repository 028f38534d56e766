// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * backend_process.c - see backend_process.h. We make the listening socket and the daemon inherits it, so
 * there is nothing to wait for: who connects early is in the socket's queue.
 */
#include "tests/local/backend_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/vhost_user.h"
#include "common/vhost_user_channel.h"

#define SETTLE_MS 20000
#define DAEMON    "qemu-storage-daemon"
#define LISTEN_FD 3 /* in the daemon */

bool backend_is_installed(void)
{
    const char *path = getenv("PATH");
    char file[4096];

    while (path != NULL && *path != '\0') {
        size_t len = strcspn(path, ":");

        snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, DAEMON);
        if (access(file, X_OK) == 0)
            return true;
        path += len + (path[len] == ':');
    }
    return false;
}

int backend_init(struct backend *backend, uint64_t len, unsigned nr_queues)
{
    const char *tmp = getenv("TMPDIR");
    int fd, err = 0;

    *backend = (struct backend){.len = len, .nr_queues = nr_queues};
    if (tmp == NULL || strlen(tmp) > 32) /* a socket's path is short */
        tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(backend->dir, sizeof(backend->dir), "%s/vhost-dm-test-XXXXXX", tmp);
    if (mkdtemp(backend->dir) == NULL)
        return -errno;
    snprintf(backend->socket, sizeof(backend->socket), "%s/socket", backend->dir);
    snprintf(backend->image, sizeof(backend->image), "%s/image", backend->dir);
    fd = open(backend->image, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)len) < 0)
        err = -errno;
    close(fd);
    return err;
}

void backend_free(struct backend *backend)
{
    backend_kill(backend);
    unlink(backend->socket);
    unlink(backend->image);
    rmdir(backend->dir);
}

static int listen_at(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

    if (fd < 0)
        return -errno;
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    unlink(path);
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(fd, 4) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

/* The daemon's requests take half the time with io_uring; not every kernel and container has it. */
static const char *aio_choose(void)
{
    const char *aio = getenv("VHOST_DM_TEST_AIO");

    if (aio != NULL)
        return aio;
    return syscall(__NR_io_uring_setup, 0, NULL) < 0 && (errno == ENOSYS || errno == EPERM) ? "threads"
                                                                                            : "io_uring";
}

static void daemon_exec(const struct backend *backend, int listen_fd)
{
    char blockdev[256], export[256];

    snprintf(blockdev, sizeof(blockdev), "driver=file,filename=%s,node-name=f0,discard=unmap,aio=%s",
             backend->image, aio_choose());
    snprintf(export, sizeof(export),
             "type=vhost-user-blk,id=e0,node-name=f0,addr.type=fd,addr.str=%d,writable=on,num-queues=%u",
             LISTEN_FD, backend->nr_queues);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (listen_fd == LISTEN_FD)
        fcntl(listen_fd, F_SETFD, 0);
    else
        dup2(listen_fd, LISTEN_FD);
    execlp(DAEMON, DAEMON, "--blockdev", blockdev, "--export", export, (char *)NULL);
    perror(DAEMON);
    _exit(127);
}

int backend_start(struct backend *backend)
{
    int fd = listen_at(backend->socket);
    pid_t pid;
    int err;

    if (fd < 0)
        return fd;
    pid = fork();
    if (pid == 0)
        daemon_exec(backend, fd);
    err = pid < 0 ? -errno : 0;
    close(fd);
    backend->pid = pid > 0 ? pid : 0;
    return err;
}

void backend_kill(struct backend *backend)
{
    if (backend->pid == 0)
        return;
    kill(backend->pid, SIGKILL);
    waitpid(backend->pid, NULL, 0);
    backend->pid = 0;
}

/* Asks for the features, as any front-end does first. 0; -ECONNRESET: it died; -ETIMEDOUT. */
static int ask_features(const char *path)
{
    struct vhost_user_channel *channel;
    struct vhost_user_msg msg;
    int err = vhost_user_channel_connect_wait(&channel, path, "probe", SETTLE_MS);

    if (err < 0)
        return err;
    vhost_user_msg_init(&msg, VHOST_USER_GET_FEATURES, 0);
    err = vhost_user_channel_send_wait(channel, &msg, SETTLE_MS);
    if (err == 0)
        err = vhost_user_channel_receive_wait(channel, &msg, SETTLE_MS);
    if (err == 0)
        vhost_user_msg_close_fds(&msg);
    vhost_user_channel_free(channel);
    return err;
}

int backend_settle(struct backend *backend)
{
    int err = ask_features(backend->socket);

    if (err != -ECONNRESET && err != -ECONNREFUSED && err != -EPIPE)
        return err;
    backend_kill(backend);
    return backend_start(backend);
}

void backend_pause(struct backend *backend)
{
    kill(backend->pid, SIGSTOP);
    waitpid(backend->pid, NULL, WUNTRACED);
}

void backend_continue(struct backend *backend)
{
    kill(backend->pid, SIGCONT);
}

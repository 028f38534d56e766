// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shm_user.c - a program that has shared memory and does with it what a test tells it (shm_user.h). "lib": by
 * libvhost-dm-shm, which with "strict" must not give it ordinary memory; "plain": by the C library alone,
 * with or without libvhost-dm-shm-preload.so.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/shm/shm_user.h"
#include "lib/vhost-dm-shm.h"

static bool by_library;
static unsigned alloc_flags;
static char *map = MAP_FAILED;
static size_t map_len;
static int held_fd = -1;

static void answer(int64_t error, uint64_t value, int fd)
{
    struct shm_user_answer a = {error, value};
    struct iovec iov = {&a, sizeof(a)};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd >= 0) {
        struct cmsghdr *cmsg;

        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
    }
    if (sendmsg(0, &msg, 0) < 0)
        _exit(2);
}

static void result(bool good, uint64_t value)
{
    answer(good ? 0 : -errno, value, -1);
}

static int alloc_plain(size_t len)
{
    int fd = memfd_create("plain", MFD_CLOEXEC);

    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)len) == 0)
        map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        return fd;
    close(fd);
    return -1;
}

static void op_alloc(size_t len)
{
    int fd;

    if (by_library) {
        void *ptr;

        fd = vhost_dm_shm_alloc(len, alloc_flags, &ptr);
        if (fd >= 0)
            map = ptr;
    } else {
        fd = alloc_plain(len);
    }
    map_len = len;
    held_fd = fd;
    answer(fd < 0 ? -errno : 0, fd >= 0 ? (uint64_t)vhost_dm_shm_is_shared(fd) : 0, fd);
}

static void op_map(const struct shm_user_request *q, int fd)
{
    if (q->op == USER_MAP_PRIVATE)
        map = mmap(NULL, q->b, (int)q->c, MAP_PRIVATE, fd, (off_t)q->a);
    else if (by_library)
        map = vhost_dm_shm_map(fd, (off_t)q->a, q->b, (int)q->c);
    else
        map = mmap(NULL, q->b, (int)q->c, MAP_SHARED, fd, (off_t)q->a);
    map_len = q->b;
    held_fd = fd;
    result(map != MAP_FAILED, 0);
}

static void op_unmap(const struct shm_user_request *q)
{
    size_t len = q->b > 0 ? q->b : map_len;
    char *at = map + q->a;

    result((by_library ? vhost_dm_shm_unmap(at, len) : munmap(at, len)) == 0, 0);
}

static void op_remap(size_t len)
{
    char *moved = mremap(map, map_len, len, MREMAP_MAYMOVE);

    if (moved != MAP_FAILED) {
        map = moved;
        map_len = len;
    }
    result(moved != MAP_FAILED, 0);
}

static void op_fork_read(const struct shm_user_request *q)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        unsigned char byte = (unsigned char)map[q->a];

        map[q->a] = (char)q->b;
        _exit(byte);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        answer(-ECHILD, 0, -1);
    else
        answer(0, (uint64_t)WEXITSTATUS(status), -1);
}

static void op_fork_on(void)
{
    pid_t pid = fork();

    if (pid > 0)
        _exit(0);
    result(pid == 0, (uint64_t)getpid());
}

/* As programs do that start others. */
static void op_vfork_close(void)
{
    pid_t pid = vfork();

    if (pid == 0) {
        close(held_fd);
        _exit(0);
    }
    result(pid > 0 && waitpid(pid, NULL, 0) == pid, 0);
}

static void op_vfork_dup(void)
{
    pid_t pid = vfork();

    if (pid == 0) {
        dup2(0, held_fd);
        _exit(0);
    }
    result(pid > 0 && waitpid(pid, NULL, 0) == pid, 0);
}

static void serve(const struct shm_user_request *q, int fd)
{
    unsigned char byte = 0;

    switch ((enum shm_user_op)q->op) {
    case USER_ALLOC:
        op_alloc(q->a);
        return;
    case USER_MAP:
    case USER_MAP_PRIVATE:
        op_map(q, fd);
        return;
    case USER_WRITE:
        map[q->a] = (char)q->b;
        result(true, 0);
        return;
    case USER_READ:
        result(true, (unsigned char)map[q->a]);
        return;
    case USER_UNMAP:
        op_unmap(q);
        return;
    case USER_REMAP:
        op_remap(q->a);
        return;
    case USER_MAP_OVER:
        result(mmap(map, map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
                   map,
               0);
        return;
    case USER_PROTECT:
        result(mprotect(map, map_len, (int)q->a) == 0, 0);
        return;
    case USER_CLOSE:
        result((by_library ? vhost_dm_shm_free(held_fd, NULL, 0) : close(held_fd)) == 0, 0);
        return;
    case USER_TRUNCATE:
        result(ftruncate(held_fd, (off_t)q->a) == 0, 0);
        return;
    case USER_PUNCH:
        result(fallocate(held_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)q->a, (off_t)q->b) == 0,
               0);
        return;
    case USER_PWRITE:
        byte = (unsigned char)q->b;
        result(pwrite(held_fd, &byte, 1, (off_t)q->a) == 1, 0);
        return;
    case USER_PREAD:
        if (pread(held_fd, &byte, 1, (off_t)q->a) != 1)
            result(false, 0);
        else
            result(true, byte);
        return;
    case USER_FORK_READ:
        op_fork_read(q);
        return;
    case USER_FORK_ON:
        op_fork_on();
        return;
    case USER_VFORK_CLOSE:
        op_vfork_close();
        return;
    case USER_VFORK_DUP:
        op_vfork_dup();
        return;
    case USER_COPY:
        held_fd = fcntl(held_fd, F_DUPFD_CLOEXEC, 100);
        result(held_fd >= 100, 0);
        return;
    case USER_CLOSE_ALL:
        for (int i = 3; i < 64; i++)
            close(i);
        result(true, 0);
        return;
    }
    answer(-ENOSYS, 0, -1);
}

int main(int argc, char **argv)
{
    by_library = argc > 1 && strcmp(argv[1], "plain") != 0;
    alloc_flags = by_library && strcmp(argv[1], "strict") == 0 ? VHOST_DM_SHM_STRICT : 0;
    for (;;) {
        struct shm_user_request q;
        struct iovec iov = {&q, sizeof(q)};
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        struct msghdr msg = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        const struct cmsghdr *cmsg;
        int fd = -1;

        if (recvmsg(0, &msg, MSG_CMSG_CLOEXEC) != sizeof(q))
            return 0;
        cmsg = CMSG_FIRSTHDR(&msg);
        if (cmsg != NULL && cmsg->cmsg_type == SCM_RIGHTS)
            memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
        serve(&q, fd);
    }
}

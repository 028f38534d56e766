// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_device_memory.c - dm/device_memory.c: what is no device's memory is told from it at once, also when
 * the file is in a file system whose server does not answer (FUSE), as a back-end's own may be.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dm/device_memory.h"
#include "tests/unit/unit.h"

#define SECONDS 10

static void answer(int server, const struct fuse_in_header *in, const void *data, size_t len)
{
    char reply[256];
    struct fuse_out_header head = {.len = (uint32_t)(sizeof(head) + len), .unique = in->unique};

    memcpy(reply, &head, sizeof(head));
    memcpy(reply + sizeof(head), data, len);
    if (write(server, reply, head.len) != (ssize_t)head.len)
        _exit(1);
}

/* The one file of it can be opened; what else is asked of it is not answered. It ends in any case: who waits
 * for an answer until then cannot be killed. */
static void serve(int server)
{
    static char request[FUSE_MIN_READ_BUFFER * 32];
    struct fuse_in_header in;

    signal(SIGALRM, SIG_DFL);
    alarm(SECONDS);
    while (read(server, request, sizeof(request)) >= (ssize_t)sizeof(in)) {
        memcpy(&in, request, sizeof(in));
        if (in.opcode == FUSE_INIT) {
            struct fuse_init_out init = {
                .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = 4096};

            answer(server, &in, &init, sizeof(init));
        } else if (in.opcode == FUSE_OPEN) {
            struct fuse_open_out open_out = {.fh = 1};

            answer(server, &in, &open_out, sizeof(open_out));
        }
    }
    _exit(0);
}

/* Puts such a file at the path. The process that serves it, which alone has the file system; -1: there can be
 * none here. */
static pid_t fuse_start(const char *path)
{
    char options[128];
    pid_t pid = -1;
    int server = open("/dev/fuse", O_RDWR | O_CLOEXEC);

    if (server < 0)
        return -1;
    snprintf(options, sizeof(options), "fd=%d,rootmode=100644,user_id=0,group_id=0", server);
    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("test", path, "fuse", MS_NOSUID | MS_NODEV, options) == 0)
        pid = fork();
    if (pid == 0)
        serve(server);
    close(server);
    return pid;
}

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

START_TEST(server_does_not_answer)
{
    char path[] = "/tmp/vhost-dm-test.XXXXXX";
    int file = mkstemp(path), fd, rc = -ENODEV;
    double start = now();
    uint64_t addr = 1;
    pid_t pid;

    ck_assert_int_ge(file, 0);
    pid = fuse_start(path);
    if (pid > 0) {
        fd = open(path, O_RDWR | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        rc = device_memory_find(fd, 0, 4096, &addr);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        close(fd);
        umount2(path, MNT_DETACH);
    } else {
        fprintf(stderr, "no FUSE here (%s): this is not tested\n", strerror(errno));
    }
    close(file);
    unlink(path);
    ck_assert_int_eq(rc, -ENODEV);
    ck_assert(now() - start < SECONDS);
}
END_TEST

START_TEST(no_device)
{
    const int fds[] = {memfd_create("test", MFD_CLOEXEC),
                       eventfd(0, EFD_CLOEXEC),
                       open("/dev/null", O_RDWR),
                       open("/", O_RDONLY | O_DIRECTORY),
                       open("/sys/kernel/uevent_seqnum", O_RDONLY),
                       -1};
    uint64_t addr = 1;

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        ck_assert_int_eq(device_memory_find(fds[i], 0, 4096, &addr), -ENODEV);
        ck_assert_uint_eq(addr, 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("device memory");
    TCase *tcase = tcase_create("device memory");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, server_does_not_answer);
    tcase_add_test(tcase, no_device);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}

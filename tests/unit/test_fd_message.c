// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_fd_message.c - what a process of this host may send in the place of a datagram with one fd: no fd
 * stays open, and the next message is read as it is.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd_keep.h"
#include "common/fd_message.h"
#include "tests/unit/fds.h"
#include "tests/unit/unit.h"

static int both[2], file;

static void pair_make(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both), 0);
    file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(file, 0);
}

static void pair_close(void)
{
    close(both[0]);
    close(both[1]);
    close(file);
}

/* A datagram with so many copies of the fd. */
static void send_many(size_t len, unsigned nr_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control = {.bytes = {0}};
    char data[64] = "";
    struct iovec iov = {data, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (nr_fds > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
        CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
        CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
        CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
        for (unsigned i = 0; i < nr_fds; i++)
            memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)) + i * sizeof(int), &file, sizeof(file));
    }
    ck_assert_int_eq(sendmsg(both[0], &msg, 0), (ssize_t)len);
}

START_TEST(test_there_and_back)
{
    char sent[16] = "fifteen letters", got[16];
    struct stat a, b;
    int fd;

    pair_make();
    ck_assert_int_eq(fd_message_receive(both[1], got, sizeof(got), &fd, MSG_DONTWAIT), -EAGAIN);
    ck_assert_int_eq(fd_message_send(both[0], sent, sizeof(sent), file, 0), 0);
    ck_assert_int_eq(fd_message_receive(both[1], got, sizeof(got), &fd, 0), 0);
    ck_assert_mem_eq(got, sent, sizeof(got));
    ck_assert_int_ge(fd, 0);
    ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    ck_assert(fstat(fd, &a) == 0 && fstat(file, &b) == 0 && a.st_rdev == b.st_rdev);
    close(fd);
    ck_assert_int_eq(fd_message_send(both[0], sent, sizeof(sent), -1, 0), 0);
    ck_assert_int_eq(fd_message_receive(both[1], got, sizeof(got), &fd, 0), 0);
    ck_assert_int_eq(fd, -1);
    close(both[0]);
    both[0] = dup(file);
    ck_assert_int_eq(fd_message_receive(both[1], got, sizeof(got), &fd, 0), -EPIPE);
    ck_assert_int_eq(fd_message_send(both[1], sent, sizeof(sent), -1, 0), -EPIPE);
    pair_close();
}
END_TEST

START_TEST(test_wrong_ones)
{
    static const struct {
        size_t len;
        unsigned nr_fds;
        int rc;
    } cases[] = {{16, 2, -EPROTO}, {16, 3, -EPROTO}, {16, 8, -EPROTO}, {15, 0, -EPROTO}, {17, 0, -EPROTO},
                 {15, 1, -EPROTO}, {17, 1, -EPROTO}, {1, 2, -EPROTO},  {16, 1, 0}};
    int before;
    char got[16];
    int fd;

    pair_make();
    before = fds_count();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        send_many(cases[i].len, cases[i].nr_fds);
        ck_assert_int_eq(fd_message_receive(both[1], got, sizeof(got), &fd, 0), cases[i].rc);
        ck_assert_int_eq(fd >= 0, cases[i].rc == 0);
        if (fd >= 0)
            close(fd);
        ck_assert_int_eq(fds_count(), before);
        ck_assert_int_eq(fd_message_send(both[0], "the next message", 16, -1, 0), 0);
        ck_assert_int_eq(fd_message_receive(both[1], got, sizeof(got), &fd, 0), 0);
        ck_assert_mem_eq(got, "the next message", 16);
    }
    pair_close();
}
END_TEST

/* A process that has no fd left gets the data, and no end of the connection. */
START_TEST(test_no_place)
{
    struct rlimit all, none;
    char got[16] = "";
    int fd, kept;

    pair_make();
    send_many(16, 1);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = all;
    none.rlim_cur = (rlim_t)fcntl(file, F_DUPFD_CLOEXEC, 0);
    close((int)none.rlim_cur);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_int_eq(fd_message_receive(both[1], got, sizeof(got), &fd, 0), -EMFILE);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(fd_keep(file), -EMFILE);
    /* What is left is not for those who ask from outside. */
    none.rlim_cur++;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_int_eq(fd_keep(file), -EMFILE);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &all), 0);
    kept = fd_keep(file);
    ck_assert_int_ge(kept, 0);
    close(kept);
    send_many(16, 1);
    ck_assert_int_eq(fd_message_receive(both[1], got, sizeof(got), &fd, 0), 0);
    close(fd);
    pair_close();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("messages with an fd");
    TCase *tcase = tcase_create("messages");

    tcase_add_test(tcase, test_there_and_back);
    tcase_add_test(tcase, test_wrong_ones);
    tcase_add_test(tcase, test_no_place);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}

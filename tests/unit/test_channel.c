// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_channel.c - the channel for messages and fds against a raw socket that does everything a hostile peer
 * can: bytes one at a time, fds at wrong places, too many of them, sizes that lie, not reading, closing. Each
 * test ends with as many open fds as it began with.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "common/vhost_user_channel.h"
#include "tests/unit/fds.h"
#include "tests/unit/unit.h"

static struct vhost_user_channel *channel;
static struct vhost_user_msg msg;
static int raw = -1; /* the peer */
static int spare;    /* what is sent when an fd is */
static int fds_before;

static void setup(void)
{
    int pair[2];

    fds_before = fds_count();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    ck_assert_int_eq(vhost_user_channel_new(&channel, pair[0], VHOST_USER_FRONTEND, "test"), 0);
    raw = pair[1];
    spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(spare, 0);
}

static void teardown(void)
{
    vhost_user_channel_free(channel);
    if (raw >= 0)
        close(raw);
    close(spare);
    ck_assert_int_eq(fds_count(), fds_before);
}

/* Sends bytes from the raw side, with fds. */
static void raw_send(const void *bytes, size_t len, unsigned nr_fds)
{
    union {
        char bytes[CMSG_SPACE(32 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {.iov_base = (void *)bytes, .iov_len = len};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

    if (nr_fds > 0) {
        struct cmsghdr *c;
        int fds[32];

        for (unsigned i = 0; i < nr_fds; i++)
            fds[i] = spare;
        mh.msg_control = &control;
        mh.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
        c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, nr_fds * sizeof(int));
    }
    ck_assert_int_eq(sendmsg(raw, &mh, MSG_NOSIGNAL), (ssize_t)len);
}

/* A message as it goes over the wire, with a payload that counts up. Returns its length. */
static size_t wire(uint8_t *buf, uint32_t request, uint32_t size)
{
    struct vhost_user_header h = {.request = request, .flags = VHOST_USER_VERSION, .size = size};

    memcpy(buf, &h, sizeof(h));
    for (uint32_t i = 0; i < size; i++)
        buf[sizeof(h) + i] = (uint8_t)i;
    return sizeof(h) + size;
}

static void check_received(uint32_t request, uint32_t size, unsigned nr_fds)
{
    unit_expect_eq(msg.header.request, request);
    unit_expect_eq(msg.header.size, size);
    unit_expect_eq(msg.nr_fds, nr_fds);
    for (uint32_t i = 0; i < size; i++)
        unit_expect_eq(msg.payload.bytes[i], (uint8_t)i);
    for (unsigned i = 0; i < nr_fds; i++)
        unit_expect((fcntl(msg.fds[i], F_GETFD) & FD_CLOEXEC) != 0);
    vhost_user_msg_close_fds(&msg);
}

START_TEST(test_round_trip)
{
    uint8_t buf[64];
    size_t len = wire(buf, VHOST_USER_SET_VRING_NUM, 8);

    ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 0);
    raw_send(buf, len, 2);
    ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 1);
    check_received(VHOST_USER_SET_VRING_NUM, 8, 2);

    vhost_user_msg_init(&msg, VHOST_USER_SET_VRING_NUM, 8);
    memcpy(msg.payload.bytes, buf + 12, 8);
    ck_assert_int_eq(vhost_user_channel_send(channel, &msg), 0);
    ck_assert_uint_eq(vhost_user_channel_pending(channel), 0);
    memset(buf, 0, sizeof(buf));
    ck_assert_int_eq(read(raw, buf, sizeof(buf)), (ssize_t)len);
    ck_assert_mem_eq(buf + 12, msg.payload.bytes, 8);
    ck_assert_str_eq(vhost_user_channel_error(channel), "");
}
END_TEST

START_TEST(test_byte_at_a_time)
{
    uint8_t buf[12 + 40];

    for (unsigned round = 0; round < 3; round++) {
        size_t len = wire(buf, VHOST_USER_SET_VRING_ADDR, round == 2 ? 0 : 40);

        for (size_t i = 0; i < len; i++) {
            ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 0);
            raw_send(buf + i, 1, i == 0 ? round * 3 : 0);
        }
        ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 1);
        check_received(VHOST_USER_SET_VRING_ADDR, round == 2 ? 0 : 40, round * 3);
    }
}
END_TEST

/* Many messages in one write: each is taken apart, and fds stay with theirs. */
START_TEST(test_glued)
{
    uint8_t buf[3 * 64];
    size_t len = 0;

    len += wire(buf + len, 1, 8);
    len += wire(buf + len, 2, 0);
    raw_send(buf, len, 0);
    raw_send(buf, wire(buf, 3, 16), 1);
    raw_send(buf, wire(buf, 4, 0), 8);
    raw_send(buf, wire(buf, 5, 4), 0);
    ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 1);
    check_received(1, 8, 0);
    ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 1);
    check_received(2, 0, 0);
    ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 1);
    check_received(3, 16, 1);
    ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 1);
    check_received(4, 0, 8);
    ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 1);
    check_received(5, 4, 0);
    ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 0);
}
END_TEST

/* The channel is finished, says so again and again, and holds no fds. */
static void check_finished(int err, const char *why, int fds)
{
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), err);
        ck_assert_int_eq(vhost_user_channel_flush(channel), err);
        ck_assert_int_eq(vhost_user_channel_send(channel, &msg), err);
    }
    ck_assert_ptr_nonnull(strstr(vhost_user_channel_error(channel), why));
    ck_assert_int_eq(fds_count(), fds);
}

START_TEST(test_too_many_fds)
{
    uint8_t buf[64];
    int fds = fds_count();

    raw_send(buf, wire(buf, VHOST_USER_SET_MEM_TABLE, 8), _i);
    check_finished(-EPROTO, "more than 8 fds", fds);
}
END_TEST

START_TEST(test_fds_in_the_middle)
{
    uint8_t buf[64];
    size_t len = wire(buf, VHOST_USER_SET_MEM_TABLE, 8);
    int fds = fds_count();

    /* _i bytes without, the rest with: within the header, at its end, within the payload. The first part is
     * taken before the second comes, or the kernel would join them. The first may have fds of its own. */
    raw_send(buf, (size_t)_i, 3);
    ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 0);
    raw_send(buf + _i, len - (size_t)_i, 2);
    check_finished(-EPROTO, "in the middle", fds);
}
END_TEST

START_TEST(test_oversize)
{
    struct vhost_user_header h = {
        .request = 1, .flags = VHOST_USER_VERSION, .size = VHOST_USER_MAX_PAYLOAD + 1};
    uint8_t buf[12 + VHOST_USER_MAX_PAYLOAD];
    int fds = fds_count();

    /* The largest that is allowed; a stream socket may deliver it in pieces. */
    raw_send(buf, wire(buf, 1, VHOST_USER_MAX_PAYLOAD), 1);
    ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 1);
    check_received(1, VHOST_USER_MAX_PAYLOAD, 1);
    if (_i > 0)
        h.size = UINT32_MAX;
    raw_send(&h, sizeof(h), 4);
    check_finished(-EPROTO, "announces", fds);
}
END_TEST

START_TEST(test_version)
{
    static const uint32_t flags[] = {0, 2, 3, VHOST_USER_FLAG_REPLY, 0xfffffffe};
    struct vhost_user_header h = {.request = 1, .flags = flags[_i]};
    int fds = fds_count();

    raw_send(&h, sizeof(h), 1);
    check_finished(-EPROTO, "version", fds);
}
END_TEST

/* The peer closes after each number of bytes of a message with fds. */
START_TEST(test_close)
{
    uint8_t buf[64];
    size_t len = wire(buf, VHOST_USER_SET_MEM_TABLE, 8);
    int fds = fds_count();

    if (_i > 0)
        raw_send(buf, (size_t)_i, 2);
    close(raw);
    raw = -1;
    if ((size_t)_i == len) {
        ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 1);
        vhost_user_msg_close_fds(&msg);
    }
    check_finished(-ECONNRESET, _i > 0 && (size_t)_i < len ? "in the middle" : "has closed", fds - 1);
}
END_TEST

/* A message that is half received, or received and never asked for, is freed with the channel (see teardown).
 */
START_TEST(test_free_incomplete)
{
    uint8_t buf[64];
    size_t len = wire(buf, VHOST_USER_SET_MEM_TABLE, 8);

    raw_send(buf, len - 1, 8);
    ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 0);
    vhost_user_msg_init(&msg, VHOST_USER_SET_MEM_TABLE, VHOST_USER_MAX_PAYLOAD);
    memset(&msg.payload, 0, sizeof(msg.payload));
    msg.nr_fds = 2;
    msg.fds[0] = msg.fds[1] = raw;
    while (vhost_user_channel_pending(channel) < 3)
        ck_assert_int_eq(vhost_user_channel_send(channel, &msg), 0);
}
END_TEST

/* Short and long ones by turns, so that a small buffer is full in the middle of a long one. */
static uint32_t queue_size(unsigned i)
{
    return i % 2 == 0 ? 8 : VHOST_USER_MAX_PAYLOAD - i % 7;
}

/* A peer that does not read: messages wait, with fds of their own, up to the limit; then all arrive in order.
 * With a small buffer (_i) the socket takes parts of messages, whose fds must not be sent again with the
 * rest. */
START_TEST(test_queue)
{
    struct vhost_user_channel *peer;
    unsigned sent = 0, received = 0;
    int fds[2], err, fds_open, small = 1;

    if (_i > 0)
        ck_assert_int_eq(
            setsockopt(vhost_user_channel_fd(channel), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);

    ck_assert_int_eq(vhost_user_channel_new(&peer, raw, VHOST_USER_FRONTEND, "peer"), 0);
    raw = -1;
    memset(&msg.payload, 0, sizeof(msg.payload));
    for (;;) {
        struct stat st;

        vhost_user_msg_init(&msg, 1 + sent, queue_size(sent));
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        msg.nr_fds = 1;
        msg.fds[0] = fds[0];
        ck_assert_int_eq(fstat(fds[0], &st), 0);
        memcpy(msg.payload.bytes, &st.st_ino, sizeof(st.st_ino));
        err = vhost_user_channel_send(channel, &msg);
        close(fds[0]);
        close(fds[1]);
        if (err < 0)
            break;
        sent++;
    }
    ck_assert_int_eq(err, -ENOBUFS);
    ck_assert_uint_eq(vhost_user_channel_pending(channel), VHOST_USER_CHANNEL_MAX_QUEUED);
    ck_assert_int_eq(vhost_user_channel_flush(channel), -EAGAIN);
    while (received < sent) {
        struct stat st;
        ino_t ino;

        vhost_user_channel_flush(channel);
        ck_assert_int_eq(vhost_user_channel_receive_wait(peer, &msg, 1000), 0);
        ck_assert_uint_eq(msg.header.request, 1 + received);
        ck_assert_uint_eq(msg.header.size, queue_size(received));
        ck_assert_uint_eq(msg.nr_fds, 1);
        ck_assert_int_eq(fstat(msg.fds[0], &st), 0);
        memcpy(&ino, msg.payload.bytes, sizeof(ino));
        ck_assert_uint_eq(ino, st.st_ino);
        vhost_user_msg_close_fds(&msg);
        received++;
    }
    ck_assert_uint_eq(vhost_user_channel_pending(channel), 0);
    fds_open = fds_count();
    vhost_user_channel_free(peer);
    ck_assert_int_eq(fds_count(), fds_open - 1);
}
END_TEST

START_TEST(test_send_to_closed)
{
    int fds = fds_count();

    close(raw);
    raw = -1;
    vhost_user_msg_init(&msg, 1, 0);
    /* SIGPIPE would end the test here. */
    ck_assert_int_eq(vhost_user_channel_send(channel, &msg), -ECONNRESET);
    check_finished(-ECONNRESET, "has closed", fds - 1);
}
END_TEST

START_TEST(test_send_invalid)
{
    char c;

    vhost_user_msg_init(&msg, 1, VHOST_USER_MAX_PAYLOAD + 1);
    ck_assert_int_eq(vhost_user_channel_send(channel, &msg), -EINVAL);
    vhost_user_msg_init(&msg, 1, 0);
    msg.nr_fds = VHOST_USER_MAX_FDS + 1;
    ck_assert_int_eq(vhost_user_channel_send(channel, &msg), -EINVAL);
    ck_assert_int_eq(recv(raw, &c, 1, MSG_DONTWAIT), -1);
    ck_assert_str_eq(vhost_user_channel_error(channel), "");
}
END_TEST

static void limit_fds(rlim_t more)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)fds_count() + more;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* No room for the fds of a message: it is received without any, and the channel works on. */
START_TEST(test_no_room_for_fds)
{
    const char *preload = getenv("LD_PRELOAD");
    struct rlimit limit;
    uint8_t buf[64];
    int fds = fds_count();

    /* Under valgrind the limit is not the kernel's, which is what matters here. */
    if (preload != NULL && strstr(preload, "vgpreload") != NULL)
        return;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit_fds(2);
    raw_send(buf, wire(buf, 1, 8), 5);
    ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 1);
    ck_assert(msg.fds_lost);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    check_received(1, 8, 0);
    ck_assert_int_eq(fds_count(), fds);
    raw_send(buf, wire(buf, 1, 8), 5);
    ck_assert_int_eq(vhost_user_channel_receive(channel, &msg), 1);
    ck_assert(!msg.fds_lost);
    check_received(1, 8, 5);
}
END_TEST

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

START_TEST(test_time_limits)
{
    int64_t begin = now_ms();
    uint8_t buf[64];
    size_t len = wire(buf, 1, 8);
    int err;

    ck_assert_int_eq(vhost_user_channel_receive_wait(channel, &msg, 50), -ETIMEDOUT);
    ck_assert_int_ge(now_ms() - begin, 50);
    /* A part of a message does not make the time longer, and is not lost when it is over. */
    raw_send(buf, 5, 1);
    begin = now_ms();
    ck_assert_int_eq(vhost_user_channel_receive_wait(channel, &msg, 50), -ETIMEDOUT);
    ck_assert_int_ge(now_ms() - begin, 50);
    ck_assert_int_lt(now_ms() - begin, 5000);
    raw_send(buf + 5, len - 5, 0);
    ck_assert_int_eq(vhost_user_channel_receive_wait(channel, &msg, 50), 0);
    check_received(1, 8, 1);

    vhost_user_msg_init(&msg, 1, VHOST_USER_MAX_PAYLOAD);
    memset(&msg.payload, 0, sizeof(msg.payload));
    do
        err = vhost_user_channel_send_wait(channel, &msg, 20);
    while (err == 0);
    ck_assert_int_eq(err, -ETIMEDOUT);
    close(raw);
    raw = -1;
    ck_assert_int_eq(vhost_user_channel_send_wait(channel, &msg, 1000), -ECONNRESET);
}
END_TEST

START_TEST(test_connect)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct vhost_user_channel *c[4];
    char dir[] = "/tmp/vhost-dm-test-XXXXXX", path[200];
    int64_t begin;
    int fd, err;
    unsigned n;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/sock", dir);
    ck_assert_int_eq(vhost_user_channel_connect(&c[0], path, "test"), -ENOENT);
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    ck_assert_int_eq(vhost_user_channel_connect(&c[0], path, "test"), -ENAMETOOLONG);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", dir);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(vhost_user_channel_connect(&c[0], addr.sun_path, "test"), -ECONNREFUSED);
    ck_assert_int_eq(listen(fd, 0), 0);
    for (n = 0; n < ARRAY_SIZE(c); n++) {
        err = vhost_user_channel_connect(&c[n], addr.sun_path, "test");
        if (err < 0)
            break;
    }
    ck_assert_int_eq(err, -EAGAIN);
    begin = now_ms();
    ck_assert_int_eq(vhost_user_channel_connect_wait(&c[n], addr.sun_path, "test", 50), -ETIMEDOUT);
    ck_assert_int_ge(now_ms() - begin, 45);
    while (n > 0)
        vhost_user_channel_free(c[--n]);
    close(fd);
    unlink(addr.sun_path);
    rmdir(dir);
}
END_TEST

/* Random bytes, random pieces, random fds: no crash, no leak, and in the end always an error or nothing. */
START_TEST(test_random)
{
    unsigned long rounds = unit_count(2000);

    teardown();
    unit_random_start();
    for (unsigned long i = 0; i < rounds; i++) {
        setup();
        for (unsigned k = 0; k < 20; k++) {
            uint8_t buf[96];
            size_t len = wire(buf, (uint32_t)unit_random_below(50), (uint32_t)unit_random_below(80)), at = 0;

            if (unit_random_below(4) == 0)
                buf[unit_random_below(12)] = (uint8_t)unit_random();
            while (at < len) {
                size_t part = 1 + unit_random_below(len - at);
                bool fds = at == 0 ? unit_random_below(2) : unit_random_below(30) == 0;

                raw_send(buf + at, part, fds ? (unsigned)unit_random_below(11) : 0);
                at += part;
                while (unit_random_below(2) == 0 && vhost_user_channel_receive(channel, &msg) > 0)
                    vhost_user_msg_close_fds(&msg);
            }
        }
        while (vhost_user_channel_receive(channel, &msg) > 0)
            vhost_user_msg_close_fds(&msg);
        vhost_user_channel_free(channel);
        close(raw);
        close(spare);
        unit_expect_eq(fds_count(), fds_before);
    }
    setup();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("channel");
    TCase *tc = tcase_create("channel");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_round_trip);
    tcase_add_test(tc, test_byte_at_a_time);
    tcase_add_test(tc, test_glued);
    tcase_add_loop_test(tc, test_too_many_fds, VHOST_USER_MAX_FDS + 1, 33);
    tcase_add_loop_test(tc, test_fds_in_the_middle, 1, 20);
    tcase_add_loop_test(tc, test_oversize, 0, 2);
    tcase_add_loop_test(tc, test_version, 0, 5);
    tcase_add_loop_test(tc, test_close, 0, 21);
    tcase_add_test(tc, test_free_incomplete);
    tcase_add_loop_test(tc, test_queue, 0, 2);
    tcase_add_test(tc, test_send_to_closed);
    tcase_add_test(tc, test_send_invalid);
    tcase_add_test(tc, test_no_room_for_fds);
    tcase_add_test(tc, test_time_limits);
    tcase_add_test(tc, test_connect);
    tcase_add_test(tc, test_random);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}

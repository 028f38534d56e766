// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_control_hostile.c - what is wrong, or meant badly, on the control socket: it is refused in a line, or
 * the connection ends, and everybody else is served.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/local/control_rig.h"
#include "tests/unit/unit.h"

#define SKIPPED        77 /* to automake */
#define SECONDS_A_TEST 120.0
#define NOBODY         65534

static struct control_rig rig;

static void setup(void)
{
    control_rig_init(&rig);
    control_rig_open(&rig);
}

static void teardown(void)
{
    control_rig_close(&rig);
    control_rig_fini(&rig);
}

static void expect_alive(void)
{
    struct json_object *answer = ask_ok(&rig, "{\"command\":\"list\"}");

    ck_assert_str_eq(string_at(answer, "devices.0.name"), "blk0");
    json_object_put(answer);
}

/* ---- requests ----------------------------------------------------------------------------------- */

static const struct {
    const char *request, *why;
} bad[] = {
    {"", "one JSON object a line"},
    {"list", "one JSON object a line"},
    {"[]", "one JSON object a line"},
    {"null", "one JSON object a line"},
    {"{\"command\":\"list\"", "one JSON object a line"},
    {"{\"command\":\"list\"} {}", "one JSON object a line"},
    {"{'command':'list'}", "one JSON object a line"},
    {"{\"command\":[[[[[[[[]]]]]]]]}", "one JSON object a line"},
    {"{}", "\"command\" must be a string"},
    {"{\"command\":5}", "\"command\" must be a string"},
    {"{\"command\":\"list\\u0000\"}", "\"command\" must be a string"},
    {"{\"command\":\"exec\"}", "unknown command 'exec'; known are: list"},
    {"{\"command\":\"list\",\"guest\":1}", "list has no argument \"guest\""},
    {"{\"command\":\"add\"}", "\"device\" must be a string"},
    {"{\"command\":\"add\",\"device\":{}}", "\"device\" must be a string"},
    {"{\"command\":\"remove\",\"name\":\"blk0\",\"force\":1}", "\"force\" must be true or false"},
    {"{\"command\":\"remove\",\"name\":\"%s%n\\u001b[2J\"}", "no device '%s%n"},
    {"{\"command\":\"regions\",\"from\":\"-1\"}", "\"from\" must be an address"},
    {"{\"command\":\"regions\",\"from\":\"0x1ffffffffffffffff\"}", "\"from\" must be an address"},
    {"{\"command\":\"trace\",\"level\":\"all\"}", "\"level\" must be error"},
};

START_TEST(test_bad_requests)
{
    char *why = ask_refused(&rig, bad[_i].request);

    ck_assert_msg(strstr(why, bad[_i].why) != NULL, "%s: %s", bad[_i].request, why);
    free(why);
    expect_alive();
}
END_TEST

START_TEST(test_too_long)
{
    static char line[3 * CONTROL_MAX_LINE];
    int fd = client_open(&rig);
    char *answer;

    memset(line, 'x', sizeof(line));
    client_send(&rig, fd, line, sizeof(line));
    answer = client_line(&rig, fd);
    ck_assert_ptr_nonnull(strstr(answer, "one line of at most 4096 bytes"));
    free(answer);
    ck_assert_ptr_null(client_line(&rig, fd));
    close(fd);
    expect_alive();
}
END_TEST

/* A device that is as long as can be; every key; nothing of it is left. */
START_TEST(test_long_device)
{
    char request[CONTROL_MAX_LINE], text[OPTIONS_DEVICE_LEN + 100];
    char *why;

    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    snprintf(request, sizeof(request), "{\"command\":\"add\",\"device\":\"%s\"}", text);
    why = ask_refused(&rig, request);
    ck_assert_ptr_nonnull(strstr(why, "longer than 2047 bytes"));
    free(why);
    expect_alive();
}
END_TEST

/* Requests in one piece, and each byte alone: answered in order. */
START_TEST(test_pieces)
{
    static const char both[] = "{\"command\":\"list\"}\n{\"command\":\"none\"}\n{\"command\":\"regions\"}\n";
    int fd = client_open(&rig);

    for (int round = 0; round < 2; round++) {
        static const char *const parts[] = {"\"devices\"", "unknown command", "\"regions\""};

        for (size_t i = 0; round == 1 && i < sizeof(both) - 1; i++) {
            client_send(&rig, fd, both + i, 1);
            guest_os_idle(&rig.os, 0.001);
        }
        if (round == 0)
            client_send(&rig, fd, both, sizeof(both) - 1);
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
            char *line = client_line(&rig, fd);

            ck_assert_ptr_nonnull(strstr(line, parts[i]));
            free(line);
        }
    }
    close(fd);
}
END_TEST

START_TEST(test_noise)
{
    unit_random_start();
    for (unsigned long n = unit_count(300); n > 0; n--) {
        static const char *const seeds[] = {"{\"command\":\"list\"}\n",
                                            "{\"command\":\"regions\",\"from\":\"0x0\"}\n",
                                            "{\"command\":\"remove\",\"name\":\"blk7\",\"force\":true}\n"};
        char data[256];
        size_t len = 1 + unit_random_below(sizeof(data));
        int fd = client_open(&rig);

        for (size_t i = 0; i < len; i++)
            data[i] = (char)unit_random();
        if (unit_random_below(2) == 0) { /* a good one, damaged */
            const char *seed = seeds[unit_random_below(ARRAY_SIZE(seeds))];

            len = strlen(seed);
            memcpy(data, seed, len);
            data[unit_random_below(len)] = (char)unit_random();
        }
        client_send(&rig, fd, data, len);
        if (unit_random_below(2) == 0)
            shutdown(fd, SHUT_WR);
        guest_os_idle(&rig.os, 0.001);
        close(fd);
    }
    expect_alive();
}
END_TEST

/* ---- connections -------------------------------------------------------------------------------- */

START_TEST(test_many)
{
    int fds[4 * CONTROL_MAX_CLIENTS];
    unsigned refused = 0;
    char *line;

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = client_open(&rig);
        guest_os_idle(&rig.os, 0.01);
    }
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        if (i < CONTROL_MAX_CLIENTS) {
            client_send(&rig, fds[i], "{\"command\":\"list\"}\n", 19);
            line = client_line(&rig, fds[i]);
            ck_assert_ptr_nonnull(strstr(line, "\"ok\":true"));
            free(line);
            continue;
        }
        line = client_line(&rig, fds[i]);
        refused += line == NULL || strstr(line, "connections already") != NULL;
        free(line);
    }
    ck_assert_uint_eq(refused, ARRAY_SIZE(fds) - CONTROL_MAX_CLIENTS);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
    guest_os_idle(&rig.os, 0.1);
    expect_alive();
}
END_TEST

/* Closes its side after the request, as a pipe does: gets the answer, and then the end. */
START_TEST(test_half_closed)
{
    char request[512], *line;
    int fd = client_open(&rig);

    snprintf(request, sizeof(request), "{\"command\":\"add\",\"device\":\"%s\"}\n", rig.text[1]);
    client_send(&rig, fd, request, strlen(request));
    shutdown(fd, SHUT_WR);
    line = client_line(&rig, fd);
    ck_assert_ptr_nonnull(strstr(line, "\"name\":\"blk1\""));
    free(line);
    ck_assert_ptr_null(client_line(&rig, fd));
    close(fd);
}
END_TEST

static bool device_is_there(void *ctx)
{
    size_t pos = 0, nr = 0;
    const struct devices_item *item;

    (void)ctx;
    while ((item = devices_next(rig.devices, &pos)) != NULL)
        nr += item->state == DEVICES_PLUGGED;
    return nr == 2;
}

/* Is gone before the answer: what it asked for is done. */
START_TEST(test_gone)
{
    char request[512];
    int fd = client_open(&rig);

    snprintf(request, sizeof(request), "{\"command\":\"add\",\"device\":\"%s\"}\n", rig.text[1]);
    client_send(&rig, fd, request, strlen(request));
    close(fd);
    ck_assert(guest_os_wait(&rig.os, device_is_there, NULL, CONTROL_PATIENCE));
    expect_alive();
}
END_TEST

/* The device model ends while a device is on its way. */
START_TEST(test_ended_meanwhile)
{
    char request[512];
    int fd = client_open(&rig);

    backend_kill(&rig.disks[1]);
    snprintf(request, sizeof(request), "{\"command\":\"add\",\"device\":\"%s,wait=60\"}\n", rig.text[1]);
    client_send(&rig, fd, request, strlen(request));
    guest_os_idle(&rig.os, 0.1);
    close(fd);
}
END_TEST

/* Asks and asks, and never reads: it is dropped, and takes no more memory than its answer. */
START_TEST(test_never_reads)
{
    struct json_object *answer;
    int fd = client_open(&rig), small = 4096;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    for (int i = 0; i < 2000; i++)
        if (send(fd, "{\"command\":\"list\"}\n", 19, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            guest_os_idle(&rig.os, 0.001);
    answer = ask_ok(&rig, "{\"command\":\"list\"}");
    json_object_put(answer);
    close(fd);
    expect_alive();
}
END_TEST

START_TEST(test_only_root)
{
    struct stat st;
    int status, done[2];
    pid_t pid;
    char *line;
    int fd;

    if (geteuid() != 0)
        return;
    ck_assert_int_eq(stat(rig.socket, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    /* Even if somebody else opened it to all. */
    ck_assert_int_eq(chmod(rig.dir, 0755), 0);
    ck_assert_int_eq(chmod(rig.socket, 0666), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, done), 0);
    pid = fork();
    if (pid == 0) {
        struct iovec iov = {"x", 1};
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        struct msghdr msg = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

        if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
            _exit(1);
        fd = client_open(&rig);
        CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
        CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
        CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &fd, sizeof(fd));
        _exit(sendmsg(done[1], &msg, 0) == 1 ? 0 : 1);
    } else {
        struct iovec iov = {&(char){0}, 1};
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        struct msghdr msg = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
        ck_assert_int_eq(recvmsg(done[0], &msg, 0), 1);
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
    }
    client_send(&rig, fd, "{\"command\":\"list\"}\n", 19);
    line = client_line(&rig, fd);
    ck_assert_str_eq(line, "{\"ok\":false,\"error\":\"only root may ask\"}");
    free(line);
    ck_assert_ptr_null(client_line(&rig, fd));
    close(fd);
    close(done[0]);
    close(done[1]);
    expect_alive();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control socket, hostile");
    TCase *tcase = control_rig_tests("control socket, hostile");

    if (tcase == NULL)
        return SKIPPED;
    tcase_set_timeout(tcase, SECONDS_A_TEST);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_bad_requests, 0, ARRAY_SIZE(bad));
    tcase_add_test(tcase, test_too_long);
    tcase_add_test(tcase, test_long_device);
    tcase_add_test(tcase, test_pieces);
    tcase_add_test(tcase, test_noise);
    tcase_add_test(tcase, test_many);
    tcase_add_test(tcase, test_half_closed);
    tcase_add_test(tcase, test_gone);
    tcase_add_test(tcase, test_ended_meanwhile);
    tcase_add_test(tcase, test_never_reads);
    tcase_add_test(tcase, test_only_root);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}

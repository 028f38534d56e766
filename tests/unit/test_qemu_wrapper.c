// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_qemu_wrapper.c - what vhost-dm-qemu is made of: taking the arguments of QEMU apart, the .devices file,
 * and starting a vhost-dm (a shell script here) and waiting for it.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/util.h"
#include "dmd/devices_file.h"
#include "dmd/dm_start.h"
#include "dmd/qemu_args.h"
#include "tests/unit/fds.h"
#include "tests/unit/unit.h"

static struct qemu_args args;
static char why[256], dir[] = "/tmp/vhost-dm-test.XXXXXX";

#define PARSE(...)                                                                        \
    ({                                                                                    \
        char *argv_[] = {"/x/vhost-dm-qemu", __VA_ARGS__, NULL};                          \
        qemu_args_parse(&args, ARRAY_SIZE(argv_) - 1, argv_, "/state", why, sizeof(why)); \
    })

static void args_are(const char *const *want)
{
    size_t i;

    for (i = 0; want[i] != NULL; i++)
        ck_assert_str_eq(args.argv[i], want[i]);
    ck_assert_ptr_null(args.argv[i]);
    qemu_args_fini(&args);
}
#define ARGS_ARE(...) args_are((const char *const[]){"/x/vhost-dm-qemu", __VA_ARGS__, NULL})

/* ---- arguments --------------------------------------------------------------------------------------- */

START_TEST(nothing_of_ours)
{
    ck_assert_int_eq(PARSE("-S", "-nodefaults", "-chardev", "socket,fd=16", "-version", "", "-", "--"), 0);
    ck_assert_uint_eq(args.nr_devices, 0);
    ARGS_ARE("-S", "-nodefaults", "-chardev", "socket,fd=16", "-version", "", "-", "--");
    /* What would be wrong with devices. */
    ck_assert_int_eq(PARSE("-xen-domid", "3", "-xen-attach", "-machine", "xenpv", "-incoming", "fd:15"), 0);
    ARGS_ARE("-xen-domid", "3", "-xen-attach", "-machine", "xenpv", "-incoming", "fd:15");
}
END_TEST

START_TEST(ours_taken_out)
{
    ck_assert_int_eq(PARSE("-xen-domid", "12", "-name", "g", "-vhost-dm", "type=blk,socket=/a", "-m", "256",
                           "--vhost-dm", "type=fs,tag=x,socket=/b", "-vhost-dm-qemu", "/q",
                           "-vhost-dm-program", "/p", "-vhost-dm-state-dir", "/s", "-machine", "xenfv"),
                     0);
    ck_assert_uint_eq(args.domid, 12);
    ck_assert_uint_eq(args.nr_devices, 2);
    ck_assert_str_eq(args.devices[0], "type=blk,socket=/a");
    ck_assert_str_eq(args.devices[1], "type=fs,tag=x,socket=/b");
    ck_assert_str_eq(args.qemu, "/q");
    ck_assert_str_eq(args.program, "/p");
    ck_assert_str_eq(args.state_dir, "/s");
    ARGS_ARE("-xen-domid", "12", "-name", "g", "-m", "256", "-machine", "xenfv");
}
END_TEST

START_TEST(free_text)
{
    ck_assert_int_eq(PARSE("-xen-domid", "1", "-append", "-vhost-dm", "-name", "-incoming", "-kernel",
                           "-vhost-dm-qemu", "-vhost-dm", "type=blk,socket=/a"),
                     0);
    ck_assert_uint_eq(args.nr_devices, 1);
    ARGS_ARE("-xen-domid", "1", "-append", "-vhost-dm", "-name", "-incoming", "-kernel", "-vhost-dm-qemu");
}
END_TEST

START_TEST(default_sockets)
{
    ck_assert_int_eq(PARSE("-xen-domid", "1", "-name", "web", "-vhost-dm", "type=blk", "-vhost-dm",
                           "type=fs,tag=socket", "-vhost-dm", "type=blk,socket=/own", "-vhost-dm",
                           "type=blk,queues=2", "-name", "another"),
                     0);
    ck_assert_str_eq(args.devices[0], "type=blk,socket=/state/web/blk0.sock");
    ck_assert_str_eq(args.devices[1], "type=fs,tag=socket,socket=/state/web/fs0.sock");
    ck_assert_str_eq(args.devices[2], "type=blk,socket=/own");
    ck_assert_str_eq(args.devices[3], "type=blk,queues=2,socket=/state/web/blk2.sock");
    qemu_args_fini(&args);
    ck_assert_int_eq(
        PARSE("-vhost-dm", "type=blk", "-vhost-dm-state-dir", "/s", "-xen-domid", "1", "-name", "w"), 0);
    ck_assert_str_eq(args.devices[0], "type=blk,socket=/s/w/blk0.sock");
    qemu_args_fini(&args);
}
END_TEST

static char long_list[QEMU_ARGS_DEVICE_LEN + 1];

static const struct {
    char *argv[9];
    const char *says;
} refused[] = {
    {{"-vhost-dm"}, "needs a value"},
    {{"-vhost-dm-quemu", "/x"}, "unknown option -vhost-dm-quemu"},
    {{"-vhost-dm-qemu", "x"}, "begins with /"},
    {{"-vhost-dm", "type=blk,socket=/a"}, "no -xen-domid"},
    {{"-xen-domid", "0", "-vhost-dm", "type=blk,socket=/a"}, "-xen-domid 0"},
    {{"-xen-domid", "32752"}, "-xen-domid 32752"},
    {{"-xen-domid", "99999999999999999999"}, "-xen-domid 9999"},
    {{"-xen-domid", "+1"}, "-xen-domid +1"},
    {{"-xen-domid", "1x"}, "-xen-domid 1x"},
    {{"-xen-domid", ""}, "not the number of a guest"},
    {{"-xen-domid"}, "not the number of a guest"},
    {{"-xen-domid", "1", "-vhost-dm", "type=blk,socket=/a", "-incoming", "fd:15"}, "neither restored"},
    {{"-xen-domid", "1", "-vhost-dm", "type=blk,socket=/a", "-loadvm", "x"}, "neither restored"},
    {{"-xen-domid", "1", "-vhost-dm", "type=blk,socket=/a", "-xen-attach"}, "vhost-dmd serves PVH guests"},
    {{"-xen-domid", "1", "-vhost-dm", "type=blk,socket=/a", "-M", "xenpv"}, "vhost-dmd serves PVH guests"},
    {{"-xen-domid", "1", "-vhost-dm", "type=blk"}, "needs socket="},
    {{"-xen-domid", "1", "-vhost-dm", "type=blk", "-name", ""}, "needs socket="},
    {{"-xen-domid", "1", "-vhost-dm", "type=blk", "-name", ".."}, "needs socket="},
    {{"-xen-domid", "1", "-vhost-dm", "type=blk", "-name", "a/b"}, "needs socket="},
    {{"-xen-domid", "1", "-vhost-dm", "tag=x,type=fs", "-name", "g"}, "must begin with type="},
    {{"-xen-domid", "1", "-vhost-dm", "type=blk,socket=/a\n/b"}, "printable"},
    {{"-xen-domid", "1", "-vhost-dm", long_list}, "shorter than"},
};

START_TEST(refusals)
{
    char *argv[12] = {"/x/vhost-dm-qemu"};
    int n = 1;

    memset(long_list, 'x', sizeof(long_list) - 1);
    while (n <= 9 && refused[_i].argv[n - 1] != NULL) {
        argv[n] = refused[_i].argv[n - 1];
        n++;
    }
    ck_assert_int_eq(qemu_args_parse(&args, n, argv, "/state", why, sizeof(why)), -EINVAL);
    ck_assert_msg(strstr(why, refused[_i].says) != NULL, "'%s' does not say '%s'", why, refused[_i].says);
    qemu_args_fini(&args);
}
END_TEST

START_TEST(too_many)
{
    char *argv[4 + 2 * (QEMU_ARGS_MAX_DEVICES + 1)] = {"x", "-xen-domid", "1"};
    int n = 3;

    for (int i = 0; i < QEMU_ARGS_MAX_DEVICES; i++) {
        argv[n++] = "-vhost-dm";
        argv[n++] = "type=blk,socket=/a";
    }
    ck_assert_int_eq(qemu_args_parse(&args, n, argv, "/state", why, sizeof(why)), 0);
    qemu_args_fini(&args);
    argv[n++] = "-vhost-dm";
    argv[n++] = "type=blk,socket=/a";
    ck_assert_int_eq(qemu_args_parse(&args, n, argv, "/state", why, sizeof(why)), -EINVAL);
    qemu_args_fini(&args);
}
END_TEST

/* ---- the file ---------------------------------------------------------------------------------------- */

static void folder_make(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
}
static void folder_remove(void)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
    strcpy(dir + sizeof(dir) - 7, "XXXXXX");
}

static const char *file_read(const char *name)
{
    static char text[512];
    char path[128];
    FILE *file;
    size_t n;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    n = fread(text, 1, sizeof(text) - 1, file);
    text[n] = '\0';
    fclose(file);
    return text;
}

START_TEST(file)
{
    static const uint8_t uuid[16] = {0x0d, 0xf6, 0x89, 0xd0, 0x14, 0x8b, 0x47, 0x1f,
                                     0x94, 0xd1, 0x7e, 0xc0, 0xf1, 0x4c, 0x39, 0x19};
    static const char *const devices[] = {"type=blk,socket=/a", "type=fs,socket=/b"};
    char path[128], state_dir[64];
    struct stat st;

    snprintf(state_dir, sizeof(state_dir), "%s/made", dir);
    ck_assert_int_eq(devices_file_write(state_dir, 7, uuid, devices, 1, NULL), 0);
    ck_assert_int_eq(devices_file_write(state_dir, 7, uuid, devices, 2, "off"), 0);
    ck_assert_str_eq(file_read("made/7.devices"),
                     "# uuid 0df689d0-148b-471f-94d1-7ec0f14c3919\n# confine off\n"
                     "type=blk,socket=/a\ntype=fs,socket=/b\n");
    snprintf(path, sizeof(path), "%s/7.devices", state_dir);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(stat(state_dir, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0700);
    devices_file_remove(state_dir, 7);
    devices_file_remove(state_dir, 7);
    ck_assert_int_eq(rmdir(state_dir), 0); /* nothing else is in it */
    snprintf(state_dir, sizeof(state_dir), "%s/no/such", dir);
    ck_assert_int_eq(devices_file_write(state_dir, 7, uuid, devices, 1, NULL), -ENOENT);
}
END_TEST

/* ---- starting it --------------------------------------------------------------------------------------- */

/* Starts a shell script in the place of vhost-dm. */
static int start_script(const char *script, int seconds)
{
    static const char *const devices[] = {"type=blk,socket=/a b", "type=fs,socket=/b"};
    char path[64];
    struct dm_start start = {.program = path,
                             .state_dir = dir,
                             .domid = 7,
                             .devices = devices,
                             .nr_devices = 2,
                             .seconds = seconds};
    FILE *out;

    snprintf(path, sizeof(path), "%s/dm", dir);
    out = fopen(path, "we");
    ck_assert_ptr_nonnull(out);
    fprintf(out, "#!/bin/sh\nD=%s\n%s\n", dir, script);
    ck_assert_int_eq(fchmod(fileno(out), 0700), 0);
    ck_assert_int_eq(fclose(out), 0);
    return dm_start(&start);
}

static pid_t said_pid(void)
{
    int pid = atoi(file_read("pid"));

    ck_assert_int_gt(pid, 1);
    return pid;
}

/* Until a process is gone; ours are not its parent. */
static void await_end(pid_t pid)
{
    for (int i = 0; i < 1000 && kill(pid, 0) == 0; i++)
        usleep(10000);
    ck_assert_int_eq(kill(pid, 0), -1);
}

START_TEST(ready)
{
    int before = fds_count();
    int leak = dup(2); /* not closed on exec: it must not have it */
    char want[256];

    setenv("NOTIFY_SOCKET", "/no/such", 1);
    ck_assert_int_eq(
        start_script(
            "for a; do echo \"<$a>\"; done >$D/args; (ls -d /proc/$$/fd/[4-9]; true) >$D/fds 2>/dev/null\n"
            "cut -d' ' -f6 /proc/$$/stat >$D/session; echo $$ >$D/pid\n"
            "echo \"${NOTIFY_SOCKET-unset} $(pwd) $(cat $D/session)\" >$D/env\n"
            "echo ready >&3; exec 3>&-; exec sleep 60",
            30),
        0);
    close(leak);
    ck_assert_int_eq(fds_count(), before);
    snprintf(want, sizeof(want),
             "<--domain>\n<7>\n<--state-dir>\n<%s>\n<--ready-fd>\n<3>\n<--device>\n<type=blk,socket=/a b>\n"
             "<--device>\n<type=fs,socket=/b>\n",
             dir);
    ck_assert_str_eq(file_read("args"), want);
    ck_assert_str_eq(file_read("fds"), ""); /* (The shell's own have higher numbers.) */
    snprintf(want, sizeof(want), "unset / %d\n", atoi(file_read("session")));
    ck_assert_str_eq(file_read("env"), want);
    ck_assert_int_ne(atoi(file_read("session")), getsid(0));
    kill(said_pid(), SIGKILL);
    await_end(said_pid());
}
END_TEST

START_TEST(ends)
{
    int before = fds_count();

    ck_assert_int_eq(start_script("exit 0", 30), -ECHILD);
    ck_assert_int_eq(start_script("exit 1", 30), -ECHILD);
    ck_assert_int_eq(start_script("kill -KILL $$", 30), -ECHILD);
    ck_assert_int_eq(start_script("printf read >&3; exit 1", 30), -ECHILD);
    ck_assert_int_eq(start_script("printf 'another word\\n' >&3; sleep 60", 30), -EPROTO);
    ck_assert_int_eq(start_script("printf '%0100d\\n' 1 >&3; sleep 60", 30), -EPROTO);
    ck_assert_int_eq(fds_count(), before);
}
END_TEST

START_TEST(not_in_time)
{
    ck_assert_int_eq(start_script("echo $$ >$D/pid; exec sleep 60", 1), -ETIMEDOUT);
    await_end(said_pid());
}
END_TEST

START_TEST(not_there)
{
    struct dm_start start = {.program = "/no/such", .state_dir = dir, .domid = 7, .seconds = 30};

    ck_assert_int_eq(dm_start(&start), -ENOENT);
    start.program = "/etc/passwd";
    ck_assert_int_eq(dm_start(&start), -EACCES);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vhost-dm-qemu");
    TCase *arguments = tcase_create("arguments"), *start = tcase_create("file and start");

    tcase_add_test(arguments, nothing_of_ours);
    tcase_add_test(arguments, ours_taken_out);
    tcase_add_test(arguments, free_text);
    tcase_add_test(arguments, default_sockets);
    tcase_add_loop_test(arguments, refusals, 0, ARRAY_SIZE(refused));
    tcase_add_test(arguments, too_many);
    suite_add_tcase(suite, arguments);
    tcase_add_checked_fixture(start, folder_make, folder_remove);
    tcase_set_timeout(start, 120);
    tcase_add_test(start, file);
    tcase_add_test(start, ready);
    tcase_add_test(start, ends);
    tcase_add_test(start, not_in_time);
    tcase_add_test(start, not_there);
    suite_add_tcase(suite, start);
    return unit_run(suite);
}

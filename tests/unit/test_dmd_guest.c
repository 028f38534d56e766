// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_dmd_guest.c - the life of a guest in vhost-dmd, with a toolstack that only counts, and a shell script
 * in the place of vhost-dm: what a vhost-dmd that is started again makes of a guest, and when one that cannot
 * have its devices is let go.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/process.h"
#include "common/saved_state.h"
#include "dmd/devices_file.h"
#include "dmd/guest.h"
#include "tests/unit/unit.h"

#define DOMID    7
#define DOMID_DM 8   /* of a guest with the other's name and "-dm" */
#define SECONDS  20. /* until something must have happened */

static char dir[] = "/tmp/vhost-dm-test.XXXXXX";
static struct daemon daemon_;
static struct toolstack_domain domain;
static struct record *record;
static struct guest *guest;
static const char *guest_name;
static int pauses; /* of the guest */
static bool completed;

/* ---- the toolstack --------------------------------------------------------------------------- */

int toolstack_domain_get(struct toolstack *toolstack, uint16_t domid, struct toolstack_domain *it)
{
    (void)toolstack;
    *it = domain;
    it->domid = domid;
    return domid == DOMID || domid == DOMID_DM ? 0 : -ESRCH;
}

bool toolstack_completed(struct toolstack *toolstack, uint16_t domid, const uint8_t uuid[16])
{
    (void)toolstack;
    return completed && domid == DOMID && memcmp(uuid, domain.uuid, 16) == 0;
}

bool toolstack_restored(struct toolstack *toolstack, uint16_t domid)
{
    (void)toolstack;
    (void)domid;
    return false;
}

int toolstack_pause(struct toolstack *toolstack, uint16_t domid)
{
    (void)toolstack;
    (void)domid;
    pauses++;
    return 0;
}

int toolstack_unpause(struct toolstack *toolstack, uint16_t domid)
{
    (void)toolstack;
    (void)domid;
    pauses--;
    return 0;
}

int toolstack_read(struct toolstack *toolstack, const char *path, char *text, size_t len)
{
    (void)toolstack;
    if (strlen(guest_name) >= len)
        return -EMSGSIZE;
    if (strcmp(path, "/local/domain/7/name") == 0)
        snprintf(text, len, "%s", guest_name);
    else if (strcmp(path, "/local/domain/8/name") == 0)
        snprintf(text, len, "%s-dm", guest_name);
    else
        return -ENOENT;
    return 0;
}

int toolstack_children(struct toolstack *toolstack, const char *path, unsigned *numbers, size_t max)
{
    (void)toolstack;
    (void)path;
    (void)numbers;
    (void)max;
    return 0;
}

int toolstack_write(struct toolstack *toolstack, const char *path, const char *text)
{
    (void)toolstack;
    (void)path;
    (void)text;
    return -ENOENT;
}

const char *toolstack_kind_path(enum toolstack_kind kind)
{
    (void)kind;
    return "/local/domain/0/backend/virtio";
}

/* ---- the clock ------------------------------------------------------------------------------- */

static time_t set_back; /* seconds */

/* The C library's, one of which libev calls. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, now);

    if (rc == 0 && clock == CLOCK_REALTIME)
        now->tv_sec -= set_back;
    return rc;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec it;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &it);
    *now = (struct timeval){it.tv_sec, it.tv_nsec / 1000};
    return 0;
}

/* ---- the rig --------------------------------------------------------------------------------- */

static const char *path_of(const char *name)
{
    static char path[8][256];
    static unsigned next;
    char *p = path[next++ % 8];

    snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
    return p;
}

static void text_write(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

/* What vhost-dm does with its command line. (It must not be what keeps our output open, if a test fails.) */
static void vhost_dm_is(const char *script)
{
    char text[1000];

    snprintf(text, sizeof(text), "#!/bin/sh\nexec >/dev/null 2>&1\ncd %s || exit\n%s\n", dir, script);
    text_write("vhost-dm", text);
    ck_assert_int_eq(chmod(path_of("vhost-dm"), 0700), 0);
}

static void device_set(size_t i, const char *name, const char *text, const char *socket)
{
    struct plan_device *device = &record->plan.devices[i];

    snprintf(device->name, sizeof(device->name), "%s", name);
    snprintf(device->text, sizeof(device->text), "%s", text);
    snprintf(device->socket, sizeof(device->socket), "%s", socket);
}

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    record = calloc(1, sizeof(*record));
    domain = (struct toolstack_domain){.domid = DOMID};
    memset(domain.uuid, 0xa5, sizeof(domain.uuid));
    memcpy(record->uuid, domain.uuid, sizeof(record->uuid));
    guest_name = "g";
    strcpy(record->name, guest_name);
    record->plan.settings.start_timeout = 30;
    record->plan.nr_devices = 2;
    device_set(0, "blk0", "type=blk,socket=/x", "/x");
    device_set(1, "fs0", "type=fs,socket=/y", "/y");
    list_init(&daemon_.guests);
    daemon_.loop = ev_loop_new(EVFLAG_AUTO);
    daemon_.config_dir = dir;
    daemon_.config_path = strdup(path_of("vhost-dmd.conf"));
    snprintf(daemon_.config.state_dir, sizeof(daemon_.config.state_dir), "%s", dir);
    snprintf(daemon_.config.vhost_dm, sizeof(daemon_.config.vhost_dm), "%s", path_of("vhost-dm"));
    daemon_.config.defaults.start_timeout = 30;
    vhost_dm_is("exec sleep 60");
    pauses = 0;
    completed = true;
}

/* Runs the loop until a guest's process has ended, or has written a file. */
static void run_until(bool (*come)(void))
{
    double end = guest_clock() + SECONDS;

    while (!come() && guest_clock() < end) {
        ev_run(daemon_.loop, EVRUN_NOWAIT);
        usleep(5000);
    }
    ck_assert(come());
}

static bool ended(void)
{
    return !guest_processes_run(guest);
}

static bool args_there(void)
{
    return access(path_of("args"), F_OK) == 0;
}

static void teardown(void)
{
    char command[64];

    child_signal(&guest->vhost_dm.child, SIGKILL);
    guest_free(guest);
    ev_loop_destroy(daemon_.loop);
    free((char *)daemon_.config_path);
    free(record);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
}

static bool file_there(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

/* What a vhost-dmd leaves that is ended. */
static void predecessor_was(bool held)
{
    ck_assert_int_eq(record_devices_write(dir, DOMID, record->uuid, &record->plan), 0);
    ck_assert_int_eq(record_guest_write(dir, DOMID, record), 0);
    if (held)
        ck_assert_int_eq(record_held_write(dir, DOMID, record->uuid), 0);
    pauses = held;
}

static void guest_is(enum guest_state state)
{
    guest = guest_new(&daemon_, &domain);
    ck_assert_ptr_nonnull(guest);
    ck_assert_int_eq(guest->state, state);
}

/* As a vhost-dm that is killed leaves it. */
static void state_leave(void)
{
    struct saved_state *state;
    int holder;

    ck_assert_int_eq(saved_state_open(&state, path_of("7.state"), domain.uuid, &holder), 0);
    saved_state_close(state, false);
}

/* ---- a vhost-dmd that is started again ------------------------------------------------------- */

/* A running guest, of a vhost-dm that has said to nobody that it is ready, and of which no settings are
 * known. */
START_TEST(running)
{
    pid_t pid = fork();

    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", "exec sleep 60 >/dev/null 2>&1", (char *)NULL);
        _exit(127);
    }
    record->vhost_dm = (struct record_process){pid, process_start_time(pid)};
    memset(&record->plan.settings, 0, sizeof(record->plan.settings));
    predecessor_was(false);
    guest_is(GUEST_SERVED);
    ck_assert_int_eq(guest->vhost_dm.child.pid, pid);
    ck_assert(!ev_is_active(&guest->limit));
    ck_assert_int_eq(pauses, 0);
}
END_TEST

START_TEST(starting)
{
    predecessor_was(true);
    guest_is(GUEST_STARTING);
    ck_assert(ev_is_active(&guest->limit));
    ck_assert(child_runs(&guest->vhost_dm.child));
    text_write("7.ready", "ready\n");
    guest_look(guest);
    ck_assert_int_eq(guest->state, GUEST_SERVED);
    ck_assert_int_eq(pauses, 0);
    ck_assert(!file_there("7.held"));
}
END_TEST

/* vhost-dm is not given again what was removed. */
START_TEST(devices_changed)
{
    const char *const lines[] = {"type=net,socket=/new", "type=fs,socket=/y"};
    char args[1000] = "";
    FILE *f;

    vhost_dm_is("echo \"$*\" >args.new; mv args.new args; exec sleep 60");
    predecessor_was(false);
    ck_assert_int_eq(devices_file_write(dir, DOMID, domain.uuid, lines, 2, NULL), 0);
    guest_is(GUEST_SERVED);
    run_until(args_there);
    f = fopen(path_of("args"), "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_nonnull(fgets(args, sizeof(args), f));
    fclose(f);
    ck_assert_ptr_nonnull(strstr(args, "--device type=fs,socket=/y"));
    ck_assert_ptr_null(strstr(args, "/x"));
    ck_assert_ptr_null(strstr(args, "/new"));
}
END_TEST

/* As another program has started it, and this says how, it is started again. */
START_TEST(started_by_another_program)
{
    const char *const lines[] = {"type=net,socket=/new"};
    char args[1000] = "", byte;
    int ready[2], holder;
    FILE *f;
    pid_t pid;

    vhost_dm_is("echo \"$*\" >args.new; mv args.new args; exec sleep 60");
    strcpy(daemon_.config.defaults.confine, "on");
    ck_assert_int_eq(devices_file_write(dir, DOMID, domain.uuid, lines, 1, "off"), 0);
    ck_assert_int_eq(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        struct saved_state *state;

        if (saved_state_open(&state, path_of("7.state"), domain.uuid, &holder) == 0 &&
            write(ready[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    guest_is(GUEST_SERVED);
    ck_assert(guest->foreign);
    ck_assert_int_eq(guest->vhost_dm.child.pid, pid);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    run_until(args_there);
    f = fopen(path_of("args"), "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_nonnull(fgets(args, sizeof(args), f));
    fclose(f);
    ck_assert_ptr_nonnull(strstr(args, "--confine off"));
    ck_assert_ptr_nonnull(strstr(args, "--device type=net,socket=/new"));
    close(ready[0]);
    close(ready[1]);
}
END_TEST

/* What cannot be started is tried again, as what has ended is. */
START_TEST(cannot_be_made)
{
    ck_assert_int_eq(mkdir(path_of("7.ready"), 0700), 0);
    predecessor_was(false);
    guest_is(GUEST_SERVED);
    ck_assert(!child_runs(&guest->vhost_dm.child));
    ck_assert_uint_eq(guest->vhost_dm.failures, 1);
    ck_assert(ev_is_active(&guest->vhost_dm.again));
    ck_assert_int_eq(rmdir(path_of("7.ready")), 0);
    for (int i = 0; i < 1000 && !child_runs(&guest->vhost_dm.child); i++) {
        ev_run(daemon_.loop, EVRUN_NOWAIT);
        usleep(5000);
    }
    ck_assert(child_runs(&guest->vhost_dm.child));
}
END_TEST

/* A back-end's socket= may be mistaken: only a socket is removed before it is started. */
START_TEST(socket_is_a_file)
{
    static const char *const names[] = {"disk.img", "socket"};

    text_write("disk.img", "what must not be lost\n");
    ck_assert_int_eq(mknod(path_of("socket"), S_IFSOCK | 0600, 0), 0);
    for (size_t i = 0; i < 2; i++) {
        snprintf(record->plan.devices[i].socket, sizeof(record->plan.devices[i].socket), "%s",
                 path_of(names[i]));
        ck_assert_int_eq(words_add(&record->plan.devices[i].back_end, "/bin/true"), 0);
    }
    predecessor_was(false);
    plan_clear(&record->plan);
    guest_is(GUEST_SERVED);
    ck_assert(child_runs(&guest->back_ends[0].child) && child_runs(&guest->back_ends[1].child));
    ck_assert(file_there("disk.img"));
    ck_assert(!file_there("socket"));
}
END_TEST

static bool nodes_looked_at(void)
{
    return !ev_is_active(&guest->nodes);
}

/* It looks at this clock every half second. */
static bool libev_has_seen(void)
{
    return ev_now(daemon_.loop) < (double)time(NULL) - 3000;
}

/* xl waits 10 s for an answer to what it writes into xenstore, whatever is done to the clock. */
START_TEST(clock_is_set_back)
{
    domain.never_ran = true;
    predecessor_was(false);
    guest_is(GUEST_SERVED);
    guest_nodes_changed(guest);
    run_until(nodes_looked_at);
    set_back = 3600;
    run_until(libev_has_seen);
    guest_nodes_changed(guest);
    run_until(nodes_looked_at);
}
END_TEST

static int child_status;

static void on_child_ended(void *ctx, struct child *child, int status)
{
    (void)ctx;
    (void)child;
    child_status = status;
}

static bool child_ended(void)
{
    return child_status != -1;
}

static void on_signal(struct ev_loop *loop, struct ev_signal *signal, int revents)
{
    (void)loop;
    (void)revents;
    *(bool *)signal->data = true;
}

/* A process that is ended before it is what it is to become; the signal is for nobody else. */
START_TEST(ended_at_once)
{
    char *const argv[] = {(char *)"/bin/sleep", (char *)"60", NULL};
    struct child child = {0};
    struct ev_signal ours;
    bool told = false;

    signal(SIGPIPE, SIG_IGN); /* as vhost-dmd does */
    ev_signal_init(&ours, on_signal, SIGTERM);
    ours.data = &told;
    ev_signal_start(daemon_.loop, &ours);
    guest = guest_new(&daemon_, &domain);
    child_status = -1;
    ck_assert_int_eq(child_start(&child, daemon_.loop, argv, NULL, -1, on_child_ended, NULL), 0);
    child_signal(&child, SIGTERM);
    child_go(&child);
    run_until(child_ended);
    ck_assert(WIFSIGNALED(child_status) && WTERMSIG(child_status) == SIGTERM);
    ck_assert(!told);
    ev_signal_stop(daemon_.loop, &ours);
}
END_TEST

/* ---- a guest that cannot have its devices ---------------------------------------------------- */

START_TEST(let_go)
{
    predecessor_was(true);
    guest_is(GUEST_STARTING);
    guest_fail(guest, "it fails");
    ck_assert_int_eq(pauses, 1);
    run_until(ended);
    ck_assert_int_eq(guest->state, GUEST_FAILED);
    ck_assert(!guest->held);
    ck_assert_int_eq(pauses, 0);
    ck_assert(!file_there("7.held") && !file_there("7.guest"));
}
END_TEST

/* Its vhost-dm has left it half done: it would hang. */
START_TEST(left_by_vhost_dm)
{
    predecessor_was(true);
    guest_is(GUEST_STARTING);
    state_leave();
    guest_fail(guest, "it fails");
    run_until(ended);
    ck_assert_int_eq(guest->state, GUEST_FAILED);
    ck_assert(guest->held && pauses == 1);
    ck_assert(file_there("7.held") && file_there("7.state") && !file_there("7.guest"));
    /* Not even when nothing is asked for it any more. */
    guest_retry(guest);
    ck_assert_int_eq(guest->state, GUEST_FAILED);
    ck_assert(guest->held && pauses == 1 && file_there("7.state"));
    /* Another vhost-dm takes it on. */
    text_write("g.conf", "[blk0]\nsocket=/x\n");
    guest_retry(guest);
    ck_assert_int_eq(guest->state, GUEST_STARTING);
    ck_assert(child_runs(&guest->vhost_dm.child));
    text_write("7.ready", "ready\n");
    guest_look(guest);
    ck_assert_int_eq(guest->state, GUEST_SERVED);
    ck_assert_int_eq(pauses, 0);
}
END_TEST

/* on-failure= counts, whatever the mistake is. */
START_TEST(kept)
{
    domain.never_ran = true;
    if (_i == 0) {
        text_write("g.conf", "[blk0]\nslot=99\n[guest]\non-failure=keep\n");
    } else {
        text_write("g.conf", "[guest]\non-failure=keep\n[blk0]\nsocket=/x\n");
        text_write("vhost-dmd.conf", "[vhost-dmd]\ncolour=red\n");
    }
    guest_is(GUEST_FAILED);
    ck_assert(guest->held && pauses == 1 && file_there("7.held"));
}
END_TEST

/* A name may look like the path of a folder that is none of the guest's. */
START_TEST(name_is_a_path)
{
    char path[64];

    snprintf(path, sizeof(path), "../%s/empty", strrchr(dir, '/') + 1);
    guest_name = path;
    ck_assert_int_eq(mkdir(path_of("empty"), 0700), 0);
    domain.never_ran = true;
    text_write("vhost-dmd.conf", "[vhost-dmd]\ncolour=red\n");
    guest_is(GUEST_FAILED);
    ck_assert(file_there("empty"));
}
END_TEST

static void on_message(void *ctx, enum log_level level, const char *text, size_t len)
{
    (void)level;
    (void)len;
    *(bool *)ctx |= strstr(text, "dom 7 (): its name has more than 63 bytes") != NULL;
}

/* Its file would be looked for in vain. */
START_TEST(name_is_long)
{
    bool said = false;

    guest_name = "0123456789012345678901234567890123456789012345678901234567890123";
    domain.never_ran = true;
    log_tap(on_message, &said, LOG_LEVEL_WARNING);
    guest_is(GUEST_OTHER);
    log_tap(NULL, NULL, LOG_LEVEL_ERROR);
    ck_assert(said);
    ck_assert_int_eq(pauses, 0);
}
END_TEST

/* What is made while its guest is being made is the domain of its QEMU, which must run; of the same name, it
 * may be any guest. */
START_TEST(name_of_a_stub_domain)
{
    struct toolstack_domain second = domain;
    struct guest *other;

    second.domid = DOMID_DM;
    domain.never_ran = second.never_ran = true;
    completed = _i == 0;
    guest_is(_i == 0 ? GUEST_OTHER : GUEST_CREATED);
    ck_assert_int_eq(pauses, _i == 0 ? 0 : 1);
    other = guest_new(&daemon_, &second);
    ck_assert_ptr_nonnull(other);
    ck_assert_int_eq(other->state, (_i == 0 ? GUEST_CREATED : GUEST_OTHER));
    ck_assert_int_eq(pauses, 1);
    guest_free(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vhost-dmd's guests");
    TCase *tc = tcase_create("a guest");

    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, running);
    tcase_add_test(tc, starting);
    tcase_add_test(tc, devices_changed);
    tcase_add_test(tc, started_by_another_program);
    tcase_add_test(tc, cannot_be_made);
    tcase_add_test(tc, socket_is_a_file);
    tcase_add_test(tc, clock_is_set_back);
    tcase_add_test(tc, ended_at_once);
    tcase_add_test(tc, let_go);
    tcase_add_test(tc, left_by_vhost_dm);
    tcase_add_loop_test(tc, kept, 0, 2);
    tcase_add_test(tc, name_is_a_path);
    tcase_add_test(tc, name_is_long);
    tcase_add_loop_test(tc, name_of_a_stub_domain, 0, 2);
    return unit_run(suite);
}

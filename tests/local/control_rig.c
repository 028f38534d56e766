// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * control_rig.c - see control_rig.h.
 */
#include "tests/local/control_rig.h"

#include <dirent.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/saved_state.h"
#include "common/util.h"
#include "tests/unit/unit.h"

#define PROGRAM  "./vhost-dmctl" /* make runs tests in the build folder */
#define MAX_LINE MIB(4)

static const uint8_t identity[SAVED_STATE_IDENTITY_LEN] = "a local guest";

static unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned nr = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir) != NULL)
        nr++;
    closedir(dir);
    return nr;
}

/* ---- the host ----------------------------------------------------------------------------------- */

TCase *control_rig_tests(const char *name)
{
    const char *level = getenv("VHOST_DM_TEST_LOG");

    if (!backend_is_installed()) {
        fprintf(stderr, "no qemu-storage-daemon in PATH (Debian: qemu-utils): skipped\n");
        return NULL;
    }
    log_level = level == NULL ? LOG_LEVEL_ERROR : (enum log_level)atoi(level);
    return tcase_create(name);
}

void control_rig_init(struct control_rig *rig)
{
    *rig = (struct control_rig){.nr_fds = count_fds()};
    for (unsigned i = 0; i < ARRAY_SIZE(rig->disks); i++) {
        ck_assert_int_eq(backend_init(&rig->disks[i], CONTROL_DISK, 2), 0);
        ck_assert_int_eq(backend_start(&rig->disks[i]), 0);
        snprintf(rig->text[i], sizeof(rig->text[i]), "type=blk,socket=%s", rig->disks[i].socket);
    }
    snprintf(rig->dir, sizeof(rig->dir), "/tmp/vhost-dm-control.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(rig->dir));
    snprintf(rig->state, sizeof(rig->state), "%s/0.state", rig->dir);
    snprintf(rig->socket, sizeof(rig->socket), "%s/0.ctl", rig->dir);
    snprintf(rig->list, sizeof(rig->list), "%s/0.devices", rig->dir);
    rig->local =
        (struct local_options){.name = "web",
                               .ram_low = MIB(64),
                               .ram_high = MIB(64),
                               .ram_fd = memfd_create("test-ram", MFD_CLOEXEC),
                               .pci = {.has_intx = true, .first_slot = 4, .hotplug_gpa = CONTROL_HOTPLUG},
                               .nr_irqs = GUEST_OS_NR_LINES};
    ck_assert_int_ge(rig->local.ram_fd, 0);
    ck_assert_int_eq(ftruncate(rig->local.ram_fd, (off_t)(rig->local.ram_low + rig->local.ram_high)), 0);
    guest_os_init(&rig->os, &rig->local);
}

static void on_ready(void *ctx)
{
    ((struct control_rig *)ctx)->ready = true;
}

static void on_failed(void *ctx, const char *why)
{
    struct control_rig *rig = ctx;

    snprintf(rig->failed, sizeof(rig->failed), "%s", why);
}

static bool has_answered(void *ctx)
{
    const struct control_rig *rig = ctx;

    return rig->ready || rig->failed[0] != '\0';
}

void control_rig_open(struct control_rig *rig)
{
    static const struct devices_callbacks callbacks = {.ready = on_ready, .failed = on_failed};
    struct guest_os waiter = {0};
    struct options options;
    char *argv[] = {"vhost-dm", "--domain", "0", "--device", rig->text[0], NULL};
    int holder;

    optind = 0; /* glibc: begins anew */
    ck_assert_int_eq(options_parse(&options, 5, argv), OPTIONS_RUN);
    rig->ready = false;
    rig->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    waiter.loop = rig->loop;
    ck_assert_int_eq(local_new(&rig->hv, &rig->local, &guest_os_callbacks, &rig->os), 0);
    ck_assert_int_eq(saved_state_open(&rig->saved, rig->state, identity, &holder), 0);
    ck_assert_int_eq(guest_init(&rig->guest, rig->loop, rig->hv, rig->saved), 0);
    ck_assert_int_eq(devices_new(&rig->devices, &rig->guest, rig->list, &callbacks, rig), 0);
    ck_assert_int_eq(control_new(&rig->control, &rig->guest, rig->devices, rig->socket), 0);
    ck_assert(devices_start(rig->devices, &options, &rig->ready));
    ck_assert(guest_os_wait(&waiter, has_answered, rig, CONTROL_PATIENCE));
    ck_assert_str_eq(rig->failed, "");
    ck_assert(devices_plug(rig->devices));
    ck_assert_int_eq(rig->hv->ops->start(rig->hv), 0);
    guest_os_adopt(&rig->os, rig->hv, rig->loop);
}

static void take_down(struct control_rig *rig, bool forget)
{
    control_free(rig->control);
    devices_free(rig->devices);
    guest_fini(&rig->guest);
    rig->hv->ops->detach(rig->hv);
    saved_state_close(rig->saved, forget);
    ev_loop_destroy(rig->loop);
}

void control_rig_die(struct control_rig *rig)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    take_down(rig, false);
    for (unsigned i = 0; i < ARRAY_SIZE(rig->disks); i++)
        ck_assert_int_eq(backend_settle(&rig->disks[i]), 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", rig->socket);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    close(fd);
}

void control_rig_close(struct control_rig *rig)
{
    take_down(rig, true);
    ck_assert_int_ne(access(rig->socket, F_OK), 0);
}

void control_rig_fini(struct control_rig *rig)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rig->disks); i++)
        backend_free(&rig->disks[i]);
    close(rig->local.ram_fd);
    unlink(rig->list);
    ck_assert_int_eq(rmdir(rig->dir), 0);
    ck_assert_uint_eq(count_fds(), rig->nr_fds);
}

/* ---- the guest ---------------------------------------------------------------------------------- */

void control_rig_drive(struct control_rig *rig, const char *place, struct virtio_driver *drv)
{
    const struct driver_options options = {.features = UINT64_MAX, .nr_queues = 1, .msix = true};
    unsigned slot, function;

    ck_assert_int_eq(sscanf(place, "0000:00:%x.%x", &slot, &function), 2);
    ck_assert_msg(virtio_driver_probe(drv, &rig->os, slot << 3 | function) == 0, "%s", drv->error);
    ck_assert_msg(virtio_driver_start(drv, &options) == 0, "%s", drv->error);
}

struct blk_load *control_rig_load(struct virtio_driver *drv, bool errors_allowed)
{
    const struct blk_load_options options = {.sectors = CONTROL_DISK / BLK_SECTOR,
                                             .max_len = KIB(16),
                                             .nr_slots = 32,
                                             .max_segments = 8,
                                             .errors_allowed = errors_allowed};

    unit_random_start();
    return blk_load_new(drv, &options, unit_random());
}

/* ---- clients ------------------------------------------------------------------------------------ */

int client_open(struct control_rig *rig)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", rig->socket);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

void client_send(struct control_rig *rig, int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN) /* it has closed: the reader will see */
            return;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else {
            guest_os_idle(&rig->os, 0.01);
        }
    }
}

struct reader {
    int fd;
    char *line;
    size_t len;
    bool whole, ended;
};

/* What follows the line stays for the next. */
static bool line_is_there(void *ctx)
{
    struct reader *r = ctx;

    while (!r->whole && !r->ended) {
        char peek[4096], *end;
        ssize_t n = recv(r->fd, peek, sizeof(peek), MSG_PEEK | MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN)
            return false;
        r->ended = n <= 0;
        if (r->ended)
            break;
        end = memchr(peek, '\n', (size_t)n);
        n = end != NULL ? end - peek + 1 : n;
        ck_assert_uint_lt(r->len + (size_t)n, MAX_LINE);
        ck_assert_int_eq(recv(r->fd, r->line + r->len, (size_t)n, 0), n);
        r->len += (size_t)n;
        r->whole = end != NULL;
    }
    return true;
}

char *client_line(struct control_rig *rig, int fd)
{
    struct reader r = {.fd = fd, .line = malloc(MAX_LINE)};

    ck_assert_msg(guest_os_wait(&rig->os, line_is_there, &r, CONTROL_PATIENCE), "no answer");
    if (r.ended) {
        free(r.line);
        return NULL;
    }
    r.line[r.len - 1] = '\0';
    return r.line;
}

static struct json_object *ask(struct control_rig *rig, const char *request)
{
    int fd = client_open(rig);
    struct json_object *answer;
    char *line;

    client_send(rig, fd, request, strlen(request));
    client_send(rig, fd, "\n", 1);
    line = client_line(rig, fd);
    close(fd);
    ck_assert_ptr_nonnull(line);
    answer = json_tokener_parse(line);
    ck_assert_msg(answer != NULL, "no JSON: %s", line);
    free(line);
    return answer;
}

struct json_object *ask_ok(struct control_rig *rig, const char *request)
{
    struct json_object *answer = ask(rig, request);

    ck_assert_msg(json_object_get_boolean(at(answer, "ok")), "%s: %s", request,
                  json_object_to_json_string(answer));
    return answer;
}

char *ask_refused(struct control_rig *rig, const char *request)
{
    struct json_object *answer = ask(rig, request);
    char *why;

    ck_assert_msg(!json_object_get_boolean(at(answer, "ok")), "%s: %s", request,
                  json_object_to_json_string(answer));
    why = strdup(string_at(answer, "error"));
    json_object_put(answer);
    return why;
}

struct json_object *at(struct json_object *o, const char *path)
{
    char copy[128], *rest = copy, *key;

    snprintf(copy, sizeof(copy), "%s", path);
    while ((key = strsep(&rest, ".")) != NULL) {
        struct json_object *next = NULL;

        if (json_object_is_type(o, json_type_array))
            next = json_object_array_get_idx(o, (size_t)atoi(key));
        else
            json_object_object_get_ex(o, key, &next);
        ck_assert_msg(next != NULL, "no %s (%s) in %s", path, key, json_object_to_json_string(o));
        o = next;
    }
    return o;
}

uint64_t number_at(struct json_object *o, const char *path)
{
    return json_object_get_uint64(at(o, path));
}

const char *string_at(struct json_object *o, const char *path)
{
    return json_object_get_string(at(o, path));
}

/* ---- vhost-dmctl -------------------------------------------------------------------------------- */

static void on_end(struct ev_loop *loop, ev_io *io, int revents)
{
    (void)revents;
    *(bool *)io->data = true;
    ev_io_stop(loop, io);
}

static bool is_true(void *ctx)
{
    return *(bool *)ctx;
}

int run_ctl(struct control_rig *rig, char **said, const char *const *words)
{
    const char *argv[16] = {PROGRAM, "--state-dir", rig->dir};
    struct program program;
    bool ended = false;
    int status, pidfd;
    ev_io io;

    for (size_t i = 0; i < 12 && words[i] != NULL; i++)
        argv[3 + i] = words[i];
    ck_assert_int_eq(program_start(&program, argv), 0);
    pidfd = (int)syscall(SYS_pidfd_open, program.pid, 0);
    ck_assert_int_ge(pidfd, 0);
    ev_io_init(&io, on_end, pidfd, EV_READ);
    io.data = &ended;
    ev_io_start(rig->loop, &io);
    ck_assert(guest_os_wait(&rig->os, is_true, &ended, CONTROL_PATIENCE));
    close(pidfd);
    status = program_wait(&program, CONTROL_PATIENCE);
    *said = program.said;
    program.said = NULL;
    program_end(&program);
    return status;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control_rig.h - a guest of the local hypervisor with the devices and the control socket that main() gives
 * it, two qemu-storage-daemons, and clients of the socket. The device model runs while a client waits. Used
 * by the tests of the control socket.
 */
#ifndef VHOST_DM_TESTS_CONTROL_RIG_H
#define VHOST_DM_TESTS_CONTROL_RIG_H

#include <check.h>
#include <json-c/json.h>
#include <stdbool.h>

#include "dm/control.h"
#include "dm/devices.h"
#include "tests/local/backend_process.h"
#include "tests/local/blk_load.h"
#include "tests/local/program_process.h"
#include "tests/local/rig.h"
#include "tests/local/virtio_driver.h"

#define CONTROL_PATIENCE 20.0       /* seconds */
#define CONTROL_DISK     MIB(8)     /* bytes */
#define CONTROL_HOTPLUG  0xfebff000 /* where the guest has the registers of dm/hotplug.h */

struct control_rig {
    struct local_options local;
    struct ev_loop *loop;
    struct hypervisor *hv;
    struct saved_state *saved;
    struct guest guest;
    struct devices *devices;
    struct control *control;
    bool ready;
    char failed[256];
    struct guest_os os;
    struct backend disks[2];
    char dir[64], state[96], socket[96], list[96]; /* the folder, and what is in it */
    char text[2][256];                             /* for --device */
    unsigned nr_fds;
};

/* For main(): what its tests are added to, with the log level that the environment wants. NULL: this machine
 * has no back-end, as was said. */
TCase *control_rig_tests(const char *name);
/* Starts the back-ends; then opens, with disk 0 on the command line. */
void control_rig_init(struct control_rig *rig);
void control_rig_open(struct control_rig *rig);
/* As a kill would: what the guest has and the saved state stay, the socket too. */
void control_rig_die(struct control_rig *rig);
void control_rig_close(struct control_rig *rig);
/* Verifies that nothing is left, and ends the back-ends. */
void control_rig_fini(struct control_rig *rig);

/* A disk that the guest finds at place ("0000:00:04.0"), with its driver started. */
void control_rig_drive(struct control_rig *rig, const char *place, struct virtio_driver *drv);
/* A load of such a disk. */
struct blk_load *control_rig_load(struct virtio_driver *drv, bool errors_allowed);

/* A connection; text that is sent as it is; the next line that comes, NULL: the connection has ended. */
int client_open(struct control_rig *rig);
void client_send(struct control_rig *rig, int fd, const char *data, size_t len);
char *client_line(struct control_rig *rig, int fd);
/* Asks by a connection of its own: the answer, which must be a success, or the text of the error. */
struct json_object *ask_ok(struct control_rig *rig, const char *request);
char *ask_refused(struct control_rig *rig, const char *request);
/* The value at a path of keys and numbers, as "devices.0.queues.0.requests"; there must be one. */
struct json_object *at(struct json_object *o, const char *path);
uint64_t number_at(struct json_object *o, const char *path);
const char *string_at(struct json_object *o, const char *path);
/* vhost-dmctl with these words behind its folder: its exit status, and what it said, which the caller frees.
 */
int run_ctl(struct control_rig *rig, char **said, const char *const *words);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rig.h - the device model as main() puts it together, on the local hypervisor: event loop, guest, devices
 * with their back-ends. What is here is the host's side; the guest's is guest_os.h. Used by the tests.
 */
#ifndef VHOST_DM_TESTS_RIG_H
#define VHOST_DM_TESTS_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "dm/device.h"
#include "dm/guest.h"
#include "dm/local.h"
#include "tests/local/guest_os.h"

#define RIG_MAX_DEVICES 4

struct rig {
    struct ev_loop *loop;
    struct hypervisor *hv;
    struct saved_state *saved;
    struct guest guest;
    bool guest_is_made;
    struct shm_pool *shm; /* with shm_path */
    struct shm_server *shm_server;
    struct device *devices[RIG_MAX_DEVICES];
    unsigned nr_devices, nr_ready, nr_failed;
    struct guest_os *os; /* borrowed */
    char error[512];
};

struct rig_options {
    struct local_options local;
    const char *saved_path; /* NULL: state lives and dies with the process */
    const char *shm_path;   /* where libvhost-dm-shm finds us; NULL: nowhere */
    uint64_t shm_limit;     /* bytes that it hands out */
    unsigned nr_devices;
    struct device_options devices[RIG_MAX_DEVICES];
};

/* Reasonable options: RAM below and above 4 GiB, one blk device without a socket yet. */
void rig_options_default(struct rig_options *options);

/* Gives device i a place for virtio-mmio instead of a PCI slot, one device behind the other. */
void rig_options_mmio(struct rig_options *options, unsigned i);

/* Makes the guest's hardware and waits until all back-ends have answered; the guest is *os, which is to be
 * initialised already, with options->local. 0, or negative errno and rig->error. */
int rig_open(struct rig *rig, const struct rig_options *options, struct guest_os *os);
/* Ends all of it in order. */
void rig_close(struct rig *rig);
/* The same, but with the saved state for a successor: to the guest it is as if we had been killed. */
void rig_leave(struct rig *rig);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qemu_args.h - the command line that libxl gives to an HVM guest's device model, taken apart into what is
 * vhost-dm's (from device_model_args= in xl.cfg) and what is QEMU's. Used by vhost-dm-qemu; pure, no system
 * call.
 */
#ifndef VHOST_DM_DMD_QEMU_ARGS_H
#define VHOST_DM_DMD_QEMU_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QEMU_ARGS_MAX_DEVICES 31 /* slots of a guest's PCI bus 0, and what vhost-dm takes */
#define QEMU_ARGS_DEVICE_LEN  1024

struct qemu_args {
    /* Ours. Strings are argv's, but for devices. */
    const char *qemu, *program, *state_dir;                    /* NULL: not given */
    const char *confine;                                       /* on or off; NULL: not given */
    char devices[QEMU_ARGS_MAX_DEVICES][QEMU_ARGS_DEVICE_LEN]; /* for --device, each with a socket= */
    size_t nr_devices;
    /* What QEMU's say. */
    bool has_domid;
    uint16_t domid;
    const char *guest_name; /* NULL: not said */
    bool incoming;          /* a guest that was saved or comes from another machine */
    bool pv_backend;        /* QEMU serves only PV back-ends: for a PV or PVH guest, or a stub domain */
    /* QEMU's: argv less ours, argv[0] included, NULL at the end. Owned. */
    char **argv;
};

/*
 * Takes argv apart; state_dir: where a back-end's socket is by default, if the arguments do not say (as
 * STATE_DIR/GUEST/blk0.sock). 0, or -EINVAL or -ENOMEM and why, for people. Afterwards qemu_args_fini, in any
 * case.
 */
int qemu_args_parse(struct qemu_args *args, int argc, char **argv, const char *state_dir, char *why,
                    size_t why_len);
void qemu_args_fini(struct qemu_args *args);

#endif

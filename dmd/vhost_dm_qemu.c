// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vhost_dm_qemu.c - vhost-dm-qemu, which xl starts in the place of an HVM guest's QEMU
 * (device_model_override=): starts the guest's vhost-dm for those arguments that are for it, waits until the
 * devices are there, then becomes the QEMU that xl wanted, with all other arguments, descriptors and the
 * environment as they are. xl's guest waits for its device model, so no firmware runs before; when this
 * fails, so does xl create.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "config.h"
#include "dmd/devices_file.h"
#include "dmd/dm_start.h"
#include "dmd/qemu_args.h"
#include "xen/xen_hypervisor.h"

#define STATE_DIR "/run/vhost-dm"
/* libxl gives a device model 60 s (LIBXL_DEVICE_MODEL_START_TIMEOUT), of which QEMU needs some. */
#define READY_SECONDS 45

/* Which QEMU: as the arguments, the environment, or who compiled this says. */
static const char *qemu_choose(const struct qemu_args *args)
{
    const char *named = getenv("VHOST_DM_QEMU");

    if (args->qemu != NULL)
        return args->qemu;
    return named != NULL && named[0] != '\0' ? named : XEN_QEMU;
}

/* It must be there before anything is started, and be another program than this: that would never end. */
static int qemu_check(const char *qemu)
{
    struct stat it, self;

    if (access(qemu, X_OK) < 0 || stat(qemu, &it) < 0) {
        log_error("QEMU, %s: %s; -vhost-dm-qemu or VHOST_DM_QEMU names another", qemu, strerror(errno));
        return -1;
    }
    if (stat("/proc/self/exe", &self) == 0 && it.st_dev == self.st_dev && it.st_ino == self.st_ino) {
        log_error("QEMU, %s: that is vhost-dm-qemu itself", qemu);
        return -1;
    }
    return 0;
}

/* Starts the vhost-dm of a domain. 0, or -1 when it has been said why not. */
static int devices_start(const struct qemu_args *args)
{
    const char *devices[QEMU_ARGS_MAX_DEVICES];
    struct dm_start start = {.program = args->program != NULL ? args->program : SBINDIR "/vhost-dm",
                             .state_dir = args->state_dir != NULL ? args->state_dir : STATE_DIR,
                             .confine = args->confine,
                             .domid = args->domid,
                             .devices = devices,
                             .nr_devices = args->nr_devices,
                             .seconds = READY_SECONDS};
    struct xen_domain domain;
    char text[8], why[256];
    int rc;

    snprintf(text, sizeof(text), "%u", args->domid);
    if (xen_domain_find(text, false, &domain, why, sizeof(why)) != 0) {
        log_error("dom %s: %s", text, why);
        return -1;
    }
    for (size_t i = 0; i < args->nr_devices; i++)
        devices[i] = args->devices[i];
    rc = devices_file_write(start.state_dir, args->domid, domain.uuid, devices, args->nr_devices,
                            args->confine);
    if (rc != 0) {
        log_error("dom %s (%s): %s/%s.devices: %s", text, domain.name, start.state_dir, text, strerror(-rc));
        return -1;
    }
    rc = dm_start(&start);
    if (rc == 0)
        return 0;
    devices_file_remove(start.state_dir, args->domid);
    if (rc == -ETIMEDOUT)
        log_error("dom %s (%s): its devices are not there after %d s: the guest is not started without them",
                  text, domain.name, READY_SECONDS);
    else if (rc == -ECHILD)
        log_error("dom %s (%s): vhost-dm has ended, see above: the guest is not started without its devices",
                  text, domain.name);
    else
        log_error("dom %s (%s): %s cannot be started: %s", text, domain.name, start.program, strerror(-rc));
    return -1;
}

int main(int argc, char **argv)
{
    static struct qemu_args args;
    const char *qemu;
    char why[256];

    log_program = "vhost-dm-qemu";
    if (qemu_args_parse(&args, argc, argv, STATE_DIR, why, sizeof(why)) != 0) {
        log_error("%s", why);
        return EXIT_FAILURE;
    }
    qemu = qemu_choose(&args);
    if (qemu_check(qemu) != 0 || (args.nr_devices > 0 && devices_start(&args) != 0))
        return EXIT_FAILURE;
    args.argv[0] = (char *)qemu; /* it looks for its files from there, and names itself so in messages */
    execv(qemu, args.argv);
    log_error("QEMU, %s: %s", qemu, strerror(errno));
    qemu_args_fini(&args);
    return EXIT_FAILURE;
}

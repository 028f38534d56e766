// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rig.c - see rig.h.
 */
#include "tests/local/rig.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <string.h>

#include "common/saved_state.h"
#include "common/util.h"
#include "dm/pci.h"
#include "dm/shm_pool.h"
#include "dm/shm_server.h"

#define READY_SECONDS 20.0
/* Where nothing else is: above RAM, below the BARs and above them. */
#define MMIO_BASE 0xd0000000ULL
#define SHM_BASE  (32ULL << 30)
#define FIRST_IRQ 3

static const uint8_t identity[SAVED_STATE_IDENTITY_LEN] = "a local guest";

void rig_options_default(struct rig_options *options)
{
    *options = (struct rig_options){
        .local = {.ram_low = MIB(64),
                  .ram_high = MIB(128),
                  .ram_fd = -1,
                  .pci = {.has_intx = true, .first_slot = 4},
                  .nr_irqs = GUEST_OS_NR_LINES},
        .nr_devices = 1,
    };
    for (unsigned i = 0; i < RIG_MAX_DEVICES; i++) {
        options->devices[i].type = device_type_find("blk");
        options->devices[i].slot = PCI_SLOT_ANY;
    }
}

void rig_options_mmio(struct rig_options *options, unsigned i)
{
    options->devices[i].transport = TRANSPORT_MMIO;
    options->devices[i].place = (struct virtio_mmio_place){
        .base = MMIO_BASE + i * VIRTIO_MMIO_LEN, .shm_base = SHM_BASE + i * GIB(4), .irq = FIRST_IRQ + i};
}

static void device_ready(void *ctx, struct device *device)
{
    (void)device;
    ((struct rig *)ctx)->nr_ready++;
}

static void device_not_ready(void *ctx, struct device *device, int err, const char *why)
{
    struct rig *rig = ctx;

    (void)device;
    rig->nr_failed++;
    snprintf(rig->error, sizeof(rig->error), "%s (%s)", why, strerror(-err));
}

static const struct device_callbacks device_callbacks = {.ready = device_ready, .failed = device_not_ready};

static bool all_answered(void *ctx)
{
    const struct rig *rig = ctx;

    return rig->nr_failed > 0 || rig->nr_ready == rig->nr_devices;
}

static int fail(struct rig *rig, int err, const char *what)
{
    if (rig->error[0] == '\0')
        snprintf(rig->error, sizeof(rig->error), "%s: %s", what, strerror(-err));
    rig_close(rig);
    return err;
}

static int devices_open(struct rig *rig, const struct rig_options *options)
{
    struct guest_os waiter = {.loop = rig->loop};
    const char *why;
    int err;

    for (unsigned i = 0; i < options->nr_devices; i++) {
        err = device_new(&rig->devices[i], &rig->guest, &options->devices[i], i, &device_callbacks, rig);
        if (err < 0)
            return err;
        rig->nr_devices++;
    }
    if (!guest_os_wait(&waiter, all_answered, rig, READY_SECONDS))
        return -ETIMEDOUT;
    if (rig->nr_failed > 0)
        return -EIO;
    for (unsigned i = 0; i < rig->nr_devices; i++) {
        err = device_plug(rig->devices[i], &why);
        if (err < 0) {
            snprintf(rig->error, sizeof(rig->error), "plug: %s", why);
            return err;
        }
    }
    return 0;
}

static int shm_open_at(struct rig *rig, const struct rig_options *options)
{
    int err = shm_pool_new(&rig->shm, rig->hv, rig->saved, options->shm_limit);

    if (err == 0)
        err = shm_server_new(&rig->shm_server, rig->loop, rig->shm, options->shm_path, rig->hv->name);
    rig->guest.shm = rig->shm;
    return err;
}

int rig_open(struct rig *rig, const struct rig_options *options, struct guest_os *os)
{
    struct hypervisor *hv = NULL;
    int err, holder;

    *rig = (struct rig){.os = os};
    rig->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    if (rig->loop == NULL)
        return fail(rig, -ENOMEM, "event loop");
    err = local_new(&hv, &options->local, &guest_os_callbacks, os);
    if (err < 0)
        return fail(rig, err, "local hypervisor");
    rig->hv = hv;
    err = saved_state_open(&rig->saved, options->saved_path, identity, &holder);
    if (err < 0)
        return fail(rig, err, "saved state");
    err = guest_init(&rig->guest, rig->loop, rig->hv, rig->saved);
    if (err < 0)
        return fail(rig, err, "guest");
    rig->guest_is_made = true;
    if (options->shm_path != NULL)
        err = shm_open_at(rig, options);
    if (err < 0)
        return fail(rig, err, "shared pages");
    err = devices_open(rig, options);
    if (err < 0)
        return fail(rig, err, "devices");
    err = rig->hv->ops->start(rig->hv);
    if (err < 0)
        return fail(rig, err, "start");
    guest_os_adopt(os, rig->hv, rig->loop);
    return 0;
}

static void rig_end(struct rig *rig, bool remove)
{
    for (unsigned i = 0; i < rig->nr_devices; i++)
        device_free(rig->devices[i]);
    rig->nr_devices = 0;
    if (rig->guest_is_made)
        guest_fini(&rig->guest);
    rig->guest_is_made = false;
    shm_server_free(rig->shm_server);
    shm_pool_free(rig->shm);
    rig->shm_server = NULL;
    rig->shm = NULL;
    if (rig->hv != NULL)
        rig->hv->ops->detach(rig->hv);
    rig->hv = NULL;
    saved_state_close(rig->saved, remove);
    rig->saved = NULL;
    if (rig->loop != NULL)
        ev_loop_destroy(rig->loop);
    rig->loop = NULL;
}

void rig_close(struct rig *rig)
{
    rig_end(rig, true);
}

void rig_leave(struct rig *rig)
{
    rig_end(rig, false);
}

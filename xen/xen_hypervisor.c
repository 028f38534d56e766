// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * xen_hypervisor.c - the Xen implementation of dm/hypervisor.h: puts the parts of this folder together. It is
 * made by xen_attach.c; detaching undoes, in reverse, as many stages of that as were reached.
 */
#include "xen/xen_hypervisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ev.h>
#include <xenctrl.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>
#include <xentoolcore.h>

#include "common/log.h"
#include "common/region_table.h"
#include "common/util.h"
#include "dm/host.h"
#include "dm/hypervisor.h"
#include "xen/broker.h"
#include "xen/domain.h"
#include "xen/domain_watch.h"
#include "xen/foreign_cache.h"
#include "xen/guest_map.h"
#include "xen/ioreq_server.h"
#include "xen/privileged.h"
#include "xen/xen_internal.h"
#include "xen/xen_pages.h"
#include "xen/xen_state.h"

/* Seconds until pages that were busy are looked at again: the first time, and in the end. */
#define LATE_FIRST  0.0005
#define LATE_FACTOR 1.05
#define LATE_LAST   0.1

/* Device numbers below are QEMU's in an HVM guest (the PIIX at 1, then VGA, NICs, disks). */
#define HVM_FIRST_SLOT 0x10
/* In the last page of what is nobody's: docs/virtio-mmio.md, "Which numbers". The table knows it too. */
#define HVM_HOTPLUG_GPA 0xfebff000
/* 0 is a host bridge's place, which Linux does not miss. */
#define PVH_FIRST_SLOT 1

#if defined(__arm__) || defined(__aarch64__)
/* Shared peripheral interrupts (Arm GIC architecture, IHI 0069, 2.2.1). */
#define ARM_FIRST_SPI 32
#define ARM_LAST_SPI  1019
#else
#define NR_ISA_IRQS 16 /* of the two 8259 of a PC */
#endif

static struct xen_hypervisor *to_xen(struct hypervisor *hv)
{
    return container_of(hv, struct xen_hypervisor, base);
}

void xen_trouble(void *ctx)
{
    struct xen_hypervisor *xen = ctx;

    if (xen->broker)
        broker_poke(xen->broker);
    else
        domain_watch_poke(xen->watch);
}

/* The result of a libxendevicemodel call as ours. */
static int dm_result(struct xen_hypervisor *xen, int rc)
{
    if (rc >= 0)
        return 0;
    rc = -errno;
    xen_trouble(xen);
    return rc;
}

/* ---- ops: life cycle ---- */

static void between_events(struct ev_loop *loop, struct ev_prepare *prepare, int revents)
{
    struct xen_hypervisor *xen = container_of(prepare, struct xen_hypervisor, between_events);

    (void)loop;
    (void)revents;
    if (foreign_cache_over_limit(xen->cache))
        foreign_cache_trim(xen->cache);
    if (xen_pages_late(xen->pages) && !ev_is_active(&xen->late)) {
        xen->late_wait = LATE_FIRST;
        ev_timer_set(&xen->late, xen->late_wait, 0.);
        ev_timer_start(xen->loop, &xen->late);
    }
}

/* A vCPU that does nothing but touch the page is outside of an access for a small part of the time: it is
 * found there by trying again, less and less often. */
static void late_again(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
    struct xen_hypervisor *xen = container_of(timer, struct xen_hypervisor, late);

    (void)revents;
    xen_pages_place_late(xen->pages);
    if (!xen_pages_late(xen->pages))
        return;
    xen->late_wait = MIN(xen->late_wait * LATE_FACTOR, LATE_LAST);
    ev_timer_set(timer, xen->late_wait, 0.);
    ev_timer_start(loop, timer);
}

static void domain_ended(void *ctx, const char *why)
{
    struct xen_hypervisor *xen = ctx;

    xen->handler->guest_gone(xen->handler_ctx, why);
}

static int xen_set_handler(struct hypervisor *hv, struct ev_loop *loop,
                           const struct hypervisor_handler *handler, void *ctx)
{
    struct xen_hypervisor *xen = to_xen(hv);

    if (xen->loop)
        return -EBUSY;
    xen->loop = loop;
    xen->handler = handler;
    xen->handler_ctx = ctx;
    ev_prepare_init(&xen->between_events, between_events);
    ev_prepare_start(loop, &xen->between_events);
    ev_unref(loop); /* alone it is no reason to go on */
    ev_timer_init(&xen->late, late_again, 0., 0.);
    if (xen->broker)
        broker_watch(xen->broker, loop, domain_ended, xen);
    else
        domain_watch_start(xen->watch, loop, domain_ended, xen);
    return 0;
}

/* Undoes our pause. */
static int release(struct xen_hypervisor *xen)
{
    int rc;

    if (!xen->pause_held)
        return 0;
    rc = privileged_unpause(xen->priv);
    xen->pause_held = false;
    return rc;
}

static int xen_start(struct hypervisor *hv)
{
    struct xen_hypervisor *xen = to_xen(hv);
    int rc;

    if (!xen->loop)
        return -EINVAL;
    rc = ioreq_server_start(xen->server, xen->loop, xen->handler, xen->handler_ctx);
    return rc < 0 ? rc : dm_result(xen, release(xen) < 0 ? -1 : 0);
}

void xen_close(struct xen_hypervisor *xen, bool leave)
{
    if (xen->loop) {
        ev_ref(xen->loop);
        ev_prepare_stop(xen->loop, &xen->between_events);
        ev_timer_stop(xen->loop, &xen->late);
    }
    domain_watch_free(xen->watch);
    if (leave)
        ioreq_server_leave(xen->server);
    else
        ioreq_server_free(xen->server);
    xen_pages_free(xen->pages);
    foreign_cache_free(xen->cache);
    if (xen->priv)
        release(xen);
    if (xen->nr_files > 0 && !leave)
        privileged_files_remove(xen->priv, xen->nr_files);
    privileged_free(xen->priv);
    if (xen->fmem)
        xenforeignmemory_close(xen->fmem);
    if (xen->dmod)
        xendevicemodel_close(xen->dmod);
    if (xen->xch)
        xc_interface_close(xen->xch);
    free(xen);
}

static void xen_detach(struct hypervisor *hv)
{
    xen_close(to_xen(hv), false);
}

static void xen_leave(struct hypervisor *hv)
{
    xen_close(to_xen(hv), true);
}

/* The interfaces to Xen that we keep are good for this guest alone from now on; libxenctrl's has no such
 * form. */
static int xen_confine(struct hypervisor *hv)
{
    struct xen_hypervisor *xen = to_xen(hv);

    if (!xen->broker)
        return -EINVAL;
    if (xen->xch)
        xc_interface_close(xen->xch);
    xen->xch = NULL;
    return xentoolcore_restrict_all(xen->info.domid) != 0 ? -errno : 0;
}

static void xen_files_remove(struct hypervisor *hv, unsigned nr)
{
    to_xen(hv)->nr_files = nr;
}

/* ---- ops: this host ---- */

static uint64_t xen_process_start(struct hypervisor *hv, int fd)
{
    return privileged_process_start(to_xen(hv)->priv, fd);
}

static bool xen_process_name(struct hypervisor *hv, int fd, char *name, size_t len)
{
    return privileged_process_name(to_xen(hv)->priv, fd, name, len);
}

static bool xen_file_name(struct hypervisor *hv, int fd, char *name, size_t len)
{
    return privileged_file_name(to_xen(hv)->priv, fd, name, len);
}

static int xen_device_memory(struct hypervisor *hv, int fd, uint64_t offset, uint64_t len, uint64_t *addr)
{
    int rc = privileged_device_find(to_xen(hv)->priv, fd, offset, len >> GUEST_PAGE_SHIFT, addr);

    *addr <<= GUEST_PAGE_SHIFT;
    return rc;
}

static int xen_socket_known(struct hypervisor *hv, const char *path)
{
    return privileged_socket_known(to_xen(hv)->priv, path);
}

static int xen_socket_connect(struct hypervisor *hv, const char *path)
{
    return privileged_socket_connect(to_xen(hv)->priv, path);
}

static int xen_device_grant(struct hypervisor *hv, const char *text)
{
    return privileged_device_grant(to_xen(hv)->priv, text);
}

static int xen_devices_list(struct hypervisor *hv, const char *const *lines, size_t nr)
{
    return privileged_devices_list(to_xen(hv)->priv, lines, nr);
}

static const struct host_ops xen_host_ops = {
    .process_start = xen_process_start,
    .process_name = xen_process_name,
    .file_name = xen_file_name,
    .device_memory = xen_device_memory,
    .socket_known = xen_socket_known,
    .socket_connect = xen_socket_connect,
    .device_grant = xen_device_grant,
    .devices_list = xen_devices_list,
};

/* ---- ops: memory, ranges, interrupts, PCI ---- */

static int xen_add_ram(struct hypervisor *hv, struct region_table *table)
{
    struct xen_hypervisor *xen = to_xen(hv);

    for (uint32_t i = 0; i < xen->state->nr_ram; i++) {
        struct region region = {
            .gpa = xen->state->ram[i].gpa,
            .len = xen->state->ram[i].len,
            .kind = REGION_RAM_FOREIGN,
            .ram = {.domid = xen->info.domid},
        };
        int rc = region_table_insert(table, &region);

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Xen says only of single pages whether the guest has them. Where it has Xen's own, or a device's memory, no
 * RAM ever comes. */
static int xen_find_ram(struct hypervisor *hv, uint64_t gpa, uint64_t from, uint64_t to,
                        struct region *region)
{
    struct xen_hypervisor *xen = to_xen(hv);
    uint64_t limit = xen->info.kind == DOMAIN_HVM ? GUEST_MAP_LOW_LIMIT_HVM : GUEST_MAP_LOW_LIMIT_PVH;
    uint64_t first, end;

    if ((gpa >= limit && gpa < GIB(4)) || !foreign_cache_around(xen->cache, gpa, &first, &end))
        return -ENOENT;
    if (gpa < limit)
        to = MIN(to, limit);
    first = MAX(first, from);
    end = MIN(end, to);
    *region = (struct region){
        .gpa = first, .len = end - first, .kind = REGION_RAM_FOREIGN, .ram = {.domid = xen->info.domid}};
    return 0;
}

static void *xen_map_ram(struct hypervisor *hv, uint64_t gpa, size_t *len)
{
    return foreign_cache_map(to_xen(hv)->cache, gpa, len);
}

static int xen_ram_export(struct hypervisor *hv, uint64_t gpa, struct ram_export *export)
{
    struct xen_hypervisor *xen = to_xen(hv);

    (void)gpa;
    *export = (struct ram_export){.access = SHARED_BY_DOMAIN, .fd = -1, .domid = xen->info.domid};
    return privileged_guest_open(xen->priv, &export->fd);
}

/* The last byte of a range that hypervisor.h gives by its length. */
static bool last_of(enum access_space space, uint64_t first, uint64_t len, uint64_t *last)
{
    uint64_t limit = space == ACCESS_PIO ? UINT16_MAX : UINT64_MAX;

    if (space == ACCESS_PCI_CONFIG || len == 0 || first > limit || len - 1 > limit - first)
        return false;
    *last = first + len - 1;
    return true;
}

static int xen_range_add(struct hypervisor *hv, enum access_space space, uint64_t first, uint64_t len)
{
    uint64_t last;

    return last_of(space, first, len, &last) ? ioreq_server_range_add(to_xen(hv)->server, space, first, last)
                                             : -EINVAL;
}

static int xen_range_remove(struct hypervisor *hv, enum access_space space, uint64_t first, uint64_t len)
{
    uint64_t last;

    return last_of(space, first, len, &last)
               ? ioreq_server_range_remove(to_xen(hv)->server, space, first, last)
               : -EINVAL;
}

static int xen_pci_add(struct hypervisor *hv, uint32_t sbdf)
{
    return ioreq_server_range_add(to_xen(hv)->server, ACCESS_PCI_CONFIG, sbdf, sbdf);
}

static int xen_pci_remove(struct hypervisor *hv, uint32_t sbdf)
{
    return ioreq_server_range_remove(to_xen(hv)->server, ACCESS_PCI_CONFIG, sbdf, sbdf);
}

static int xen_msi_inject(struct hypervisor *hv, uint64_t addr, uint32_t data)
{
    struct xen_hypervisor *xen = to_xen(hv);

    return dm_result(xen, xendevicemodel_inject_msi(xen->dmod, xen->info.domid, addr, data));
}

static int xen_intx_set(struct hypervisor *hv, uint32_t sbdf, uint8_t pin, bool level)
{
    struct xen_hypervisor *xen = to_xen(hv);

    /* A PVH guest has no interrupt controller for it, and Xen has been seen to panic when one is driven. */
    if (xen->info.kind != DOMAIN_HVM)
        return -ENOTSUP;
    return dm_result(xen,
                     xendevicemodel_set_pci_intx_level(xen->dmod, xen->info.domid, (uint16_t)(sbdf >> 16),
                                                       (uint8_t)(sbdf >> 8), sbdf >> 3 & 0x1f, pin, level));
}

#if defined(__arm__) || defined(__aarch64__)
static int xen_irq_set(struct hypervisor *hv, uint32_t irq, bool level)
{
    struct xen_hypervisor *xen = to_xen(hv);

    if (irq < ARM_FIRST_SPI || irq > ARM_LAST_SPI)
        return -EINVAL;
    return dm_result(xen, xendevicemodel_set_irq_level(xen->dmod, xen->info.domid, irq, level));
}
#else
static int xen_irq_set(struct hypervisor *hv, uint32_t irq, bool level)
{
    struct xen_hypervisor *xen = to_xen(hv);

    /* As for INTx: on a PVH guest this has been seen to bring down the whole host. */
    if (xen->info.kind != DOMAIN_HVM)
        return -ENOTSUP;
    /* 0 is the timer's, 2 the cascade. */
    if (irq == 0 || irq == 2 || irq >= NR_ISA_IRQS)
        return -EINVAL;
    return dm_result(xen, xendevicemodel_set_isa_irq_level(xen->dmod, xen->info.domid, (uint8_t)irq, level));
}
#endif

static int xen_pci_host(struct hypervisor *hv, struct pci_host *host)
{
    struct xen_hypervisor *xen = to_xen(hv);

    if (xen->info.kind == DOMAIN_HVM)
        *host =
            (struct pci_host){.has_intx = true, .first_slot = HVM_FIRST_SLOT, .hotplug_gpa = HVM_HOTPLUG_GPA};
    else
        *host = (struct pci_host){
            .has_ecam = true,
            .ecam_gpa = xen->state->ecam_gpa,
            .ecam_len = xen->state->ecam_len,
            .first_slot = PVH_FIRST_SLOT,
        };
    return 0;
}

const struct hypervisor_ops xen_ops = {
    .name = "xen",
    .set_handler = xen_set_handler,
    .start = xen_start,
    .detach = xen_detach,
    .leave = xen_leave,
    .add_ram = xen_add_ram,
    .find_ram = xen_find_ram,
    .map_ram = xen_map_ram,
    .ram_export = xen_ram_export,
    .range_add = xen_range_add,
    .range_remove = xen_range_remove,
    .pci_add = xen_pci_add,
    .pci_remove = xen_pci_remove,
    .msi_inject = xen_msi_inject,
    .intx_set = xen_intx_set,
    .irq_set = xen_irq_set,
    .pci_host = xen_pci_host,
    .pages = &xen_page_ops,
    .confine = xen_confine,
    .files_remove = xen_files_remove,
    .host = &xen_host_ops,
};

struct xen_pages *xen_pages_of(struct hypervisor *hv)
{
    return to_xen(hv)->pages;
}

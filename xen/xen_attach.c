// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * xen_attach.c - makes a xen_hypervisor. Attaching is a row of stages, each of which says what is wrong when
 * it fails:
 *
 *   interfaces   open libxenctrl, libxendevicemodel, libxenforeignmemory
 *   state        what an earlier vhost-dm for this domain left (xen_state.h)
 *   privileged   who carries out what takes rights on more than the guest, and holds it, until ops->start
 *   memory       the cache of mappings; where the guest has RAM
 *   pci          a PVH guest gets a PCI host bridge
 *   pages        what a predecessor put into its physmap is taken away
 *   saving       is refused from now on
 *   server       the ioreq server
 *   watch        for the end of the domain
 */
#include "xen/xen_hypervisor.h"

#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>

#include "common/log.h"
#include "common/saved_state.h"
#include "xen/broker.h"
#include "xen/domain.h"
#include "xen/domain_watch.h"
#include "xen/foreign_cache.h"
#include "xen/guest_map.h"
#include "xen/ioreq_server.h"
#include "xen/no_save.h"
#include "xen/privileged.h"
#include "xen/pvh_acpi.h"
#include "xen/xen_errors.h"
#include "xen/xen_internal.h"
#include "xen/xen_logger.h"
#include "xen/xen_pages.h"
#include "xen/xen_state.h"

/* 2 MiB each: 8 GiB of address space, and 1 MiB of our memory, at the most; twice that during an event. */
#define CACHE_CHUNKS 4096

_Static_assert(2 * CACHE_CHUNKS > MAP_RAM_KEPT, "the cache keeps what map_ram promises");

/* Without the CPUID leaf: the least that an x86-64 processor has. */
#define GPA_BITS_MIN 36

/* Where a stage tells what is wrong. */
struct reason {
    char *text;
    size_t len;
};

static int fail(const struct reason *why, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int fail(const struct reason *why, int rc, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(why->text, why->len, fmt, args);
    va_end(args);
    return rc;
}

static int stage_interfaces(struct xen_hypervisor *xen, uint16_t domid, const struct reason *why)
{
    int rc;

    xen->xch = xc_interface_open(xen_logger(), xen_logger(), 0);
    if (xen->xch)
        xen->dmod = xendevicemodel_open(xen_logger(), 0);
    if (xen->dmod)
        xen->fmem = xenforeignmemory_open(xen_logger(), 0);
    if (!xen->fmem)
        return xen_explain_open(errno, why->text, why->len);

    rc = domain_info_get(xen->xch, domid, &xen->info);
    if (rc < 0)
        return fail(why, rc == -ESRCH ? -ENOENT : rc, "asking Xen about the domain: %s", strerror(-rc));
    if (domain_end_reason(&xen->info))
        return fail(why, -ENOENT, "%s", domain_end_reason(&xen->info));
    if (xen->info.kind == DOMAIN_PV)
        return fail(
            why, -ENOTSUP,
            "it is a PV guest, whose accesses to devices cannot be served: use type=\"pvh\" or type=\"hvm\" "
            "in its configuration");
    return 0;
}

/* Whether what is in a file can be what we wrote. */
static bool state_sane(const struct xen_state *state, uint16_t domid)
{
    if (state->version != XEN_STATE_VERSION || state->domid != domid || state->nr_ram > XEN_RAM_MAX)
        return false;
    for (int i = 0; i < XEN_RANGE_KINDS; i++)
        if (state->nr_ranges[i] > XEN_RANGES_MAX)
            return false;
    return true;
}

static int stage_state(struct xen_hypervisor *xen, struct saved_state *saved, const struct reason *why)
{
    bool resumed;
    struct xen_state *state = saved_state_area(saved, XEN_STATE_AREA, sizeof(*state), &resumed);

    if (!state)
        return fail(why, -ENOMEM, "no room in the saved state");
    if (!resumed || !state_sane(state, xen->info.domid)) {
        memset(state, 0, sizeof(*state));
        state->version = XEN_STATE_VERSION;
        state->domid = xen->info.domid;
    }
    xen->state = state;
    return 0;
}

static int stage_memory(struct xen_hypervisor *xen, struct guest_map *map, const struct reason *why)
{
    struct xen_state *state = xen->state;
    int rc = -ENOENT;

    memset(map, 0, sizeof(*map));
    xen->cache = foreign_cache_new(xen->fmem, xen->info.domid, CACHE_CHUNKS);
    if (!xen->cache)
        return fail(why, -ENOMEM, "no memory");
    if (xen->info.kind == DOMAIN_HVM && !state->nr_ram)
        rc = guest_map_read_hvm(map, xen->cache);
    else if (xen->info.kind == DOMAIN_PVH && xen->info.never_ran)
        rc = guest_map_read_pvh(map, xen->cache, xen->xch, xen->info.domid);
    if (state->nr_ram)
        return 0;
    if (rc < 0)
        rc =
            guest_map_probe(map, xen->fmem, xen->xch, xen->info.domid, xen->info.max_memkb,
                            xen->info.kind == DOMAIN_HVM ? GUEST_MAP_LOW_LIMIT_HVM : GUEST_MAP_LOW_LIMIT_PVH);
    if (rc < 0)
        return fail(why, rc, "its memory cannot be mapped (%s)%s", strerror(-rc),
                    rc == -EPERM ? ": from a PVH dom0 that takes Xen 4.19 or later" : "");
    for (unsigned i = 0; i < map->nr && state->nr_ram < XEN_RAM_MAX; i++)
        if (map->entry[i].type == GUEST_MAP_RAM)
            state->ram[state->nr_ram++] = (struct xen_ram_range){map->entry[i].gpa, map->entry[i].len};
    return 0;
}

/* The width of physical addresses, which is that of the machine, as dom0 sees it. */
static unsigned gpa_bits(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(0x80000008, &a, &b, &c, &d) || (a & 0xff) < GPA_BITS_MIN)
        return GPA_BITS_MIN;
    return a & 0xff;
}

static int stage_pci(struct xen_hypervisor *xen, const struct guest_map *map, const struct reason *why)
{
    struct xen_state *state = xen->state;
    struct pvh_windows windows;
    int rc;

    if (xen->info.kind != DOMAIN_PVH || state->ecam_valid)
        return 0;
    rc = pvh_acpi_find(xen->cache, &windows);
    if (rc < 0) {
        if (!xen->info.never_ran)
            return fail(why, -EBUSY,
                        "this PVH guest has begun to run without a PCI host bridge, which can only be given "
                        "to it before: "
                        "start it with 'xl create -p', then vhost-dm, then 'xl unpause'");
        if (!map->rsdp_gpa)
            return fail(why, -ENOTSUP,
                        "this PVH guest has no ACPI tables to which a PCI host bridge could be added: acpi=1 "
                        "is needed "
                        "in its configuration, and it cannot be a restored one");
        rc = pvh_windows_choose(&windows, map, gpa_bits());
        if (rc < 0)
            return fail(why, rc, "its memory leaves no room for PCI in the guest's address space");
        rc = pvh_acpi_add(xen->cache, xen->xch, xen->info.domid, xen->info.max_memkb, map, &windows);
        if (rc < 0)
            return fail(why, rc, "adding a PCI host bridge to its ACPI tables: %s", strerror(-rc));
    }
    state->ecam_gpa = windows.ecam_gpa;
    state->ecam_len = windows.ecam_len;
    state->ecam_valid = true;
    return 0;
}

static int stage_server(struct xen_hypervisor *xen, const struct reason *why)
{
    struct ioreq_server_env env = {
        .dmod = xen->dmod,
        .fmem = xen->fmem,
        .cache = xen->cache,
        .state = xen->state,
        .domid = xen->info.domid,
        .name = xen->base.name,
        .trouble = xen_trouble,
        .trouble_ctx = xen,
    };
    int rc = ioreq_server_new(&xen->server, &env);

    if (rc == -ENOSPC)
        return fail(why, rc, "it has as many device models (ioreq servers) as Xen allows");
    if (rc == -ENOTSUP)
        return fail(why, rc, "it has more vCPUs than one page of requests has room for (128)");
    if (rc < 0)
        return fail(why, rc, "becoming its device model (ioreq server): %s", strerror(-rc));
    xen_pages_set_server(xen->pages, xen->server);
    return 0;
}

static int stage_pages(struct xen_hypervisor *xen, struct saved_state *saved, const struct reason *why)
{
    struct xen_pages_env env = {xen->priv, xen->dmod, xen->fmem, &xen->info, saved, &xen->pause_held};
    int rc = xen_pages_new(&xen->pages, &env);

    return rc < 0 ? fail(why, rc, "the record of its shared pages: %s", strerror(-rc)) : 0;
}

/* What a predecessor's broker was in the middle of has to be over. */
static int stage_privileged(struct xen_hypervisor *xen, const struct xen_domain *domain,
                            const struct xen_attach *how, const struct reason *why)
{
    struct privileged_scope scope = {.domid = domain->domid,
                                     .max_shared_pages = how->max_shared_pages,
                                     .nr_files = how->nr_files,
                                     .files = how->files,
                                     .nr_devices = how->nr_devices,
                                     .devices = how->devices,
                                     .grants_path = how->grants_path,
                                     .list_path = how->list_path,
                                     .grant_socket = how->grant_socket,
                                     .kept_path = how->kept_path};
    int rc;

    memcpy(scope.uuid, xen->info.uuid, sizeof(scope.uuid));
    snprintf(scope.name, sizeof(scope.name), "%s", domain->name);
    rc = how->confined ? broker_new(&xen->broker, &scope) : privileged_server_new(&xen->priv, &scope);
    if (rc < 0)
        return fail(why, rc,
                    rc == -ENOTCONN ? "xenstore does not answer (%s): is xenstored running?"
                    : rc == -EBUSY
                        ? "the process that acted for an earlier vhost-dm with more rights does not end: %s"
                        : "the process that acts for it with more rights cannot be started: %s",
                    strerror(-rc));
    if (xen->broker)
        xen->priv = broker_privileged(xen->broker);
    xen->pause_held = true;
    return 0;
}

/* Once its driver has seen a device, the guest cannot go anywhere without. */
static void stage_saving(struct xen_hypervisor *xen)
{
    int rc = no_save_mark(xen->info.domid);

    if (rc < 0)
        log_warning(
            "%s: xenstore, device/suspend/event-channel: %s: 'xl save' and 'xl migrate' are not refused, "
            "and its devices do not survive them",
            xen->base.name, strerror(-rc));
}

static int stage_watch(struct xen_hypervisor *xen, const struct reason *why)
{
    int rc = xen->broker ? 0 : domain_watch_new(&xen->watch, xen->xch, xen->info.domid, xen->base.name);

    return rc < 0 ? fail(why, rc, "xenstore does not answer (%s): is xenstored running?", strerror(-rc)) : 0;
}

int xen_hypervisor_attach(struct hypervisor **out, struct xen_domain *domain, struct saved_state *saved,
                          const struct xen_attach *how, char *why, size_t why_len)
{
    struct reason reason = {why, why_len};
    struct xen_hypervisor *xen = calloc(1, sizeof(*xen));
    struct guest_map map;
    int rc;

    if (!xen)
        return fail(&reason, -ENOMEM, "no memory");
    xen->base.ops = &xen_ops;
    if (domain->name[0])
        snprintf(xen->base.name, sizeof(xen->base.name), "dom %u (%s)", domain->domid, domain->name);
    else
        snprintf(xen->base.name, sizeof(xen->base.name), "dom %u", domain->domid);
    xen->base.domid = domain->domid;
    snprintf(xen->base.guest_name, sizeof(xen->base.guest_name), "%s", domain->name);

    rc = stage_interfaces(xen, domain->domid, &reason);
    if (rc == 0)
        rc = stage_state(xen, saved, &reason);
    if (rc == 0)
        rc = stage_privileged(xen, domain, how, &reason);
    /* One pause is enough. */
    xen_domain_release(domain);
    if (rc == 0)
        rc = stage_memory(xen, &map, &reason);
    if (rc == 0)
        rc = stage_pci(xen, &map, &reason);
    if (rc == 0)
        rc = stage_pages(xen, saved, &reason);
    if (rc == 0) {
        stage_saving(xen);
        rc = stage_server(xen, &reason);
    }
    if (rc == 0)
        rc = stage_watch(xen, &reason);
    if (rc < 0) {
        xen_close(xen, xen->server && ioreq_server_is_adopted(xen->server));
        return rc;
    }
    xen->base.guest_type = xen->info.kind == DOMAIN_HVM ? "hvm" : "pvh";
    xen->base.resumed = ioreq_server_is_adopted(xen->server);
    *out = &xen->base;
    return 0;
}

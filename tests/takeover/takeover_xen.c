// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * takeover_xen.c - what a process that has been taken over asks of Xen for domains that are not its own: by
 * the libraries, and by the kernel's interface on every descriptor that it has. See takeover.h.
 */
#include <xenctrl.h> /* before the others: it says that we are tools */

#include "tests/takeover/takeover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/memory.h>
#include <xen/sys/evtchn.h>
#include <xen/sys/privcmd.h>
#include <xen/xen.h>

#define MAX_FDS   256
#define LAST_PORT 64
#define RAM_GFN   0x100 /* 1 MiB: RAM in every guest */

static long result_of(long rc)
{
    return rc < 0 ? -errno : rc;
}

/* ---- by the libraries ------------------------------------------------------------------------------ */

static long memory_map(const struct takeover *t, uint16_t domid, int prot)
{
    xen_pfn_t gfn = RAM_GFN;
    int error = 0;
    void *map = xenforeignmemory_map(t->fmem, domid, prot, 1, &gfn, &error);

    if (map == NULL)
        return -errno;
    if (error != 0)
        return error < 0 ? error : -error;
    return 0;
}

static long resource_map(const struct takeover *t, uint16_t domid)
{
    void *addr = NULL;

    return xenforeignmemory_map_resource(t->fmem, domid, XENMEM_resource_grant_table, 0, 0, 1, &addr,
                                         PROT_READ | PROT_WRITE, 0) != NULL
               ? 0
               : -errno;
}

static long port_bind(const struct takeover *t, uint16_t domid)
{
    for (evtchn_port_t port = 1; port <= LAST_PORT; port++)
        if (xenevtchn_bind_interdomain(t->events, domid, port) >= 0)
            return 0;
    return -errno;
}

static void by_library(const struct takeover *t, uint16_t domid)
{
    struct {
        const char *what;
        long result;
    } tries[] = {
        {"read", memory_map(t, domid, PROT_READ)},
        {"write", memory_map(t, domid, PROT_READ | PROT_WRITE)},
        {"grant-table", resource_map(t, domid)},
        {"new-port", result_of(xenevtchn_bind_unbound_port(t->events, domid))},
        {"port", port_bind(t, domid)},
    };
    char name[64];

    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        snprintf(name, sizeof(name), "xen-%s-%u", tries[i].what, domid);
        takeover_say(name, tries[i].result);
    }
}

/* A device model's operations; none is for a domain like dom0. */
static void by_device_model(const struct takeover *t, uint16_t domid)
{
    char name[64];
    unsigned vcpus;
    int rc = xendevicemodel_nr_vcpus(t->dmod, domid, &vcpus);

    snprintf(name, sizeof(name), "xen-device-model-%u", domid);
    takeover_say(name, result_of(rc));
}

/* ---- by the kernel's interface ---------------------------------------------------------------------- */

static long raw_hypercall(int fd)
{
    privcmd_hypercall_t call = {.op = __HYPERVISOR_xen_version};

    return result_of(ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &call));
}

static long raw_map(int fd, uint16_t domid)
{
    void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    xen_pfn_t gfn = RAM_GFN;
    int error = 0;
    privcmd_mmapbatch_v2_t batch = {
        .num = 1, .dom = domid, .addr = (uintptr_t)map, .arr = &gfn, .err = &error};
    long rc = map == MAP_FAILED ? -errno : result_of(ioctl(fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &batch));

    if (map != MAP_FAILED && rc < 0)
        munmap(map, 4096);
    return rc < 0 ? rc : error < 0 ? error : -error;
}

/* In a process with all rights this would take them from it. */
static long raw_restrict(int fd, uint16_t domid)
{
    domid_t dom = domid;

    return result_of(ioctl(fd, IOCTL_PRIVCMD_RESTRICT, &dom));
}

/* Of all descriptors, that which comes farthest. */
static void by_kernel(const struct takeover *t, uint16_t domid)
{
    long hypercall = -EBADF, map = -EBADF, restriction = -EBADF, port = -EBADF;
    char name[64];

    for (int fd = 0; fd < MAX_FDS; fd++) {
        struct ioctl_evtchn_bind_unbound_port bind = {.remote_domain = domid};
        long rc[4] = {raw_hypercall(fd), raw_map(fd, domid), t->confined ? raw_restrict(fd, domid) : -EBADF,
                      result_of(ioctl(fd, IOCTL_EVTCHN_BIND_UNBOUND_PORT, &bind))};

        hypercall = rc[0] >= 0 || hypercall == -EBADF ? rc[0] : hypercall;
        map = rc[1] >= 0 || map == -EBADF ? rc[1] : map;
        restriction = rc[2] >= 0 || restriction == -EBADF ? rc[2] : restriction;
        port = rc[3] >= 0 || port == -EBADF ? rc[3] : port;
    }
    snprintf(name, sizeof(name), "xen-raw-hypercall-%u", domid);
    takeover_say(name, hypercall);
    snprintf(name, sizeof(name), "xen-raw-map-%u", domid);
    takeover_say(name, map);
    snprintf(name, sizeof(name), "xen-raw-port-%u", domid);
    takeover_say(name, port);
    snprintf(name, sizeof(name), "xen-raw-restrict-%u", domid);
    if (t->confined)
        takeover_say(name, restriction);
}

void takeover_xen(const struct takeover *t)
{
    for (unsigned i = 0; i < t->nr_others; i++) {
        by_library(t, t->others[i]);
        by_device_model(t, t->others[i]);
        by_kernel(t, t->others[i]);
    }
    /* So that it is seen that the handles are good for something. */
    takeover_say("own-memory", memory_map(t, t->domain, PROT_READ));
}

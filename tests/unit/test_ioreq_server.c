// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_ioreq_server.c - our ioreq server (xen/ioreq_server.h) on a fake Xen: requests get their answers,
 * ranges keep their rules, and a server that a killed process has left, with requests in every state, is
 * taken over. The fake takes the place of libxendevicemodel, libxenevtchn and the mapping of the page (linked
 * with --wrap).
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ev.h>
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xen/hvm/ioreq.h>

#include "common/util.h"
#include "tests/unit/fake_xen_memory.h"
#include "tests/unit/unit.h"
#include "xen/foreign_cache.h"
#include "xen/ioreq_server.h"

#define NR_VCPUS 4
#define DEVICE   0xf0000000u

/* ---- the fake Xen ---- */

struct fake_range {
    int kind;
    uint64_t first, last;
};

static struct {
    bool exists, enabled;
    ioservid_t id;
    unsigned nr_vcpus, nr_creates, nr_destroys, nr_ranges, nr_notified[NR_VCPUS], nr_unmasked, nr_opened,
        nr_mapped;
    struct fake_range ranges[3 * XEN_RANGES_MAX];
    struct ioreq slots[128];
    bool bound[NR_VCPUS];
    int create_error, bind_error, map_error, range_error;
    int pipe[2]; /* one byte for each event: the vCPU */
} xen;

int __wrap_xendevicemodel_create_ioreq_server(xendevicemodel_handle *h, domid_t d, int buf, ioservid_t *id);
int __wrap_xendevicemodel_destroy_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t id);
int __wrap_xendevicemodel_set_ioreq_server_state(xendevicemodel_handle *h, domid_t d, ioservid_t id, int on);
int __wrap_xendevicemodel_nr_vcpus(xendevicemodel_handle *h, domid_t d, unsigned int *vcpus);
int __wrap_xendevicemodel_map_io_range_to_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t id,
                                                       int mmio, uint64_t first, uint64_t last);
int __wrap_xendevicemodel_unmap_io_range_from_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t id,
                                                           int mmio, uint64_t first, uint64_t last);
int __wrap_xendevicemodel_map_pcidev_to_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t id,
                                                     uint16_t segment, uint8_t bus, uint8_t device,
                                                     uint8_t function);
int __wrap_xendevicemodel_unmap_pcidev_from_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t id,
                                                         uint16_t segment, uint8_t bus, uint8_t device,
                                                         uint8_t function);
xenforeignmemory_resource_handle *__wrap_xenforeignmemory_map_resource(xenforeignmemory_handle *h, domid_t d,
                                                                       unsigned int type, unsigned int id,
                                                                       unsigned long frame, unsigned long nr,
                                                                       void **addr, int prot, int flags);
int __wrap_xenforeignmemory_unmap_resource(xenforeignmemory_handle *h, xenforeignmemory_resource_handle *res);
xenevtchn_handle *__wrap_xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags);
int __wrap_xenevtchn_close(xenevtchn_handle *h);
int __wrap_xenevtchn_fd(xenevtchn_handle *h);
xenevtchn_port_or_error_t __wrap_xenevtchn_bind_interdomain(xenevtchn_handle *h, uint32_t d,
                                                            evtchn_port_t remote);
xenevtchn_port_or_error_t __wrap_xenevtchn_pending(xenevtchn_handle *h);
int __wrap_xenevtchn_unmask(xenevtchn_handle *h, evtchn_port_t port);
int __wrap_xenevtchn_notify(xenevtchn_handle *h, evtchn_port_t port);

static int failure(int error)
{
    errno = error;
    return -1;
}

/* Ports: Xen's end of vCPU n is 100 + n, ours 200 + n. */
static void server_make(void)
{
    xen.exists = true;
    xen.id = (ioservid_t)(3 + xen.nr_creates);
    xen.nr_ranges = 0;
    memset(xen.slots, 0, sizeof(xen.slots));
}

int __wrap_xendevicemodel_create_ioreq_server(xendevicemodel_handle *h, domid_t d, int buf, ioservid_t *id)
{
    ck_assert(h && d == FAKE_DOMID && buf == HVM_IOREQSRV_BUFIOREQ_OFF && !xen.exists);
    if (xen.create_error)
        return failure(xen.create_error);
    xen.nr_creates++;
    server_make();
    *id = xen.id;
    return 0;
}

int __wrap_xendevicemodel_destroy_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t id)
{
    ck_assert(h && d == FAKE_DOMID);
    if (!xen.exists || id != xen.id)
        return failure(ENOENT);
    xen.exists = xen.enabled = false;
    xen.nr_destroys++;
    xen.nr_ranges = 0;
    return 0;
}

int __wrap_xendevicemodel_set_ioreq_server_state(xendevicemodel_handle *h, domid_t d, ioservid_t id, int on)
{
    ck_assert(h && d == FAKE_DOMID);
    if (!xen.exists || id != xen.id)
        return failure(ENOENT);
    if (on && !xen.enabled)
        for (unsigned i = 0; i < NR_VCPUS; i++)
            xen.slots[i].vp_eport = 100 + i;
    xen.enabled = on;
    return 0;
}

int __wrap_xendevicemodel_nr_vcpus(xendevicemodel_handle *h, domid_t d, unsigned int *vcpus)
{
    ck_assert(h && d == FAKE_DOMID);
    *vcpus = xen.nr_vcpus;
    return 0;
}

static int range_map(int kind, uint64_t first, uint64_t last, ioservid_t id)
{
    if (!xen.exists || id != xen.id)
        return failure(ENOENT);
    if (xen.range_error)
        return failure(xen.range_error);
    for (unsigned i = 0; i < xen.nr_ranges; i++)
        if (xen.ranges[i].kind == kind && first <= xen.ranges[i].last && xen.ranges[i].first <= last)
            return failure(EEXIST);
    xen.ranges[xen.nr_ranges++] = (struct fake_range){kind, first, last};
    return 0;
}

static int range_unmap(int kind, uint64_t first, uint64_t last)
{
    for (unsigned i = 0; i < xen.nr_ranges; i++) {
        if (xen.ranges[i].kind != kind || xen.ranges[i].first != first || xen.ranges[i].last != last)
            continue;
        xen.ranges[i] = xen.ranges[--xen.nr_ranges];
        return 0;
    }
    return failure(ENOENT);
}

int __wrap_xendevicemodel_map_io_range_to_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t id,
                                                       int mmio, uint64_t first, uint64_t last)
{
    ck_assert(h && d == FAKE_DOMID);
    return range_map(mmio, first, last, id);
}

int __wrap_xendevicemodel_unmap_io_range_from_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t id,
                                                           int mmio, uint64_t first, uint64_t last)
{
    ck_assert(h && d == FAKE_DOMID && id == xen.id);
    return range_unmap(mmio, first, last);
}

static uint64_t sbdf_of(uint16_t segment, uint8_t bus, uint8_t device, uint8_t function)
{
    ck_assert(device < 32 && function < 8);
    return (uint64_t)segment << 16 | (uint64_t)bus << 8 | (uint64_t)device << 3 | function;
}

int __wrap_xendevicemodel_map_pcidev_to_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t id,
                                                     uint16_t segment, uint8_t bus, uint8_t device,
                                                     uint8_t function)
{
    uint64_t sbdf = sbdf_of(segment, bus, device, function);

    ck_assert(h && d == FAKE_DOMID);
    return range_map(2, sbdf, sbdf, id);
}

int __wrap_xendevicemodel_unmap_pcidev_from_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t id,
                                                         uint16_t segment, uint8_t bus, uint8_t device,
                                                         uint8_t function)
{
    uint64_t sbdf = sbdf_of(segment, bus, device, function);

    ck_assert(h && d == FAKE_DOMID && id == xen.id);
    return range_unmap(2, sbdf, sbdf);
}

xenforeignmemory_resource_handle *__wrap_xenforeignmemory_map_resource(xenforeignmemory_handle *h, domid_t d,
                                                                       unsigned int type, unsigned int id,
                                                                       unsigned long frame, unsigned long nr,
                                                                       void **addr, int prot, int flags)
{
    (void)prot;
    (void)flags;
    ck_assert(h == FAKE_FMEM && d == FAKE_DOMID && type == 0 && frame == 1 && nr == 1);
    if (xen.map_error || !xen.exists || id != xen.id) {
        errno = xen.map_error ? xen.map_error : ENOENT;
        return NULL;
    }
    xen.nr_mapped++;
    *addr = xen.slots;
    return (xenforeignmemory_resource_handle *)&xen;
}

int __wrap_xenforeignmemory_unmap_resource(xenforeignmemory_handle *h, xenforeignmemory_resource_handle *res)
{
    ck_assert(h == FAKE_FMEM && (void *)res == (void *)&xen && xen.nr_mapped > 0);
    xen.nr_mapped--;
    return 0;
}

xenevtchn_handle *__wrap_xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
    ck_assert(logger && flags == 0);
    ck_assert_int_eq(pipe2(xen.pipe, O_CLOEXEC), 0);
    xen.nr_opened++;
    return (xenevtchn_handle *)&xen;
}

int __wrap_xenevtchn_close(xenevtchn_handle *h)
{
    ck_assert((void *)h == (void *)&xen);
    memset(xen.bound, 0, sizeof(xen.bound));
    xen.nr_opened--;
    close(xen.pipe[1]);
    return close(xen.pipe[0]);
}

int __wrap_xenevtchn_fd(xenevtchn_handle *h)
{
    ck_assert((void *)h == (void *)&xen);
    return xen.pipe[0];
}

static void event_send(unsigned vcpu)
{
    uint8_t byte = (uint8_t)vcpu;

    ck_assert_int_eq(write(xen.pipe[1], &byte, 1), 1);
}

xenevtchn_port_or_error_t __wrap_xenevtchn_bind_interdomain(xenevtchn_handle *h, uint32_t d,
                                                            evtchn_port_t remote)
{
    ck_assert((void *)h == (void *)&xen && d == FAKE_DOMID && remote >= 100 && remote < 100 + NR_VCPUS);
    if (xen.bind_error)
        return failure(xen.bind_error);
    xen.bound[remote - 100] = true;
    event_send(remote - 100); /* as Xen does: something may have been missed */
    return (int)remote + 100;
}

xenevtchn_port_or_error_t __wrap_xenevtchn_pending(xenevtchn_handle *h)
{
    uint8_t byte;

    ck_assert((void *)h == (void *)&xen);
    return read(xen.pipe[0], &byte, 1) == 1 ? 200 + byte : -1;
}

int __wrap_xenevtchn_unmask(xenevtchn_handle *h, evtchn_port_t port)
{
    ck_assert((void *)h == (void *)&xen && port >= 200 && port < 200 + NR_VCPUS);
    xen.nr_unmasked++;
    return 0;
}

int __wrap_xenevtchn_notify(xenevtchn_handle *h, evtchn_port_t port)
{
    unsigned vcpu = port - 200;

    ck_assert((void *)h == (void *)&xen && vcpu < NR_VCPUS && xen.bound[vcpu]);
    ck_assert_uint_eq(xen.slots[vcpu].state, STATE_IORESP_READY);
    xen.nr_notified[vcpu]++;
    return 0;
}

/* ---- the device ---- */

static unsigned nr_accesses, nr_done, nr_changed, nr_trouble;
static uint64_t written;
static unsigned state_seen;

static void on_access(void *ctx, struct guest_access *access)
{
    ck_assert_ptr_eq(ctx, &written);
    nr_accesses++;
    state_seen = xen.slots[0].state;
    if (access->write)
        memcpy(&written, access->data, MIN(access->len, sizeof(written)));
    else if (access->addr >= DEVICE)
        memset(access->data, 0x5a, access->len);
}

static void on_done(void *ctx)
{
    (void)ctx;
    nr_done++;
}

static void on_changed(void *ctx)
{
    (void)ctx;
    nr_changed++;
}

static void on_gone(void *ctx, const char *why)
{
    (void)ctx;
    ck_abort_msg("%s", why);
}

static void on_trouble(void *ctx)
{
    (void)ctx;
    nr_trouble++;
}

static size_t on_window_copy(void *ctx, uint64_t gpa, void *buf, size_t len, bool to_guest)
{
    (void)ctx, (void)gpa, (void)buf, (void)len, (void)to_guest;
    return 0;
}

static const struct hypervisor_handler handler = {
    .access = on_access,
    .window_copy = on_window_copy,
    .accesses_done = on_done,
    .memory_changed = on_changed,
    .guest_gone = on_gone,
};

static struct xen_state state;
static struct foreign_cache *cache;
static struct ioreq_server *server;
static struct ev_loop *loop;

static int attach(void)
{
    struct ioreq_server_env env = {
        .dmod = (xendevicemodel_handle *)&xen,
        .fmem = FAKE_FMEM,
        .cache = cache,
        .state = &state,
        .domid = FAKE_DOMID,
        .name = "dom 7",
        .trouble = on_trouble,
    };

    return ioreq_server_new(&server, &env);
}

static void world_start(void)
{
    fake_memory_reset();
    memset(&xen, 0, sizeof(xen));
    memset(&state, 0, sizeof(state));
    xen.nr_vcpus = NR_VCPUS;
    nr_accesses = nr_done = nr_changed = nr_trouble = 0;
    cache = foreign_cache_new(FAKE_FMEM, FAKE_DOMID, 16);
    loop = ev_loop_new(0);
    server = NULL;
}

/* Lets the loop run until no event is left. */
static void events_drain(void)
{
    int left;

    do {
        ev_run(loop, EVRUN_NOWAIT);
        ck_assert_int_eq(ioctl(xen.pipe[0], FIONREAD, &left), 0);
    } while (left);
}

static void start(void)
{
    ck_assert_int_eq(ioreq_server_start(server, loop, &handler, &written), 0);
    events_drain();
}

static void world_end(void)
{
    ioreq_server_free(server);
    ck_assert(!xen.exists && !state.server_valid);
    ck_assert_uint_eq(xen.nr_opened, 0);
    ck_assert_uint_eq(xen.nr_mapped, 0);
    foreign_cache_free(cache);
    ck_assert_uint_eq(fake.mapped_pages, 0);
    ev_loop_destroy(loop);
}

/* A process that ends without a word: the kernel unmaps and unbinds, Xen keeps the rest. The memory of the
 * object is what a test cannot let go of, so its parts are taken over by hand. */
static void killed(void)
{
    ev_loop_destroy(loop); /* the watchers with it */
    loop = ev_loop_new(0);
    __wrap_xenevtchn_close((xenevtchn_handle *)&xen);
    xen.nr_mapped = 0;
    free(server);
    server = NULL;
}

static void request_put(unsigned vcpu, uint8_t type, bool write, uint64_t addr, uint64_t data,
                        unsigned slot_state)
{
    struct ioreq *slot = &xen.slots[vcpu];

    slot->type = type;
    slot->dir = write ? IOREQ_WRITE : IOREQ_READ;
    slot->addr = addr;
    slot->data = data;
    slot->size = 4;
    slot->count = 1;
    slot->data_is_ptr = 0;
    slot->df = 0;
    slot->state = (uint8_t)(slot_state & 0xf);
}

/* ---- tests ---- */

START_TEST(test_serve)
{
    world_start();
    ck_assert_int_eq(attach(), 0);
    ck_assert(xen.exists && xen.enabled && state.server_valid);
    ck_assert_uint_eq(state.server_id, xen.id);
    start();
    ck_assert_uint_eq(nr_accesses, 0);

    request_put(0, IOREQ_TYPE_COPY, false, DEVICE, 0, STATE_IOREQ_READY);
    event_send(0);
    nr_done = xen.nr_unmasked = 0;
    ev_run(loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(nr_accesses, 1);
    ck_assert_uint_eq(state_seen, STATE_IOREQ_INPROCESS);
    ck_assert_uint_eq(xen.slots[0].data, 0x5a5a5a5a);
    ck_assert_uint_eq(xen.slots[0].state, STATE_IORESP_READY);
    ck_assert_uint_eq(xen.nr_notified[0], 1);
    ck_assert_uint_eq(xen.nr_unmasked, 1);
    ck_assert_uint_eq(nr_done, 1);

    /* several vCPUs at once are one round */
    for (unsigned i = 0; i < NR_VCPUS; i++) {
        request_put(i, IOREQ_TYPE_PIO, true, 0x80, 0x1000 + i, STATE_IOREQ_READY);
        event_send(i);
    }
    nr_done = 0;
    ev_run(loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(nr_accesses, 1 + NR_VCPUS);
    ck_assert_uint_eq(nr_done, 1);
    ck_assert_uint_eq(written, 0x1003);

    /* an event without a request changes nothing */
    event_send(2);
    ev_run(loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(nr_accesses, 1 + NR_VCPUS);
    ck_assert_uint_eq(xen.nr_notified[2], 1);
    world_end();
    ck_assert_uint_eq(nr_trouble, 0);
}
END_TEST

/* Every type is answered. */
START_TEST(test_types)
{
    size_t len = 1;

    world_start();
    fake_memory_set(0, MIB(2), true);
    ck_assert_int_eq(attach(), 0);
    start();
    ck_assert_ptr_nonnull(foreign_cache_map(cache, 0, &len));
    for (unsigned type = 0; type < 256; type++) {
        unsigned before = xen.nr_notified[1];

        request_put(1, (uint8_t)type, false, 0, 0, STATE_IOREQ_READY);
        if (type == IOREQ_TYPE_INVALIDATE)
            xen.slots[1].count = 0;
        event_send(1);
        ev_run(loop, EVRUN_NOWAIT);
        ck_assert_uint_eq(xen.nr_notified[1], before + 1);
        if (type > IOREQ_TYPE_INVALIDATE)
            ck_assert_uint_eq(xen.slots[1].data, UINT64_MAX);
    }
    ck_assert_uint_eq(nr_accesses, 3);
    ck_assert_uint_eq(nr_changed, 1);
    ck_assert_uint_eq(fake.mapped_pages, 0);
    world_end();
}
END_TEST

/* The string instruction's memory is the guest's. */
START_TEST(test_string)
{
    world_start();
    fake_memory_set(0, MIB(2), true);
    memset(fake_memory_at(0x1234), 0x77, 64);
    ck_assert_int_eq(attach(), 0);
    start();
    request_put(3, IOREQ_TYPE_COPY, true, DEVICE, 0x1234, STATE_IOREQ_READY);
    xen.slots[3].data_is_ptr = 1;
    xen.slots[3].count = 16;
    event_send(3);
    ev_run(loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(nr_accesses, 1);
    ck_assert_uint_eq(written, 0x7777777777777777);
    ck_assert_uint_eq(xen.slots[3].data, 0x1234); /* stays an address */
    request_put(3, IOREQ_TYPE_COPY, false, DEVICE, 0x1ffe, STATE_IOREQ_READY);
    xen.slots[3].data_is_ptr = 1;
    event_send(3);
    ev_run(loop, EVRUN_NOWAIT);
    ck_assert_mem_eq(fake_memory_at(0x1ffd), "\0\x5a\x5a\x5a\x5a\0", 6);
    world_end();
}
END_TEST

START_TEST(test_ranges)
{
    world_start();
    ck_assert_int_eq(attach(), 0);
    ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_MMIO, DEVICE, DEVICE + 0xfff), 0);
    ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_MMIO, DEVICE + 0xfff, DEVICE + 0x1000), -EEXIST);
    ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_MMIO, 0, UINT64_MAX), -EEXIST);
    ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_MMIO, 5, 4), -EINVAL);
    ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_MMIO, DEVICE + 0x1000, DEVICE + 0x1000), 0);
    ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_PIO, DEVICE, DEVICE), 0); /* another space */
    ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_PCI_CONFIG, 0x80, 0x80), 0);
    ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_PCI_CONFIG, 0x80, 0x80), -EEXIST);
    ck_assert_uint_eq(xen.nr_ranges, 4);
    ck_assert_int_eq(ioreq_server_range_remove(server, ACCESS_MMIO, DEVICE, DEVICE + 0xffe), -ENOENT);
    ck_assert_int_eq(ioreq_server_range_remove(server, ACCESS_PIO, DEVICE, DEVICE + 0xfff), -ENOENT);
    ck_assert_int_eq(ioreq_server_range_remove(server, ACCESS_MMIO, DEVICE, DEVICE + 0xfff), 0);
    ck_assert_int_eq(ioreq_server_range_remove(server, ACCESS_MMIO, DEVICE, DEVICE + 0xfff), -ENOENT);
    ck_assert_uint_eq(xen.nr_ranges, 3);

    for (uint64_t i = 1; i < XEN_RANGES_MAX; i++)
        ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_MMIO, i * 0x10000, i * 0x10000 + 7), 0);
    ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_MMIO, 8, 8), -ENOSPC);
    ck_assert_int_eq(ioreq_server_range_remove(server, ACCESS_MMIO, 0x10000, 0x10007), 0);
    ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_MMIO, 8, 8), 0);
    ck_assert_uint_eq(nr_trouble, 0);

    /* what Xen refuses is not remembered */
    xen.range_error = ESRCH;
    ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_PIO, 1, 2), -ESRCH);
    ck_assert_uint_eq(nr_trouble, 1);
    xen.range_error = 0;
    ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_PIO, 1, 2), 0);
    world_end();
}
END_TEST

START_TEST(test_adopt)
{
    pid_t dying;

    world_start();
    ck_assert_int_eq(attach(), 0);
    ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_MMIO, DEVICE, DEVICE + 0xfff), 0);
    ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_PCI_CONFIG, 0x88, 0x88), 0);
    start();
    request_put(0, IOREQ_TYPE_COPY, true, DEVICE, 1, STATE_IOREQ_INPROCESS); /* not ended */
    request_put(1, IOREQ_TYPE_COPY, false, DEVICE, 0, STATE_IOREQ_READY);    /* not seen */
    request_put(2, IOREQ_TYPE_COPY, false, DEVICE, 42, STATE_IORESP_READY);  /* not announced */
    request_put(3, IOREQ_TYPE_COPY, false, DEVICE, 43, STATE_IOREQ_NONE);
    killed();
    /* killed between noting a range down and telling Xen */
    state.ranges[ACCESS_PIO][state.nr_ranges[ACCESS_PIO]++] = (struct xen_range){0x70, 0x77};

    memset(xen.nr_notified, 0, sizeof(xen.nr_notified));
    nr_accesses = 0;
    ck_assert_int_eq(state.pid, getpid());
    dying = fork(); /* the predecessor takes its time to end */
    ck_assert_int_ge(dying, 0);
    if (dying == 0) {
        poll(NULL, 0, 100);
        _exit(0);
    }
    state.pid = dying;
    ck_assert_int_eq(attach(), 0);
    ck_assert_int_eq(waitpid(dying, NULL, WNOHANG), dying);
    ck_assert_uint_eq(xen.nr_creates, 1);
    ck_assert_uint_eq(xen.nr_destroys, 0);
    ck_assert_uint_eq(xen.nr_ranges, 0);
    ck_assert_uint_eq(nr_accesses, 0); /* not before start */
    ck_assert_int_eq(ioreq_server_range_add(server, ACCESS_MMIO, DEVICE, DEVICE + 0xfff), 0);
    nr_done = 0;
    ck_assert_int_eq(ioreq_server_start(server, loop, &handler, &written), 0);
    ck_assert_uint_eq(nr_accesses, 2);
    ck_assert_uint_eq(nr_done, 1);
    ck_assert_uint_eq(written, 1);
    ck_assert_uint_eq(xen.slots[1].data, 0x5a5a5a5a);
    ck_assert_uint_eq(xen.slots[2].data, 42);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(xen.nr_notified[i], 1);
    ck_assert_uint_eq(xen.nr_notified[3], 0);
    events_drain();
    ck_assert_uint_eq(nr_accesses, 2);
    world_end();
}
END_TEST

/* A server that is not there any more, or that cannot be taken over, is replaced. */
START_TEST(test_adopt_fails)
{
    world_start();
    ck_assert_int_eq(attach(), 0);
    killed();
    xen.exists = xen.enabled = false;
    ck_assert_int_eq(attach(), 0);
    ck_assert_uint_eq(xen.nr_creates, 2);
    killed();
    xen.bind_error = EINVAL;
    ck_assert_int_eq(attach(), -EINVAL);
    ck_assert_uint_eq(xen.nr_creates, 3);
    ck_assert_uint_eq(xen.nr_destroys, 2); /* the old one and the new one */
    xen.bind_error = 0;
    ck_assert_int_eq(attach(), 0);
    world_end();
}
END_TEST

/* Nobody waits for a server that goes. */
START_TEST(test_free_answers)
{
    world_start();
    ck_assert_int_eq(attach(), 0);
    start();
    request_put(0, IOREQ_TYPE_COPY, false, DEVICE, 0, STATE_IOREQ_READY);
    request_put(1, IOREQ_TYPE_COPY, true, DEVICE, 5, STATE_IOREQ_INPROCESS);
    nr_accesses = 0;
    world_end();
    ck_assert_uint_eq(nr_accesses, 0);
    ck_assert_uint_eq(xen.nr_notified[0], 1);
    ck_assert_uint_eq(xen.nr_notified[1], 1);
    ck_assert_uint_eq(xen.slots[0].data, UINT64_MAX);
    ck_assert_uint_eq(xen.slots[0].state, STATE_IORESP_READY);
}
END_TEST

START_TEST(test_new_fails)
{
    world_start();
    xen.nr_vcpus = 129;
    ck_assert_int_eq(attach(), -ENOTSUP);
    xen.nr_vcpus = 128; /* of which four were made */
    xen.create_error = ENOSPC;
    ck_assert_int_eq(attach(), -ENOSPC);
    xen.create_error = 0;
    xen.map_error = EPERM;
    ck_assert_int_eq(attach(), -EPERM);
    ck_assert(!xen.exists && !state.server_valid);
    xen.map_error = 0;
    ck_assert_int_eq(attach(), 0);
    world_end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ioreq_server");
    TCase *tcase = tcase_create("server");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_serve);
    tcase_add_test(tcase, test_types);
    tcase_add_test(tcase, test_string);
    tcase_add_test(tcase, test_ranges);
    tcase_add_test(tcase, test_adopt);
    tcase_add_test(tcase, test_adopt_fails);
    tcase_add_test(tcase, test_free_answers);
    tcase_add_test(tcase, test_new_fails);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}

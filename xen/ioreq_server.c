// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ioreq_server.c - see ioreq_server.h.
 *
 * A vCPU that touches a range of ours stops, its slot becomes READY and its event channel fires. We make the
 * slot INPROCESS, serve it, make it IORESP_READY and notify; a slot that is not answered stops its vCPU for
 * ever. Slots only ever move forward: Xen ends a domain whose slot goes back.
 *
 * The server belongs to the domain that created it, not to our process. When we are killed it stays, with its
 * ranges, and vCPUs wait in READY or INPROCESS slots; the event channels are unbound on our side only. A new
 * process binds them again and serves these slots, INPROCESS ones a second time: a request is not known to
 * have had its effect before its answer is there.
 */
#include "xen/ioreq_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include <ev.h>
#include <xen/memory.h>
#include <xenevtchn.h>

#include "common/log.h"
#include "common/util.h"
#include "xen/foreign_cache.h"
#include "xen/ioreq_access.h"
#include "xen/xen_logger.h"

#define SLOTS_PER_PAGE (GUEST_PAGE_SIZE / sizeof(struct ioreq))

/* The end of a killed process takes milliseconds; its number may belong to another by now, which stays. */
#define PREDECESSOR_MS 1000

struct ioreq_server {
    struct ioreq_server_env env;
    ioservid_t id;
    unsigned nr_vcpus;
    xenforeignmemory_resource_handle *resource;
    volatile struct shared_iopage *page;
    xenevtchn_handle *events;
    int ports[SLOTS_PER_PAGE]; /* our end of each vCPU's channel, or -1 */
    bool owned;                /* id is a server of ours in Xen */
    bool adopted;              /* ... that a predecessor made */

    struct ev_loop *loop; /* NULL before start */
    struct ev_io io;
    const struct hypervisor_handler *handler;
    void *handler_ctx;
    struct ioreq_target target;
    struct log_limit limit;
};

/* ---- ranges ---- */

static int range_hypercall(struct ioreq_server *server, enum access_space space, uint64_t first,
                           uint64_t last, bool add)
{
    const struct ioreq_server_env *env = &server->env;
    uint16_t segment = (uint16_t)(first >> 16);
    uint8_t bus = (uint8_t)(first >> 8), device = first >> 3 & 0x1f, function = first & 7;
    int rc = -1;

    switch (space) {
    case ACCESS_MMIO:
    case ACCESS_PIO:
        rc = add ? xendevicemodel_map_io_range_to_ioreq_server(env->dmod, env->domid, server->id,
                                                               space == ACCESS_MMIO, first, last)
                 : xendevicemodel_unmap_io_range_from_ioreq_server(env->dmod, env->domid, server->id,
                                                                   space == ACCESS_MMIO, first, last);
        break;
    case ACCESS_PCI_CONFIG:
        rc = add ? xendevicemodel_map_pcidev_to_ioreq_server(env->dmod, env->domid, server->id, segment, bus,
                                                             device, function)
                 : xendevicemodel_unmap_pcidev_from_ioreq_server(env->dmod, env->domid, server->id, segment,
                                                                 bus, device, function);
        break;
    }
    return rc < 0 ? -errno : 0;
}

int ioreq_server_range_add(struct ioreq_server *server, enum access_space space, uint64_t first,
                           uint64_t last)
{
    struct xen_state *state = server->env.state;
    struct xen_range *ranges = state->ranges[space];
    uint32_t *nr = &state->nr_ranges[space];
    int rc;

    if (last < first)
        return -EINVAL;
    for (uint32_t i = 0; i < *nr; i++)
        if (first <= ranges[i].last && ranges[i].first <= last)
            return -EEXIST;
    if (*nr == XEN_RANGES_MAX)
        return -ENOSPC;

    ranges[*nr] = (struct xen_range){first, last};
    atomic_signal_fence(
        memory_order_seq_cst); /* the entry is there before it counts, whenever we are killed */
    ++*nr;
    rc = range_hypercall(server, space, first, last, true);
    if (rc < 0) {
        --*nr;
        server->env.trouble(server->env.trouble_ctx);
    }
    return rc;
}

int ioreq_server_range_remove(struct ioreq_server *server, enum access_space space, uint64_t first,
                              uint64_t last)
{
    struct xen_state *state = server->env.state;
    struct xen_range *ranges = state->ranges[space];
    uint32_t *nr = &state->nr_ranges[space];
    int rc;

    for (uint32_t i = 0; i < *nr; i++) {
        if (ranges[i].first != first || ranges[i].last != last)
            continue;
        rc = range_hypercall(server, space, first, last, false);
        if (rc < 0 && rc != -ENOENT) {
            server->env.trouble(server->env.trouble_ctx);
            return rc;
        }
        ranges[i] = ranges[*nr - 1];
        atomic_signal_fence(memory_order_seq_cst);
        --*nr;
        return 0;
    }
    return -ENOENT;
}

/* Takes off every range that the state knows: those of a predecessor. The devices add theirs again. */
static void ranges_remove_all(struct ioreq_server *server)
{
    struct xen_state *state = server->env.state;

    for (int space = 0; space < XEN_RANGE_KINDS; space++) {
        for (uint32_t i = 0; i < MIN(state->nr_ranges[space], XEN_RANGES_MAX); i++)
            range_hypercall(server, (enum access_space)space, state->ranges[space][i].first,
                            state->ranges[space][i].last, false);
        state->nr_ranges[space] = 0;
    }
}

/* ---- requests ---- */

static void *target_map(void *ctx, uint64_t gpa, size_t *len)
{
    return foreign_cache_map(ctx, gpa, len);
}

static size_t target_window_copy(void *ctx, uint64_t gpa, void *buf, size_t len, bool to_guest)
{
    const struct ioreq_server *server = ctx;

    return server->handler->window_copy(server->handler_ctx, gpa, buf, len, to_guest);
}

static void request_serve(struct ioreq_server *server, struct ioreq *req)
{
    log_trace("%s: ioreq type %u %s addr 0x%llx size %u count %u%s%s data 0x%llx", server->env.name,
              req->type, req->dir == IOREQ_READ ? "read" : "write", (unsigned long long)req->addr, req->size,
              req->count, req->data_is_ptr ? " ptr" : "", req->df ? " down" : "",
              (unsigned long long)req->data);
    switch (req->type) {
    case IOREQ_TYPE_PIO:
    case IOREQ_TYPE_COPY:
    case IOREQ_TYPE_PCI_CONFIG:
        if (!ioreq_perform(req, &server->target))
            log_limited(&server->limit, LOG_LEVEL_WARNING, "%s: a request of size %u, count %u is not served",
                        server->env.name, req->size, req->count);
        break;
    case IOREQ_TYPE_INVALIDATE:
        foreign_cache_drop(server->env.cache);
        server->handler->memory_changed(server->handler_ctx);
        break;
    case IOREQ_TYPE_TIMEOFFSET: /* the guest has set its clock: of no meaning here */
        break;
    default:
        if (req->dir == IOREQ_READ && !req->data_is_ptr)
            req->data = ~(uint64_t)0;
        log_limited(&server->limit, LOG_LEVEL_WARNING, "%s: a request of unknown type %u is not served",
                    server->env.name, req->type);
    }
}

/* Tells Xen that the slot has its answer. */
static void slot_answer(struct ioreq_server *server, unsigned vcpu, const struct ioreq *req)
{
    volatile struct ioreq *slot = &server->page->vcpu_ioreq[vcpu];

    if (!req->data_is_ptr)
        slot->data = req->data;
    atomic_thread_fence(memory_order_release);
    slot->state = STATE_IORESP_READY;
    atomic_thread_fence(memory_order_seq_cst);
    if (xenevtchn_notify(server->events, (evtchn_port_t)server->ports[vcpu]) < 0)
        server->env.trouble(server->env.trouble_ctx);
}

static bool slot_waits(const struct ioreq_server *server, unsigned vcpu)
{
    return server->ports[vcpu] >= 0 && server->page->vcpu_ioreq[vcpu].state == STATE_IOREQ_READY;
}

/* Serves the slot if it has a request. */
static void slot_serve(struct ioreq_server *server, unsigned vcpu)
{
    volatile struct ioreq *slot = &server->page->vcpu_ioreq[vcpu];
    struct ioreq req;

    if (!slot_waits(server, vcpu))
        return;
    atomic_thread_fence(memory_order_acquire);
    req = *slot;
    slot->state = STATE_IOREQ_INPROCESS;
    request_serve(server, &req);
    slot_answer(server, vcpu, &req);
}

/* Serves what a predecessor has left: requests that it has not seen, has not ended, or has not announced the
 * answer of. */
static void slots_resume(struct ioreq_server *server)
{
    for (unsigned vcpu = 0; vcpu < server->nr_vcpus; vcpu++) {
        volatile struct ioreq *slot = &server->page->vcpu_ioreq[vcpu];

        if (server->ports[vcpu] < 0)
            continue;
        if (slot->state == STATE_IOREQ_INPROCESS) {
            struct ioreq req = *slot;

            log_debug("%s: vCPU %u waits since before", server->env.name, vcpu);
            request_serve(server, &req);
            slot_answer(server, vcpu, &req);
        } else if (slot->state == STATE_IORESP_READY) {
            xenevtchn_notify(server->events, (evtchn_port_t)server->ports[vcpu]);
        } else {
            slot_serve(server, vcpu);
        }
    }
}

/* Answers every request without serving it: all ones, writes are dropped. */
static void slots_release(struct ioreq_server *server)
{
    for (unsigned vcpu = 0; vcpu < server->nr_vcpus; vcpu++) {
        volatile struct ioreq *slot = &server->page->vcpu_ioreq[vcpu];
        struct ioreq req = *slot;

        if (server->ports[vcpu] < 0 || (req.state != STATE_IOREQ_READY && req.state != STATE_IOREQ_INPROCESS))
            continue;
        if (req.dir == IOREQ_READ && !req.data_is_ptr)
            req.data = ~(uint64_t)0;
        slot->state = STATE_IOREQ_INPROCESS;
        slot_answer(server, vcpu, &req);
    }
}

unsigned ioreq_server_busy(const struct ioreq_server *server, uint64_t *gfns, unsigned max)
{
    unsigned nr = 0;

    for (unsigned vcpu = 0; vcpu < server->nr_vcpus && nr < max; vcpu++) {
        volatile struct ioreq *slot = &server->page->vcpu_ioreq[vcpu];

        if (slot->state == STATE_IOREQ_NONE)
            continue;
        atomic_thread_fence(memory_order_acquire);
        if (slot->type == IOREQ_TYPE_COPY && !slot->data_is_ptr)
            gfns[nr++] = slot->addr >> GUEST_PAGE_SHIFT;
    }
    return nr;
}

static bool any_slot_waits(const struct ioreq_server *server)
{
    for (unsigned vcpu = 0; vcpu < server->nr_vcpus; vcpu++)
        if (slot_waits(server, vcpu))
            return true;
    return false;
}

/* One event, which the kernel hands out one a read. False: none was there. */
static bool event_serve(struct ioreq_server *server)
{
    xenevtchn_port_or_error_t port = xenevtchn_pending(server->events);

    if (port < 0)
        return false;
    for (unsigned vcpu = 0; vcpu < server->nr_vcpus; vcpu++)
        if (server->ports[vcpu] == port)
            slot_serve(server, vcpu);
    if (xenevtchn_unmask(server->events, (evtchn_port_t)port) < 0)
        server->env.trouble(server->env.trouble_ctx);
    return true;
}

static void events_ready(struct ev_loop *loop, struct ev_io *io, int revents)
{
    struct ioreq_server *server = container_of(io, struct ioreq_server, io);

    (void)loop;
    (void)revents;
    /* A further read is made only for a slot that is seen waiting: its event is there or about to be. One
     * round for the vCPUs, then the work that they asked for: a fast one does not keep it waiting. */
    for (unsigned i = 0; i < server->nr_vcpus; i++)
        if (!event_serve(server) || !any_slot_waits(server))
            break;
    server->handler->accesses_done(server->handler_ctx);
}

int ioreq_server_start(struct ioreq_server *server, struct ev_loop *loop,
                       const struct hypervisor_handler *handler, void *ctx)
{
    server->loop = loop;
    server->handler = handler;
    server->handler_ctx = ctx;
    server->target = (struct ioreq_target){
        .access = handler->access,
        .access_ctx = ctx,
        .map = target_map,
        .map_ctx = server->env.cache,
        .window_copy = target_window_copy,
        .window_ctx = server,
    };
    slots_resume(server);
    ev_io_init(&server->io, events_ready, xenevtchn_fd(server->events), EV_READ);
    ev_io_start(loop, &server->io);
    handler->accesses_done(ctx);
    return 0;
}

/* ---- making, taking over, removing ---- */

/* The page of slots and one bound port for each vCPU. On an error server_unmap undoes what was done. */
static int server_map(struct ioreq_server *server)
{
    const struct ioreq_server_env *env = &server->env;
    void *page = NULL;
    int fd, flags;

    server->resource = xenforeignmemory_map_resource(env->fmem, env->domid, XENMEM_resource_ioreq_server,
                                                     server->id, XENMEM_resource_ioreq_server_frame_ioreq(0),
                                                     1, &page, PROT_READ | PROT_WRITE, 0);
    if (!server->resource)
        return -errno;
    server->page = page;

    /* The ports are in the slots once the server is enabled. */
    if (xendevicemodel_set_ioreq_server_state(env->dmod, env->domid, server->id, 1) < 0)
        return -errno;

    server->events = xenevtchn_open(xen_logger(), 0);
    if (!server->events)
        return -errno;
    fd = xenevtchn_fd(server->events);
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    for (unsigned vcpu = 0; vcpu < server->nr_vcpus; vcpu++) {
        uint32_t remote = server->page->vcpu_ioreq[vcpu].vp_eport;

        if (!remote) /* a vCPU that was never made */
            continue;
        server->ports[vcpu] = xenevtchn_bind_interdomain(server->events, env->domid, remote);
        if (server->ports[vcpu] < 0)
            return -errno;
    }
    return 0;
}

static void server_unmap(struct ioreq_server *server)
{
    if (server->events)
        xenevtchn_close(server->events); /* unbinds the ports */
    server->events = NULL;
    for (unsigned i = 0; i < ARRAY_SIZE(server->ports); i++)
        server->ports[i] = -1;
    if (server->resource)
        xenforeignmemory_unmap_resource(server->env.fmem, server->resource);
    server->resource = NULL;
    server->page = NULL;
}

static void server_destroy(struct ioreq_server *server)
{
    const struct ioreq_server_env *env = &server->env;

    if (xendevicemodel_destroy_ioreq_server(env->dmod, env->domid, server->id) < 0)
        log_debug("%s: removing ioreq server %u: errno %d", env->name, server->id, errno);
    env->state->server_valid = false;
    server->owned = false;
    for (int space = 0; space < XEN_RANGE_KINDS; space++)
        env->state->nr_ranges[space] = 0;
}

/* Waits until the predecessor's end is complete: what locks the saved state goes before its event channels
 * do, and until then these cannot be bound. */
static void predecessor_await(pid_t pid)
{
    struct pollfd pfd = {.fd = -1, .events = POLLIN};

    if (pid > 0 && pid != getpid())
        pfd.fd = pidfd_open(pid, 0);
    if (pfd.fd < 0)
        return;
    if (poll(&pfd, 1, PREDECESSOR_MS) == 0)
        log_debug("process %d, which had the ioreq server, is still there, or another of that number", pid);
    close(pfd.fd);
}

/* The server that a predecessor has left. */
static int server_adopt(struct ioreq_server *server)
{
    int rc;

    server->id = server->env.state->server_id;
    server->owned = true;
    predecessor_await(server->env.state->pid);
    rc = server_map(server);
    if (rc < 0) {
        log_warning("%s: the ioreq server %u of an earlier vhost-dm cannot be taken over (errno %d); it is "
                    "replaced. A vCPU that waits for it may hang: then restart the guest",
                    server->env.name, server->id, -rc);
        server_unmap(server);
        server_destroy(server);
        return rc;
    }
    ranges_remove_all(server);
    server->adopted = true;
    log_info("%s: took over the ioreq server %u of an earlier vhost-dm", server->env.name, server->id);
    return 0;
}

static int server_create(struct ioreq_server *server)
{
    const struct ioreq_server_env *env = &server->env;
    int rc;

    if (xendevicemodel_create_ioreq_server(env->dmod, env->domid, HVM_IOREQSRV_BUFIOREQ_OFF, &server->id) < 0)
        return -errno;
    server->owned = true;
    env->state->server_id = server->id;
    atomic_signal_fence(memory_order_seq_cst);
    env->state->server_valid = true;
    rc = server_map(server);
    if (rc < 0) {
        server_unmap(server);
        server_destroy(server);
    }
    return rc;
}

int ioreq_server_new(struct ioreq_server **out, const struct ioreq_server_env *env)
{
    struct ioreq_server *server = calloc(1, sizeof(*server));
    int rc = -ENOENT;

    if (!server)
        return -ENOMEM;
    server->env = *env;
    for (unsigned i = 0; i < ARRAY_SIZE(server->ports); i++)
        server->ports[i] = -1;
    if (xendevicemodel_nr_vcpus(env->dmod, env->domid, &server->nr_vcpus) < 0) {
        rc = -errno;
        goto fail;
    }
    if (server->nr_vcpus > SLOTS_PER_PAGE) {
        rc = -ENOTSUP;
        goto fail;
    }
    if (env->state->server_valid)
        rc = server_adopt(server);
    if (rc < 0)
        rc = server_create(server);
    if (rc < 0)
        goto fail;
    env->state->pid = getpid();
    *out = server;
    return 0;
fail:
    free(server);
    return rc;
}

void ioreq_server_leave(struct ioreq_server *server)
{
    if (!server)
        return;
    if (server->loop)
        ev_io_stop(server->loop, &server->io);
    server_unmap(server);
    free(server);
}

bool ioreq_server_is_adopted(const struct ioreq_server *server)
{
    return server->adopted;
}

void ioreq_server_free(struct ioreq_server *server)
{
    if (!server)
        return;
    if (server->loop)
        ev_io_stop(server->loop, &server->io);
    /* First no new requests, then answers to the last ones: a vCPU whose server goes while it waits in one
     * would wait for ever. */
    ranges_remove_all(server);
    if (server->owned &&
        xendevicemodel_set_ioreq_server_state(server->env.dmod, server->env.domid, server->id, 0))
        log_debug("%s: disabling ioreq server %u: errno %d", server->env.name, server->id, errno);
    if (server->page)
        slots_release(server);
    server_unmap(server);
    if (server->owned)
        server_destroy(server);
    free(server);
}

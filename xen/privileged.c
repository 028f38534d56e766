// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * privileged.c - see privileged.h: the server, which carries requests out.
 * Requests may come from a process that a guest has taken over: what is not plainly about this guest is
 * refused.
 *
 * What a batched hypercall returns tells nothing of its single pages: each has an error of its own, which is
 * looked at.
 */
#include "xen/privileged.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <xenctrl.h> /* before the others: it says that we are tools */

#include <xen/sys/privcmd.h>
#include <xen/xen.h>
#include <xenforeignmemory.h>

#include "common/process.h"
#include "common/util.h"
#include "common/vhost_user_channel.h"
#include "dm/devices_list.h"
#include "dm/host.h"
#include "xen/domain.h"
#include "xen/privileged_internal.h"
#include "xen/xen_logger.h"

/* The most that a guest gets of this host's memory beyond its own; its holder's is in the scope. */
#define OWN_PAGES_MAX (GIB(1) >> GUEST_PAGE_SHIFT)
/* Of one request that only counts them. */
#define COUNT_PAGES_MAX ((uint64_t)1 << 32)
/* A pause of ours, and one while pages are placed. */
#define PAUSES_MAX 2

/* Xen's tables for a page that is alone in its 2 MiB: one page; and some for the levels above. */
#define TABLE_PAGES(nr_pages) ((nr_pages) / 512 + 8)
/* In all: for pages that lie in runs of 16 and more, or are far fewer than there may be. */
#define TABLE_PAGES_MAX(nr_pages) ((nr_pages) / 16)

/* privcmd, good for one domain from now on. */
static int privcmd_open(domid_t domid, int *fd)
{
    int rc;

    *fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (*fd < 0)
        return -errno;
    if (ioctl(*fd, IOCTL_PRIVCMD_RESTRICT, &domid) == 0)
        return 0;
    rc = -errno;
    close(*fd);
    *fd = -1;
    return rc;
}

/* ---- the guest's memory ---------------------------------------------------------------------------- */

static int guest_pause(struct privileged_server *s)
{
    int rc;

    if (s->kept->pauses >= PAUSES_MAX)
        return -EBUSY;
    /* Noted before, so that a guest does not stay paused if we are killed in between. */
    s->kept->pauses++;
    rc = domain_pause(s->xch, s->scope.domid);
    if (rc < 0)
        s->kept->pauses--;
    return rc;
}

static int guest_unpause(struct privileged_server *s)
{
    int rc;

    if (s->kept->pauses == 0)
        return -EINVAL;
    rc = domain_unpause(s->xch, s->scope.domid);
    s->kept->pauses--;
    return rc;
}

static int op_pause(struct privileged_server *s, const struct privileged_request *q, int fd,
                    struct privileged_reply *reply, int *fd_out)
{
    (void)q, (void)fd, (void)reply, (void)fd_out;
    return guest_pause(s);
}

static int op_unpause(struct privileged_server *s, const struct privileged_request *q, int fd,
                      struct privileged_reply *reply, int *fd_out)
{
    (void)q, (void)fd, (void)reply, (void)fd_out;
    return guest_unpause(s);
}

static int op_guest_open(struct privileged_server *s, const struct privileged_request *q, int fd,
                         struct privileged_reply *reply, int *fd_out)
{
    (void)q, (void)fd, (void)reply;
    return privcmd_open(s->scope.domid, fd_out);
}

static int op_tables_grow(struct privileged_server *s, const struct privileged_request *q, int fd,
                          struct privileged_reply *reply, int *fd_out)
{
    uint64_t size, now, more = TABLE_PAGES(q->nr_pages);
    int rc = 0;

    (void)fd, (void)reply, (void)fd_out;
    if (!range_within(s->kept->table_pages, more, TABLE_PAGES_MAX(s->scope.max_shared_pages + OWN_PAGES_MAX)))
        return -EDQUOT;
    if (xc_get_paging_mempool_size(s->xch, s->scope.domid, &size) != 0)
        return -errno;
    s->kept->table_pages += more;
    if (xc_set_paging_mempool_size(s->xch, s->scope.domid, size + more * GUEST_PAGE_SIZE) != 0)
        rc = -errno;
    /* What there was memory for the guest has got. */
    if (rc < 0 && xc_get_paging_mempool_size(s->xch, s->scope.domid, &now) == 0 && now >= size)
        s->kept->table_pages -= more - MIN(more, (now - size) / GUEST_PAGE_SIZE);
    return rc;
}

/* The limit as it is. If it is not what we have set, it is somebody else's (xl mem-max), and nothing of it is
 * ours. */
static int limit_get(struct privileged_server *s, struct kept_limit *limit)
{
    struct domain_info info;
    int rc = domain_info_get(s->xch, s->scope.domid, &info);

    if (rc < 0)
        return rc;
    *limit = (struct kept_limit){.kib = info.max_memkb};
    for (size_t i = 0; i < ARRAY_SIZE(s->kept->limits); i++)
        if (s->kept->limits[i].kib == info.max_memkb)
            limit->own_pages = MAX(limit->own_pages, s->kept->limits[i].own_pages);
    return 0;
}

static int limit_set(struct privileged_server *s, const struct kept_limit *from, const struct kept_limit *to)
{
    int rc;

    s->kept->limits[0] = *from;
    s->kept->limits[1] = *to;
    rc = xc_domain_setmaxmem(s->xch, s->scope.domid, to->kib) < 0 ? -errno : 0;
    if (rc < 0)
        s->kept->limits[1] = *from;
    else
        s->kept->limits[0] = *to;
    return rc;
}

static int limit_lower(struct privileged_server *s, uint64_t nr_pages)
{
    struct kept_limit from, to;
    int rc = limit_get(s, &from);

    nr_pages = rc < 0 ? 0 : MIN(nr_pages, MIN(from.own_pages, from.kib / 4));
    if (nr_pages == 0)
        return rc;
    to = (struct kept_limit){from.kib - nr_pages * 4, from.own_pages - nr_pages};
    return limit_set(s, &from, &to);
}

static int op_limit_raise(struct privileged_server *s, const struct privileged_request *q, int fd,
                          struct privileged_reply *reply, int *fd_out)
{
    struct kept_limit from, to;
    int rc = limit_get(s, &from);

    (void)fd, (void)reply, (void)fd_out;
    if (rc < 0)
        return rc;
    if (!range_within(from.own_pages, q->nr_pages, OWN_PAGES_MAX))
        return -EDQUOT;
    to = (struct kept_limit){from.kib + q->nr_pages * 4, from.own_pages + q->nr_pages};
    return limit_set(s, &from, &to);
}

static int op_limit_lower(struct privileged_server *s, const struct privileged_request *q, int fd,
                          struct privileged_reply *reply, int *fd_out)
{
    (void)fd, (void)reply, (void)fd_out;
    return q->nr_pages > OWN_PAGES_MAX ? -EDQUOT : limit_lower(s, q->nr_pages);
}

/* Whether the guest has nothing at any of nr_pages, at most PRIVILEGED_BATCH: 0, or -EEXIST. What is put over
 * its memory would hide that for good. */
static int nothing_there(struct privileged_server *s, uint64_t gfn, uint64_t nr_pages)
{
    struct xen_domctl ctl = {.cmd = XEN_DOMCTL_getpageframeinfo3,
                             .interface_version = XEN_DOMCTL_INTERFACE_VERSION,
                             .domain = s->scope.domid};
    DECLARE_HYPERCALL_BUFFER(xen_pfn_t, types);
    int rc = 0;

    if (nr_pages == 0)
        return 0;
    types = xc_hypercall_buffer_alloc(s->xch, types, nr_pages * sizeof(*types));
    if (!types)
        return -ENOMEM;
    for (uint64_t i = 0; i < nr_pages; i++)
        types[i] = gfn + i;
    ctl.u.getpageframeinfo3.num = nr_pages;
    set_xen_guest_handle(ctl.u.getpageframeinfo3.array, types);
    if (xc_domctl(s->xch, &ctl) < 0)
        rc = -errno;
    for (uint64_t i = 0; rc == 0 && i < nr_pages; i++)
        if ((types[i] & XEN_DOMCTL_PFINFO_LTAB_MASK) != XEN_DOMCTL_PFINFO_XTAB)
            rc = -EEXIST;
    xc_hypercall_buffer_free(s->xch, types);
    return rc;
}

static int op_own_populate(struct privileged_server *s, const struct privileged_request *q, int fd,
                           struct privileged_reply *reply, int *fd_out)
{
    xen_pfn_t gfns[PRIVILEGED_BATCH];
    int rc = nothing_there(s, q->gfn, q->nr_pages);

    (void)fd, (void)reply, (void)fd_out;
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < q->nr_pages; i++)
        gfns[i] = q->gfn + i;
    if (xc_domain_populate_physmap_exact(s->xch, s->scope.domid, q->nr_pages, 0, 0, gfns) < 0)
        return errno == EBUSY || errno == 0 ? -ENOMEM : -errno;
    return 0;
}

static int op_own_remove(struct privileged_server *s, const struct privileged_request *q, int fd,
                         struct privileged_reply *reply, int *fd_out)
{
    (void)fd, (void)reply, (void)fd_out;
    for (uint64_t i = 0; i < q->nr_pages; i++) {
        xen_pfn_t page = q->gfn + i;

        if (xc_domain_decrease_reservation(s->xch, s->scope.domid, 1, 0, &page) < 0 && errno == ESRCH)
            return -ESRCH;
    }
    return 0;
}

/* ---- the holder -------------------------------------------------------------------------------------- */

static void shared_remove(struct privileged_server *s, uint64_t gfn, uint64_t nr_pages)
{
    for (uint64_t i = 0; i < nr_pages; i++)
        if (xc_domain_remove_from_physmap(s->xch, s->scope.domid, gfn + i) < 0 && errno == ESRCH)
            return;
}

static bool holder_has(const struct privileged_server *s, uint64_t page, uint64_t nr_pages)
{
    return s->holder && range_within(page, nr_pages, s->holder_pages);
}

static int op_shared_place(struct privileged_server *s, const struct privileged_request *q, int fd,
                           struct privileged_reply *reply, int *fd_out)
{
    xen_ulong_t from[PRIVILEGED_BATCH];
    xen_pfn_t to[PRIVILEGED_BATCH];
    int errors[PRIVILEGED_BATCH] = {0}, rc;
    unsigned n = (unsigned)q->nr_pages, done;

    (void)fd, (void)fd_out;
    if (!holder_has(s, q->page, q->nr_pages) || !holder_exists(s->holder))
        return -EINVAL;
    rc = nothing_there(s, q->gfn, n);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < n; i++) {
        from[i] = HOLDER_FIRST_GFN + q->page + i;
        to[i] = q->gfn + i;
    }
    if (xc_domain_add_to_physmap_batch(s->xch, s->scope.domid, holder_domid(s->holder),
                                       XENMAPSPACE_gmfn_foreign, n, from, to, errors) != 0)
        rc = -errno;
    for (done = 0; done < n && errors[done] == 0 && rc == 0; done++)
        continue;
    if (done < n && rc == 0) {
        rc = errors[done];
        /* The call goes on behind an error. */
        for (unsigned i = done + 1; i < n; i++)
            if (errors[i] == 0)
                shared_remove(s, q->gfn + i, 1);
    } else if (rc < 0) {
        shared_remove(s, q->gfn, n);
    }
    reply->value = done;
    return rc;
}

static int op_shared_remove(struct privileged_server *s, const struct privileged_request *q, int fd,
                            struct privileged_reply *reply, int *fd_out)
{
    (void)fd, (void)reply, (void)fd_out;
    shared_remove(s, q->gfn, q->nr_pages);
    return 0;
}

static int op_holder_init(struct privileged_server *s, const struct privileged_request *q, int fd,
                          struct privileged_reply *reply, int *fd_out)
{
    int rc;

    (void)fd, (void)fd_out;
    if (s->holder)
        return -EBUSY;
    if (q->nr_pages > s->scope.max_shared_pages)
        return -EDQUOT;
    rc = holder_new(&s->holder, s->xch, s->fmem, s->scope.domid, s->scope.uuid, s->scope.name, q->nr_pages);
    if (rc < 0)
        return rc;
    s->holder_pages = q->nr_pages;
    reply->value = holder_exists(s->holder);
    return 0;
}

static int op_holder_open(struct privileged_server *s, const struct privileged_request *q, int fd,
                          struct privileged_reply *reply, int *fd_out)
{
    int rc = s->holder ? holder_ensure(s->holder) : -EINVAL;
    domid_t domid;

    (void)q, (void)fd;
    if (rc < 0)
        return rc;
    domid = holder_domid(s->holder);
    reply->value = domid;
    return privcmd_open(domid, fd_out);
}

static int op_holder_populate(struct privileged_server *s, const struct privileged_request *q, int fd,
                              struct privileged_reply *reply, int *fd_out)
{
    (void)fd, (void)reply, (void)fd_out;
    return holder_has(s, q->page, q->nr_pages) ? holder_populate(s->holder, q->page, q->nr_pages) : -EINVAL;
}

static int op_holder_release(struct privileged_server *s, const struct privileged_request *q, int fd,
                             struct privileged_reply *reply, int *fd_out)
{
    (void)fd, (void)reply, (void)fd_out;
    if (!holder_has(s, q->page, q->nr_pages))
        return -EINVAL;
    holder_release(s->holder, q->page, q->nr_pages);
    return 0;
}

static int op_holder_release_all(struct privileged_server *s, const struct privileged_request *q, int fd,
                                 struct privileged_reply *reply, int *fd_out)
{
    (void)q, (void)fd, (void)reply, (void)fd_out;
    if (!s->holder)
        return -EINVAL;
    holder_release_all(s->holder);
    return 0;
}

/* ---- this host ----------------------------------------------------------------------------------------- */

static int op_process_start(struct privileged_server *s, const struct privileged_request *q, int fd,
                            struct privileged_reply *reply, int *fd_out)
{
    pid_t pid = fd >= 0 ? process_of_peer(fd) : 0;

    (void)s, (void)q, (void)fd_out;
    if (pid == 0)
        return -EINVAL;
    reply->value = process_start_time(pid);
    return reply->value != 0 ? 0 : -ESRCH;
}

static int op_process_name(struct privileged_server *s, const struct privileged_request *q, int fd,
                           struct privileged_reply *reply, int *fd_out)
{
    pid_t pid = fd >= 0 ? process_of_peer(fd) : 0;

    (void)s, (void)q, (void)fd_out;
    if (pid == 0)
        return -EINVAL;
    return process_command(pid, reply->text, sizeof(reply->text)) ? 0 : -ESRCH;
}

static int op_file_name(struct privileged_server *s, const struct privileged_request *q, int fd,
                        struct privileged_reply *reply, int *fd_out)
{
    (void)s, (void)q, (void)fd_out;
    return fd >= 0 && host_own_file_name(fd, reply->text, PRIVILEGED_NAME_LEN) ? 0 : -EBADF;
}

/* The record goes with the domain, or when it says nothing. */
static void kept_settle(struct privileged_server *s)
{
    struct domain_info info;
    int rc = domain_info_get(s->xch, s->scope.domid, &info);

    if (rc == 0 && (memcmp(info.uuid, s->scope.uuid, sizeof(info.uuid)) != 0 || domain_end_reason(&info)))
        rc = -ESRCH;
    if (rc == -ESRCH || kept_says_nothing(s->kept))
        unlink(s->scope.kept_path);
}

static int op_files_remove(struct privileged_server *s, const struct privileged_request *q, int fd,
                           struct privileged_reply *reply, int *fd_out)
{
    (void)fd, (void)reply, (void)fd_out;
    for (unsigned i = 0; i < s->scope.nr_files && i < q->nr_pages; i++)
        unlink(s->scope.files[i]);
    kept_settle(s);
    s->over = true;
    return 0;
}

/* ---- back-ends --------------------------------------------------------------------------------------- */

/* The text of a device that the guest may have, by its socket in a request. */
static const char *device_of(struct privileged_server *s, const struct privileged_request *q)
{
    return memchr(q->text, '\0', sizeof(q->text)) ? device_grants_find(s->grants, q->text) : NULL;
}

static int op_socket_known(struct privileged_server *s, const struct privileged_request *q, int fd,
                           struct privileged_reply *reply, int *fd_out)
{
    (void)fd, (void)reply, (void)fd_out;
    return device_of(s, q) ? 0 : -EPERM;
}

static int op_socket_connect(struct privileged_server *s, const struct privileged_request *q, int fd,
                             struct privileged_reply *reply, int *fd_out)
{
    int rc;

    (void)fd, (void)reply;
    if (!device_of(s, q))
        return -EPERM;
    rc = vhost_user_socket_connect(q->text);
    if (rc < 0)
        return rc;
    *fd_out = rc;
    return 0;
}

static int op_list_begin(struct privileged_server *s, const struct privileged_request *q, int fd,
                         struct privileged_reply *reply, int *fd_out)
{
    (void)q, (void)fd, (void)reply, (void)fd_out;
    s->nr_listed = 0;
    return 0;
}

static int op_list_device(struct privileged_server *s, const struct privileged_request *q, int fd,
                          struct privileged_reply *reply, int *fd_out)
{
    bool good = memchr(q->text, '\0', sizeof(q->text)) != NULL;
    const char *text = good ? device_grants_find_text(s->grants, q->text) : NULL;

    (void)fd, (void)reply, (void)fd_out;
    if (!text)
        return -EPERM;
    if (s->nr_listed == ARRAY_SIZE(s->listed))
        return -ENOSPC;
    s->listed[s->nr_listed++] = text;
    return 0;
}

static int op_list_end(struct privileged_server *s, const struct privileged_request *q, int fd,
                       struct privileged_reply *reply, int *fd_out)
{
    (void)q, (void)fd, (void)reply, (void)fd_out;
    return devices_list_update(s->scope.list_path, s->listed, s->nr_listed);
}

static int server_grant(struct privileged *p, const char *text)
{
    return device_grants_add_kept(container_of(p, struct privileged_server, base)->grants, text);
}

/* ---- the server ---------------------------------------------------------------------------------------- */

static const struct {
    privileged_op_fn *fn;
    bool takes_gfns; /* [gfn, gfn + nr_pages) is looked at */
    uint64_t most;   /* of nr_pages */
} ops[PRIVILEGED_NR_OPS] = {
    [PRIVILEGED_PAUSE] = {op_pause, false, 0},
    [PRIVILEGED_UNPAUSE] = {op_unpause, false, 0},
    [PRIVILEGED_TABLES_GROW] = {op_tables_grow, false, COUNT_PAGES_MAX},
    [PRIVILEGED_LIMIT_RAISE] = {op_limit_raise, false, COUNT_PAGES_MAX},
    [PRIVILEGED_LIMIT_LOWER] = {op_limit_lower, false, COUNT_PAGES_MAX},
    [PRIVILEGED_OWN_POPULATE] = {op_own_populate, true, PRIVILEGED_BATCH},
    [PRIVILEGED_OWN_REMOVE] = {op_own_remove, true, PRIVILEGED_RUN},
    [PRIVILEGED_SHARED_PLACE] = {op_shared_place, true, PRIVILEGED_BATCH},
    [PRIVILEGED_SHARED_REMOVE] = {op_shared_remove, true, PRIVILEGED_RUN},
    [PRIVILEGED_HOLDER_INIT] = {op_holder_init, false, COUNT_PAGES_MAX},
    [PRIVILEGED_GUEST_OPEN] = {op_guest_open, false, 0},
    [PRIVILEGED_HOLDER_OPEN] = {op_holder_open, false, 0},
    [PRIVILEGED_HOLDER_POPULATE] = {op_holder_populate, false, COUNT_PAGES_MAX},
    [PRIVILEGED_HOLDER_RELEASE] = {op_holder_release, false, COUNT_PAGES_MAX},
    [PRIVILEGED_HOLDER_RELEASE_ALL] = {op_holder_release_all, false, 0},
    [PRIVILEGED_DEVICE_FIND] = {privileged_device_find_op, false, COUNT_PAGES_MAX},
    [PRIVILEGED_DEVICE_MAP] = {privileged_device_map_op, true, COUNT_PAGES_MAX},
    [PRIVILEGED_DEVICE_UNMAP] = {privileged_device_unmap_op, true, COUNT_PAGES_MAX},
    [PRIVILEGED_PROCESS_START] = {op_process_start, false, 0},
    [PRIVILEGED_PROCESS_NAME] = {op_process_name, false, 0},
    [PRIVILEGED_FILE_NAME] = {op_file_name, false, 0},
    [PRIVILEGED_FILES_REMOVE] = {op_files_remove, false, COUNT_PAGES_MAX},
    [PRIVILEGED_SOCKET_KNOWN] = {op_socket_known, false, 0},
    [PRIVILEGED_SOCKET_CONNECT] = {op_socket_connect, false, 0},
    [PRIVILEGED_LIST_BEGIN] = {op_list_begin, false, 0},
    [PRIVILEGED_LIST_DEVICE] = {op_list_device, false, 0},
    [PRIVILEGED_LIST_END] = {op_list_end, false, 0},
};

static void server_call(struct privileged *p, const struct privileged_request *q, int fd,
                        struct privileged_reply *reply, int *fd_out)
{
    struct privileged_server *s = container_of(p, struct privileged_server, base);

    memset(reply, 0, sizeof(*reply));
    *fd_out = -1;
    if (q->op >= PRIVILEGED_NR_OPS || !ops[q->op].fn)
        reply->rc = -ENOSYS;
    else if (s->over)
        reply->rc = -ESHUTDOWN;
    else if (q->nr_pages > ops[q->op].most ||
             (ops[q->op].takes_gfns && !range_within(q->gfn, q->nr_pages, GFN_MAX)))
        reply->rc = -EINVAL;
    else
        reply->rc = ops[q->op].fn(s, q, fd, reply, fd_out);
}

/* Of the pauses that a predecessor has left one is ours now; there is one in any case. */
static int hold_one(struct privileged_server *s)
{
    struct domain_info info;
    int rc = domain_info_get(s->xch, s->scope.domid, &info);

    if (rc < 0)
        return rc;
    if (!info.paused) /* somebody has let it run */
        s->kept->pauses = 0;
    while (s->kept->pauses > 1)
        guest_unpause(s);
    return s->kept->pauses == 0 ? guest_pause(s) : 0;
}

/* What a predecessor has left: pages of its own that the guest has still are going to be taken away. (A guest
 * that keeps more than its limit gets no more.) */
static void predecessor_undo(struct privileged_server *s)
{
    limit_lower(s, OWN_PAGES_MAX);
    privileged_devices_undo(s);
}

static void server_free(struct privileged *p)
{
    struct privileged_server *s = container_of(p, struct privileged_server, base);

    if (s->kept && s->xch && !s->over)
        kept_settle(s);
    kept_close(s->kept);
    holder_free(s->holder);
    device_grants_free(s->grants);
    if (s->fmem)
        xenforeignmemory_close(s->fmem);
    if (s->xch)
        xc_interface_close(s->xch);
    free(s);
}

int privileged_server_new(struct privileged **out, const struct privileged_scope *scope)
{
    struct privileged_server *s = calloc(1, sizeof(*s));
    int rc;

    if (!s)
        return -ENOMEM;
    s->base = (struct privileged){server_call, server_grant, server_free};
    s->scope = *scope;
    rc = kept_open(&s->kept, scope->kept_path, scope->uuid);
    if (rc == 0)
        rc = device_grants_new(&s->grants, scope->grants_path, scope->uuid);
    for (unsigned i = 0; rc == 0 && i < scope->nr_devices; i++)
        rc = device_grants_add(s->grants, scope->devices[i]);
    if (rc < 0) {
        server_free(&s->base);
        return rc;
    }
    s->xch = xc_interface_open(xen_logger(), xen_logger(), 0);
    if (s->xch)
        s->fmem = xenforeignmemory_open(xen_logger(), 0);
    if (!s->fmem) {
        rc = -errno;
        server_free(&s->base);
        return rc;
    }
    rc = hold_one(s);
    if (rc < 0) {
        server_free(&s->base);
        return rc;
    }
    predecessor_undo(s);
    *out = &s->base;
    return 0;
}

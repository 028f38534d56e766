// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * toolstack.c - see toolstack.h. Of watches only the fact is used, and the number of a domain; all else is
 * read again, as they come late, twice, and in any order.
 */
#include "xen/toolstack.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <ev.h>
#include <xenctrl.h>
#include <xen/hvm/save.h>
#include <xen/sched.h>
#include <xenstore.h>

#include "common/log.h"
#include "common/util.h"
#include "xen/domain.h"
#include "xen/xen_errors.h"
#include "xen/xen_logger.h"
#include "xen/xenstore_open.h"

#define DOMAINS_AT_ONCE 64
/* xenstored that was lost is looked for so often, and domains, of which it then does not tell. */
#define LOOK_SECONDS 5.0
#define RUN_DIR      "/run/xen" /* XEN_RUN_DIR of Xen's build, for its locks */

static const char *const kind_paths[TOOLSTACK_NR_KINDS] = {
    [TOOLSTACK_VIRTIO] = "/local/domain/0/backend/virtio",
    [TOOLSTACK_VIRTIO_DISK] = "/local/domain/0/backend/virtio_disk",
};

struct toolstack {
    xc_interface *xch;
    struct xs_handle *xs; /* NULL: lost */
    struct ev_loop *loop;
    struct ev_io xs_io, alive_io, files_io;
    int alive; /* readable when xenstored has ended; or -1 */
    struct ev_timer look;
    int files;     /* inotify, of libxl's folder and of the one below */
    int run_watch; /* of that, the folder in which libxl locks who is being saved; or -1 */
    char libxl_dir[PATH_MAX / 8];
    const struct toolstack_events *events;
    void *ctx;
};

const char *toolstack_kind_path(enum toolstack_kind kind)
{
    return kind_paths[kind];
}

/* ---- events ---------------------------------------------------------------------------------- */

static bool watches_set(struct toolstack *ts)
{
    return xs_watch(ts->xs, "@introduceDomain", "domains") && xs_watch(ts->xs, "@releaseDomain", "domains") &&
           xs_watch(ts->xs, kind_paths[TOOLSTACK_VIRTIO], "nodes") &&
           xs_watch(ts->xs, kind_paths[TOOLSTACK_VIRTIO_DISK], "nodes");
}

/* The domain of a path below one of ours; false: it is of none. */
static bool path_domid(const char *path, unsigned *domid)
{
    for (int i = 0; i < TOOLSTACK_NR_KINDS; i++) {
        size_t len = strlen(kind_paths[i]);
        unsigned long n;
        char *end;

        if (strncmp(path, kind_paths[i], len) != 0 || path[len] != '/' || path[len + 1] < '0' ||
            path[len + 1] > '9')
            continue;
        errno = 0;
        n = strtoul(path + len + 1, &end, 10);
        if (errno != 0 || n >= DOMID_FIRST_RESERVED || (*end != '\0' && *end != '/'))
            return false;
        *domid = (unsigned)n;
        return true;
    }
    return false;
}

static void store_close(struct toolstack *ts)
{
    ev_io_stop(ts->loop, &ts->xs_io);
    ev_io_stop(ts->loop, &ts->alive_io);
    if (ts->alive >= 0)
        close(ts->alive);
    ts->alive = -1;
    if (ts->xs != NULL)
        xs_close(ts->xs);
    ts->xs = NULL;
}

static void lost(struct toolstack *ts, int error)
{
    store_close(ts);
    ev_timer_again(ts->loop, &ts->look);
    ts->events->lost(ts->ctx, strerror(error));
}

static void on_xenstore(struct ev_loop *loop, struct ev_io *io, int revents)
{
    struct toolstack *ts = container_of(io, struct toolstack, xs_io);
    bool domains = false;
    char **event;
    int error;

    (void)loop;
    (void)revents;
    while (ts->xs != NULL && (event = xs_check_watch(ts->xs)) != NULL) {
        unsigned domid;

        if (strcmp(event[XS_WATCH_TOKEN], "domains") == 0)
            domains = true;
        else if (path_domid(event[XS_WATCH_PATH], &domid))
            ts->events->nodes(ts->ctx, domid);
        free(event);
    }
    error = errno;
    if (error != EAGAIN && error != EINTR)
        lost(ts, error);
    if (domains)
        ts->events->domains(ts->ctx);
}

static void on_store_ended(struct ev_loop *loop, struct ev_io *io, int revents)
{
    (void)loop;
    (void)revents;
    lost(container_of(io, struct toolstack, alive_io), ECONNRESET);
}

static bool store_open(struct toolstack *ts)
{
    ts->xs = xenstore_open(&ts->alive);
    if (ts->xs == NULL)
        return false;
    if (!watches_set(ts)) {
        int error = errno;

        store_close(ts);
        errno = error;
        return false;
    }
    if (ts->alive >= 0) {
        ev_io_set(&ts->alive_io, ts->alive, EV_READ);
        ev_io_start(ts->loop, &ts->alive_io);
    }
    ev_io_set(&ts->xs_io, xs_fileno(ts->xs), EV_READ);
    ev_io_start(ts->loop, &ts->xs_io);
    return true;
}

static void on_look(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
    struct toolstack *ts = container_of(timer, struct toolstack, look);

    (void)revents;
    if (store_open(ts)) {
        ev_timer_stop(loop, timer);
        ts->events->found_again(ts->ctx);
    } else {
        log_debug("xenstored is not there yet: %s", strerror(errno));
    }
    ts->events->domains(ts->ctx);
}

static void run_file_made(struct toolstack *ts, const char *name)
{
    unsigned domid;
    int len = 0;

    if (sscanf(name, "suspend-evtchn-%5u.lock%n", &domid, &len) == 1 && len > 0 && name[len] == '\0')
        ts->events->saving(ts->ctx, domid);
}

/* Which file of libxl's it was does not matter: completed() looks for those that are waited for. */
static void on_files(struct ev_loop *loop, struct ev_io *io, int revents)
{
    struct toolstack *ts = container_of(io, struct toolstack, files_io);
    char buffer[KIB(16)] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool any = false;
    ssize_t n;

    (void)loop;
    (void)revents;
    while ((n = read(ts->files, buffer, sizeof(buffer))) > 0)
        for (char *at = buffer; at < buffer + n;) {
            const struct inotify_event *event = (const void *)at;

            at += sizeof(*event) + event->len;
            if (ts->run_watch < 0 || event->wd != ts->run_watch)
                any = true;
            else if (event->len > 0)
                run_file_made(ts, event->name);
        }
    if (any)
        ts->events->completed(ts->ctx);
}

/* ---- opening and closing --------------------------------------------------------------------- */

static int files_watch(struct toolstack *ts)
{
    ts->files = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (ts->files < 0 || inotify_add_watch(ts->files, ts->libxl_dir, IN_MOVED_TO | IN_ONLYDIR) < 0)
        return -errno;
    ts->run_watch = inotify_add_watch(ts->files, RUN_DIR, IN_CREATE | IN_ONLYDIR);
    if (ts->run_watch < 0)
        log_warning("%s: %s: it will not be said why 'xl save' is refused", RUN_DIR, strerror(errno));
    ev_io_init(&ts->files_io, on_files, ts->files, EV_READ);
    ev_io_start(ts->loop, &ts->files_io);
    return 0;
}

int toolstack_open(struct toolstack **out, struct ev_loop *loop, const char *libxl_dir,
                   const struct toolstack_events *events, void *ctx, char *why, size_t why_len)
{
    struct toolstack *ts = calloc(1, sizeof(*ts));
    int rc = 0;

    if (ts == NULL) {
        snprintf(why, why_len, "not enough memory");
        return -ENOMEM;
    }
    ts->loop = loop;
    ts->events = events;
    ts->ctx = ctx;
    ts->files = -1;
    ts->alive = -1;
    snprintf(ts->libxl_dir, sizeof(ts->libxl_dir), "%s", libxl_dir);
    ev_init(&ts->xs_io, on_xenstore);
    ev_init(&ts->alive_io, on_store_ended);
    ev_timer_init(&ts->look, on_look, LOOK_SECONDS, LOOK_SECONDS);
    ts->xch = xc_interface_open(xen_logger(), xen_logger(), 0);
    if (ts->xch == NULL) {
        rc = xen_explain_open(errno, why, why_len);
    } else if (!store_open(ts)) {
        rc = -ENOTCONN;
        snprintf(why, why_len, "xenstore does not answer (%s): is xenstored running?", strerror(errno));
    } else {
        rc = files_watch(ts);
        if (rc != 0)
            snprintf(why, why_len, "%s, where libxl keeps its files: %s; are Xen's tools installed?",
                     libxl_dir, strerror(-rc));
    }
    if (rc != 0) {
        toolstack_close(ts);
        return rc;
    }
    *out = ts;
    return 0;
}

void toolstack_close(struct toolstack *ts)
{
    if (ts == NULL)
        return;
    ev_timer_stop(ts->loop, &ts->look);
    store_close(ts);
    if (ts->files >= 0) {
        ev_io_stop(ts->loop, &ts->files_io);
        close(ts->files);
    }
    if (ts->xch != NULL)
        xc_interface_close(ts->xch);
    free(ts);
}

/* ---- domains --------------------------------------------------------------------------------- */

int toolstack_domain_get(struct toolstack *ts, uint16_t domid, struct toolstack_domain *domain)
{
    struct domain_info info;
    int rc = domain_info_get(ts->xch, domid, &info);

    if (rc != 0)
        return rc;
    *domain = (struct toolstack_domain){
        .domid = domid,
        .pv = info.kind == DOMAIN_PV,
        .never_ran = info.never_ran,
        .paused = info.paused,
        .ended = domain_end_reason(&info) != NULL,
    };
    memcpy(domain->uuid, info.uuid, sizeof(domain->uuid));
    return 0;
}

int toolstack_domains(struct toolstack *ts, void (*fn)(void *ctx, const struct toolstack_domain *domain),
                      void *ctx)
{
    xc_domaininfo_t raw[DOMAINS_AT_ONCE];
    uint32_t next = 1;
    int n;

    do {
        n = xc_domain_getinfolist(ts->xch, next, DOMAINS_AT_ONCE, raw);
        if (n < 0)
            return -errno;
        for (int i = 0; i < n; i++) {
            struct toolstack_domain domain;
            int rc = toolstack_domain_get(ts, raw[i].domain, &domain);

            next = raw[i].domain + 1u;
            if (rc == 0)
                fn(ctx, &domain);
            else if (rc != -ESRCH) /* one that is not told of would be taken for gone */
                return rc;
        }
    } while (n == DOMAINS_AT_ONCE);
    return 0;
}

bool toolstack_introduced(struct toolstack *ts, uint16_t domid)
{
    return ts->xs != NULL && xs_is_domain_introduced(ts->xs, domid);
}

bool toolstack_completed(struct toolstack *ts, uint16_t domid, const uint8_t uuid[16])
{
    char path[PATH_MAX / 4];

    snprintf(
        path, sizeof(path),
        "%s/userdata-d.%u.%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x.libxl-json",
        ts->libxl_dir, domid, uuid[0], uuid[1], uuid[2], uuid[3], uuid[4], uuid[5], uuid[6], uuid[7], uuid[8],
        uuid[9], uuid[10], uuid[11], uuid[12], uuid[13], uuid[14], uuid[15]);
    return access(path, F_OK) == 0;
}

#if defined(__i386__) || defined(__x86_64__)
#define CR0_PG (1UL << 31) /* Intel SDM volume 3, 2.5 */

/* Firmware and the entry of a PVH kernel begin without paging, and no system goes on without. */
bool toolstack_restored(struct toolstack *ts, uint16_t domid)
{
    struct hvm_hw_cpu cpu;

    return xc_domain_hvm_getcontext_partial(ts->xch, domid, HVM_SAVE_CODE(CPU), 0, &cpu, sizeof(cpu)) == 0 &&
           (cpu.cr0 & CR0_PG) != 0;
}
#else
/* (Xen on Arm does not save guests.) */
bool toolstack_restored(struct toolstack *ts, uint16_t domid)
{
    (void)ts;
    (void)domid;
    return false;
}
#endif

int toolstack_pause(struct toolstack *ts, uint16_t domid)
{
    return domain_pause(ts->xch, domid);
}

int toolstack_unpause(struct toolstack *ts, uint16_t domid)
{
    return domain_unpause(ts->xch, domid);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

int toolstack_read(struct toolstack *ts, const char *path, char *text, size_t len)
{
    unsigned n = 0;
    char *value;
    int rc = 0;

    if (ts->xs == NULL)
        return -ENOTCONN;
    value = xs_read(ts->xs, XBT_NULL, path, &n);
    if (value == NULL)
        return -errno;
    if (n >= len)
        rc = -EMSGSIZE;
    for (unsigned i = 0; i < n && rc == 0; i++)
        if ((unsigned char)value[i] < ' ' || value[i] == 0x7f)
            rc = -EILSEQ;
    if (rc == 0) {
        memcpy(text, value, n);
        text[n] = '\0';
    }
    free(value);
    return rc;
}

int toolstack_children(struct toolstack *ts, const char *path, unsigned *numbers, size_t max)
{
    unsigned n = 0;
    size_t found = 0;
    char **names;

    if (ts->xs == NULL)
        return -ENOTCONN;
    names = xs_directory(ts->xs, XBT_NULL, path, &n);
    if (names == NULL)
        return errno == ENOENT ? 0 : -errno;
    for (unsigned i = 0; i < n && found < max; i++) {
        char *end;
        unsigned long number;

        if (names[i][0] < '0' || names[i][0] > '9')
            continue;
        errno = 0;
        number = strtoul(names[i], &end, 10);
        if (errno == 0 && *end == '\0' && number <= INT_MAX)
            numbers[found++] = (unsigned)number;
    }
    free(names);
    return (int)found;
}

/* In a transaction: libxl may be removing it, and a node that we made would stay for ever. */
int toolstack_write(struct toolstack *ts, const char *path, const char *text)
{
    int rc;

    if (ts->xs == NULL)
        return -ENOTCONN;
    do {
        xs_transaction_t t = xs_transaction_start(ts->xs);
        unsigned n;
        char *old;

        if (t == XBT_NULL)
            return -errno;
        old = xs_read(ts->xs, t, path, &n);
        rc = old != NULL ? 0 : -errno;
        free(old);
        if (rc == 0 && !xs_write(ts->xs, t, path, text, (unsigned)strlen(text)))
            rc = -errno;
        if (!xs_transaction_end(ts->xs, t, rc != 0) && rc == 0)
            rc = -errno;
    } while (rc == -EAGAIN);
    return rc;
}

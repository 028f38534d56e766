// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * domain_watch.c - see domain_watch.h.
 */
#include "xen/domain_watch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ev.h>
#include <xen/sched.h>
#include <xenstore.h>

#include "common/log.h"
#include "common/util.h"
#include "xen/domain.h"
#include "xen/xenstore_open.h"

/* Without xenstored we look ourselves; another has an empty store, so this is a host in trouble anyway. */
#define LOOK_SECONDS 5.0

struct domain_watch {
    xc_interface *xch; /* borrowed */
    uint16_t domid;
    const char *name;
    struct xs_handle *xs;
    struct ev_loop *loop; /* NULL before start */
    struct ev_io io, alive_io;
    int alive; /* readable when xenstored has ended; or -1 */
    struct ev_timer timer;
    domain_ended_fn *ended; /* NULL when told */
    void *ctx;
    bool suspended;
};

static void watch_stop(struct domain_watch *watch)
{
    if (!watch->loop)
        return;
    ev_io_stop(watch->loop, &watch->io);
    ev_io_stop(watch->loop, &watch->alive_io);
    ev_timer_stop(watch->loop, &watch->timer);
}

static void look(struct domain_watch *watch)
{
    struct domain_info info;
    int rc = domain_info_get(watch->xch, watch->domid, &info);
    const char *why = NULL;
    bool suspended = false;

    if (rc == -ESRCH) {
        why = "the domain is gone";
    } else if (rc == 0) {
        why = domain_end_reason(&info);
        suspended = !why && info.shutdown && info.shutdown_reason == SHUTDOWN_suspend;
    }
    if (suspended && !watch->suspended)
        log_warning("%s: the guest is suspended; it can be resumed here, but its devices cannot be saved or "
                    "migrated with it",
                    watch->name);
    watch->suspended = suspended;
    if (why && watch->ended) {
        domain_ended_fn *ended = watch->ended;

        watch->ended = NULL;
        watch_stop(watch);
        ended(watch->ctx, why);
    }
}

static void lost(struct domain_watch *watch, int error)
{
    log_warning(
        "%s: the connection to xenstored is lost (%s); the end of the domain is noticed %.0f seconds later",
        watch->name, strerror(error), LOOK_SECONDS);
    ev_io_stop(watch->loop, &watch->io);
    ev_io_stop(watch->loop, &watch->alive_io);
    ev_timer_again(watch->loop, &watch->timer);
}

static void on_store_ended(struct ev_loop *loop, struct ev_io *io, int revents)
{
    struct domain_watch *watch = container_of(io, struct domain_watch, alive_io);

    (void)loop;
    (void)revents;
    lost(watch, ECONNRESET);
    look(watch);
}

static void on_xenstore(struct ev_loop *loop, struct ev_io *io, int revents)
{
    struct domain_watch *watch = container_of(io, struct domain_watch, io);
    char **event;

    (void)loop;
    (void)revents;
    while ((event = xs_check_watch(watch->xs)))
        free(event);
    if (errno != EAGAIN && errno != EINTR)
        lost(watch, errno);
    look(watch);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    look(container_of(timer, struct domain_watch, timer));
}

int domain_watch_new(struct domain_watch **out, xc_interface *xch, uint16_t domid, const char *name)
{
    struct domain_watch *watch = calloc(1, sizeof(*watch));

    if (!watch)
        return -ENOMEM;
    watch->xch = xch;
    watch->domid = domid;
    watch->name = name;
    watch->alive = -1;
    watch->xs = xenstore_open(&watch->alive);
    if (!watch->xs || !xs_watch(watch->xs, "@releaseDomain", "release")) {
        domain_watch_free(watch);
        return -ENOTCONN;
    }
    *out = watch;
    return 0;
}

void domain_watch_free(struct domain_watch *watch)
{
    if (!watch)
        return;
    watch_stop(watch);
    xs_close(watch->xs);
    if (watch->alive >= 0)
        close(watch->alive);
    free(watch);
}

void domain_watch_start(struct domain_watch *watch, struct ev_loop *loop, domain_ended_fn *ended, void *ctx)
{
    watch->loop = loop;
    watch->ended = ended;
    watch->ctx = ctx;
    ev_timer_init(&watch->timer, on_timer, 0., LOOK_SECONDS);
    /* A new watch fires at once: that looks whether the end has been missed. */
    ev_io_init(&watch->io, on_xenstore, xs_fileno(watch->xs), EV_READ);
    ev_io_start(loop, &watch->io);
    ev_io_init(&watch->alive_io, on_store_ended, watch->alive, EV_READ);
    if (watch->alive >= 0)
        ev_io_start(loop, &watch->alive_io);
}

void domain_watch_poke(struct domain_watch *watch)
{
    if (watch && watch->ended)
        ev_feed_event(watch->loop, &watch->timer, EV_CUSTOM);
}

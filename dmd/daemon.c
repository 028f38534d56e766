// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * daemon.c - see daemon.h. Events only say that something may have changed; all domains are then looked at.
 */
#include "dmd/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "dmd/guest.h"

/* ---- domains --------------------------------------------------------------------------------- */

static struct guest *guest_find(struct daemon *daemon, const struct toolstack_domain *domain)
{
    struct guest *guest;

    list_for_each (guest, &daemon->guests, link)
        if (guest->domain.domid == domain->domid && !guest->gone &&
            memcmp(guest->domain.uuid, domain->uuid, sizeof(domain->uuid)) == 0)
            return guest;
    return NULL;
}

static struct guest *guest_by_number(struct daemon *daemon, unsigned domid)
{
    struct guest *guest;

    list_for_each (guest, &daemon->guests, link)
        if (guest->domain.domid == domid && !guest->gone)
            return guest;
    return NULL;
}

static void on_domain(void *ctx, const struct toolstack_domain *domain)
{
    struct daemon *daemon = ctx;
    struct guest *guest = guest_find(daemon, domain);

    if (guest != NULL) {
        guest->seen = daemon->scan;
        if (domain->ended)
            guest_end(guest, false);
    } else if (domain->ended) {
        guest_new_ended(daemon, domain, false);
    } else if (toolstack_introduced(daemon->toolstack, domain->domid)) {
        guest_new(daemon, domain);
    }
}

static void scan(struct daemon *daemon)
{
    struct guest *guest, *next;
    int rc;

    daemon->scan++;
    rc = toolstack_domains(daemon->toolstack, on_domain, daemon);
    if (rc != 0) {
        log_error("the list of domains cannot be had from Xen: %s", strerror(-rc));
        return;
    }
    /* guest_end() may free the one that it is told of, and no other. */
    list_for_each_safe (guest, next, &daemon->guests, link)
        if (guest->seen != daemon->scan && !guest->gone)
            guest_end(guest, true);
}

static void on_domains(void *ctx)
{
    scan(ctx);
}

static void on_nodes(void *ctx, unsigned domid)
{
    struct guest *guest = guest_by_number(ctx, domid);

    if (guest != NULL)
        guest_nodes_changed(guest);
}

static void look_at_all(struct daemon *daemon, enum guest_state state)
{
    struct guest *guest, *next;

    list_for_each_safe (guest, next, &daemon->guests, link)
        if (guest->state == state)
            guest_look(guest);
}

static void on_completed(void *ctx)
{
    look_at_all(ctx, GUEST_CREATED);
}

static void on_saving(void *ctx, unsigned domid)
{
    const struct guest *guest = guest_by_number(ctx, domid);

    if (guest != NULL && guest->plan.nr_devices > 0)
        log_error(
            "%s: it cannot be saved, migrated or suspended, as its devices cannot: xl is refused, and the "
            "guest runs on",
            guest->label);
}

static void on_lost(void *ctx, const char *why)
{
    (void)ctx;
    log_error(
        "the connection to xenstored is lost (%s): guests that are there are served, new ones are not seen "
        "until it is back; one that is started anew has an empty store, in which xl finds the old guests by "
        "number only",
        why);
}

static void on_found_again(void *ctx)
{
    struct daemon *daemon = ctx;
    struct guest *guest;

    log_info("xenstored is there again");
    list_for_each (guest, &daemon->guests, link)
        guest_nodes_changed(guest);
}

static const struct toolstack_events events = {
    .domains = on_domains,
    .nodes = on_nodes,
    .completed = on_completed,
    .saving = on_saving,
    .lost = on_lost,
    .found_again = on_found_again,
};

/* ---- the state folder ------------------------------------------------------------------------ */

/* DOMID.KIND: its number; or -1. */
static int domid_of(const char *name, const char *kind)
{
    size_t digits = strspn(name, "0123456789");

    if (digits == 0 || digits > 5 || name[digits] != '.' || strcmp(name + digits + 1, kind) != 0)
        return -1;
    return atoi(name);
}

static void file_changed(struct daemon *daemon, const char *name)
{
    int domid = domid_of(name, "ready");
    struct guest *guest;

    if (domid < 0)
        domid = domid_of(name, "devices");
    guest = domid >= 0 ? guest_by_number(daemon, (unsigned)domid) : NULL;
    if (guest != NULL && (guest->state == GUEST_STARTING || guest->state == GUEST_OTHER))
        guest_look(guest);
}

static void on_files(struct ev_loop *loop, struct ev_io *io, int revents)
{
    struct daemon *daemon = container_of(io, struct daemon, files_io);
    char buffer[KIB(16)] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n;

    (void)loop;
    (void)revents;
    while ((n = read(daemon->files, buffer, sizeof(buffer))) > 0)
        for (char *at = buffer; at < buffer + n;) {
            const struct inotify_event *event = (const void *)at;

            if (event->mask & IN_Q_OVERFLOW) {
                look_at_all(daemon, GUEST_STARTING);
                look_at_all(daemon, GUEST_OTHER);
            } else if (event->len > 0) {
                file_changed(daemon, event->name);
            }
            at += sizeof(*event) + event->len;
        }
}

/* The folder, made if need be; and that no other daemon uses it. */
static int folder_open(struct daemon *daemon, char *why, size_t why_len)
{
    const char *dir = daemon->config.state_dir;
    char path[RECORD_PATH_LEN];
    struct stat st;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        snprintf(why, why_len, "%s: %s", dir, strerror(errno));
        return -errno;
    }
    if (lstat(dir, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) != 0) {
        snprintf(why, why_len, "%s: must be a folder of ours that nobody else can write to", dir);
        return -EPERM;
    }
    snprintf(path, sizeof(path), "%s/vhost-dmd.lock", dir);
    daemon->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (daemon->lock < 0 || flock(daemon->lock, LOCK_EX | LOCK_NB) != 0) {
        snprintf(why, why_len, "%s: %s", path,
                 errno == EWOULDBLOCK ? "another vhost-dmd is at work" : strerror(errno));
        return -EBUSY;
    }
    daemon->files = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (daemon->files < 0 ||
        inotify_add_watch(daemon->files, dir, IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR) < 0) {
        snprintf(why, why_len, "%s cannot be watched: %s", dir, strerror(errno));
        return -errno;
    }
    ev_io_init(&daemon->files_io, on_files, daemon->files, EV_READ);
    ev_io_start(daemon->loop, &daemon->files_io);
    return 0;
}

static bool is_there(struct daemon *daemon, unsigned domid)
{
    struct toolstack_domain domain;

    /* Where Xen does not say: its processes are ended when it is gone. */
    return toolstack_domain_get(daemon->toolstack, (uint16_t)domid, &domain) != -ESRCH;
}

/* What guests have left that ended while no daemon was there. */
static void leftovers_end(struct daemon *daemon)
{
    static const char *const kinds[] = {"guest", "devices", "held", "ready"};
    DIR *dir = opendir(daemon->config.state_dir);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
            int domid = domid_of(entry->d_name, kinds[i]);

            if (domid < 0 || is_there(daemon, (unsigned)domid))
                continue;
            if (i == 0)
                guest_new_ended(daemon, &(struct toolstack_domain){.domid = (uint16_t)domid, .ended = true},
                                true);
            else if (guest_by_number(daemon, (unsigned)domid) == NULL)
                record_remove(daemon->config.state_dir, (unsigned)domid, kinds[i]);
        }
    if (dir != NULL)
        closedir(dir);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

int daemon_begin(struct daemon *daemon, const char *libxl_dir, char *why, size_t why_len)
{
    int rc;

    list_init(&daemon->guests);
    daemon->files = daemon->lock = -1;
    rc = folder_open(daemon, why, why_len);
    if (rc == 0)
        rc = toolstack_open(&daemon->toolstack, daemon->loop, libxl_dir, &events, daemon, why, why_len);
    if (rc != 0) {
        daemon_end(daemon);
        return rc;
    }
    leftovers_end(daemon);
    scan(daemon);
    return 0;
}

void daemon_end(struct daemon *daemon)
{
    struct guest *guest, *next;

    list_for_each_safe (guest, next, &daemon->guests, link)
        guest_free(guest);
    toolstack_close(daemon->toolstack);
    daemon->toolstack = NULL;
    if (daemon->files >= 0) {
        ev_io_stop(daemon->loop, &daemon->files_io);
        close(daemon->files);
    }
    if (daemon->lock >= 0)
        close(daemon->lock);
}

void daemon_retry(struct daemon *daemon)
{
    struct guest *guest, *next;

    list_for_each_safe (guest, next, &daemon->guests, link)
        guest_retry(guest);
}

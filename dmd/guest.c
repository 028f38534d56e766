// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * guest.c - the life of a guest (see guest.h).
 *
 * A guest must not run before its devices are there, as its firmware and kernel look for them once. xl waits
 * for nobody, so the guest is paused when xenstored says that it was introduced: its memory is built then,
 * and libxl has yet to make its devices and to start its QEMU. Pauses are counted, so xl's own unpause
 * changes nothing. libxl stores its configuration as the last thing before xl may unpause it: then its nodes
 * are complete, and it is known whether the guest is ours.
 */
#include "dmd/guest.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"

/* Until libxl must have completed it: it runs its scripts (block, vif, ...) one after the other, each of
 * which may take 40 s, and waits 60 s for a device model. */
#define COMPLETE_SECONDS 180.0
#define READY_GRACE      5.0  /* beyond start-timeout, so that vhost-dm can say what is missing */
#define END_SECONDS      10.0 /* until processes must have ended, before each harder way */
#define FOREIGN_SECONDS  2.0  /* between looks for a vhost-dm of another program's */
#define NODES_TOGETHER   0.01 /* changes of nodes within so many seconds are looked at once */
#define NODES_APART      0.2  /* and no more often than this */

static const char *state_dir(const struct guest *guest)
{
    return guest->daemon->config.state_dir;
}

static void limit_set(struct guest *guest, double seconds)
{
    ev_timer_stop(guest->daemon->loop, &guest->limit);
    if (seconds <= 0.)
        return;
    ev_timer_set(&guest->limit, seconds, 0.);
    ev_timer_start(guest->daemon->loop, &guest->limit);
}

/* ---- held and released ----------------------------------------------------------------------- */

/* The file comes before the pause. Should we be killed between the two, our successor takes a pause of
 * somebody else's for ours; the other way round a guest would stay paused, and nobody would know why. */
static int hold(struct guest *guest)
{
    unsigned domid = guest->domain.domid;
    int rc;

    if (record_held(state_dir(guest), domid, guest->domain.uuid)) {
        guest->held = true;
        return 0;
    }
    rc = record_held_write(state_dir(guest), domid, guest->domain.uuid);
    if (rc != 0)
        log_error("%s: %s/%u.held: %s; it cannot be held until its devices are there", guest->label,
                  state_dir(guest), domid, strerror(-rc));
    if (rc == 0) {
        rc = toolstack_pause(guest->daemon->toolstack, guest->domain.domid);
        if (rc != 0 && rc != -ESRCH)
            log_error("%s: pausing it: %s; it may miss devices", guest->label, strerror(-rc));
    }
    guest->held = rc == 0;
    if (rc != 0)
        record_remove(state_dir(guest), domid, "held");
    return rc;
}

static void release(struct guest *guest)
{
    int rc;

    if (!guest->held)
        return;
    guest->held = false;
    rc = toolstack_unpause(guest->daemon->toolstack, guest->domain.domid);
    if (rc != 0 && rc != -ESRCH)
        log_error("%s: unpausing it: %s; try 'xl unpause %u'", guest->label, strerror(-rc),
                  guest->domain.domid);
    record_remove(state_dir(guest), guest->domain.domid, "held");
}

/* ---- which devices it gets ------------------------------------------------------------------- */

/* libxl waits while it creates the guest for the back-end of a virtio disk. */
static void disks_answer(struct guest *guest)
{
    struct plan *plan;
    char why[512];
    int rc;

    if (!guest_nodes_disks_wait(guest) || (plan = calloc(1, sizeof(*plan))) == NULL)
        return;
    rc = guest_plan_read(guest, plan, why, sizeof(why));
    if (rc == 0)
        guest_nodes_disks_answer(guest);
    else if (!guest->told)
        log_error("%s: %s; xl will give up after 10 s", guest->label, why);
    guest->told = rc != 0;
    plan_clear(plan);
    free(plan);
}

double guest_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void on_nodes(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
    struct guest *guest = container_of(timer, struct guest, nodes);

    (void)revents;
    ev_timer_stop(loop, timer);
    guest->nodes_looked = guest_clock();
    guest_nodes_removals(guest);
    if (guest->state == GUEST_CREATED)
        disks_answer(guest);
}

void guest_nodes_changed(struct guest *guest)
{
    struct ev_loop *loop = guest->daemon->loop;
    double wait = guest->nodes_looked + NODES_APART - guest_clock();

    if (ev_is_active(&guest->nodes))
        return;
    ev_timer_set(&guest->nodes, wait > NODES_TOGETHER ? wait : NODES_TOGETHER, 0.);
    ev_timer_start(loop, &guest->nodes);
}

/* ---- from one state to the next -------------------------------------------------------------- */

static struct guest *predecessor(const struct guest *guest)
{
    struct guest *other;

    list_for_each (other, &guest->daemon->guests, link)
        if (other != guest && strcmp(other->name, guest->name) == 0 && other->state != GUEST_OTHER &&
            guest_processes_run(other))
            return other;
    return NULL;
}

static void start(struct guest *guest)
{
    int rc;

    guest->state = GUEST_STARTING;
    limit_set(guest, guest->plan.settings.start_timeout + READY_GRACE);
    guest_folder_make(guest);
    rc = record_devices_write(state_dir(guest), guest->domain.domid, guest->domain.uuid, &guest->plan);
    if (rc != 0)
        log_error("%s: %s/%u.devices: %s", guest->label, state_dir(guest), guest->domain.domid,
                  strerror(-rc));
    if (rc == 0)
        rc = guest_processes_start(guest);
    if (rc != 0) {
        guest_fail(guest, "its processes cannot be started");
        return;
    }
    guest_nodes_tell(guest, XL_STATE_INIT_WAIT);
    log_info("%s: %zu devices are being made ready%s", guest->label, guest->plan.nr_devices,
             guest->held ? "; it is held until then" : "");
}

static bool keeps(const struct guest *guest)
{
    return guest->restored || guest->plan.settings.on_failure == ON_FAILURE_KEEP;
}

/* A vhost-dm that was killed, or left what its predecessor had begun, has one of the guest's pauses still, or
 * the guest would wait for its answers; only another vhost-dm can take that on. */
static bool left_by_vhost_dm(const struct guest *guest)
{
    return record_state_left(state_dir(guest), guest->domain.domid, guest->domain.uuid);
}

static void foreign_look(struct guest *guest);

/* Another program has been faster: what it gives the guest is all that it gets. */
static bool is_foreign(struct guest *guest)
{
    if (record_state_holder(state_dir(guest), guest->domain.domid) == 0)
        return false;
    log_info("%s: a vhost-dm serves it already, started by another program; files and xl.cfg are not looked "
             "at for it",
             guest->label);
    guest->state = GUEST_OTHER;
    release(guest);
    foreign_look(guest);
    return true;
}

/* libxl has completed it. */
static void proceed(struct guest *guest)
{
    char why[512];
    int rc;

    limit_set(guest, 0.);
    if (is_foreign(guest))
        return;
    rc = guest_plan_read(guest, &guest->plan, why, sizeof(why));
    if (rc != 0) {
        guest_fail(guest, why);
        return;
    }
    if (guest->plan.nr_devices == 0 && left_by_vhost_dm(guest)) {
        guest_fail(guest, "no devices are named for it any more");
        return;
    }
    if (guest->plan.nr_devices == 0) {
        guest->state = GUEST_OTHER;
        release(guest);
        return;
    }
    if (guest->domain.never_ran && toolstack_restored(guest->daemon->toolstack, guest->domain.domid)) {
        guest->restored = true;
        guest_fail(guest,
                   "it was saved or comes from another host, and its devices do not know what its drivers "
                   "have done");
        return;
    }
    if (!guest->domain.never_ran)
        log_warning(
            "%s: it has begun to run before it could be held: devices that it does not see it will see after "
            "'xl reboot'",
            guest->label);
    if (predecessor(guest) == NULL) {
        start(guest);
        return;
    }
    guest->state = GUEST_WAITING;
    limit_set(guest, 3 * END_SECONDS);
}

static void serve(struct guest *guest)
{
    limit_set(guest, 0.);
    guest->state = GUEST_SERVED;
    guest_nodes_tell(guest, XL_STATE_CONNECTED);
    log_info("%s: its devices are ready%s", guest->label, guest->held ? ": it may run" : "");
    release(guest);
}

static const char left_effect[] =
    "its vhost-dm has ended without letting go of it, and it would hang: it stays paused in spite of "
    "on-failure=release; when that is mended, 'systemctl reload vhost-dmd' (SIGHUP) tries again; or 'xl "
    "destroy' it";

static const char *fail_effect(const struct guest *guest)
{
    if (!guest->held)
        return "it runs without these devices";
    if (guest->restored)
        return "it stays paused: 'xl destroy' it, and create it anew; or have it without these devices: take "
               "them out of the files, and 'systemctl reload vhost-dmd' (SIGHUP) lets it run";
    if (keeps(guest))
        return "it stays paused (on-failure=keep): when that is mended, 'systemctl reload vhost-dmd' "
               "(SIGHUP) tries again";
    if (!child_runs(&guest->vhost_dm.child) && left_by_vhost_dm(guest))
        return left_effect;
    return "it runs without its devices (on-failure=release): when that is mended, 'xl reboot' it";
}

void guest_fail(struct guest *guest, const char *why)
{
    log_error("%s: %s; %s", guest->label, why, fail_effect(guest));
    guest->state = GUEST_FAILED;
    limit_set(guest, END_SECONDS);
    if (!child_runs(&guest->vhost_dm.child) && !keeps(guest) && !left_by_vhost_dm(guest))
        release(guest);
    guest_processes_stop(guest, SIGTERM);
    if (!guest_processes_run(guest))
        guest_processes_gone(guest);
}

void guest_vhost_dm_gone(struct guest *guest)
{
    if (guest->state != GUEST_FAILED || !guest->held || keeps(guest))
        return;
    if (left_by_vhost_dm(guest))
        log_error("%s: %s", guest->label, left_effect);
    else
        release(guest);
}

bool guest_lives(struct guest *guest)
{
    struct toolstack_domain now;
    int rc = toolstack_domain_get(guest->daemon->toolstack, guest->domain.domid, &now);
    bool gone = rc == -ESRCH || (rc == 0 && memcmp(now.uuid, guest->domain.uuid, sizeof(now.uuid)) != 0);

    if (!gone && (rc != 0 || !now.ended))
        return true;
    guest_end(guest, false);
    return false;
}

static void on_limit(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
    struct guest *guest = container_of(timer, struct guest, limit);
    char why[128];

    (void)revents;
    ev_timer_stop(loop, timer);
    switch (guest->state) {
    case GUEST_CREATED:
        log_warning("%s: libxl has not completed it in %.0f s; what it has written so far counts",
                    guest->label, COMPLETE_SECONDS);
        proceed(guest);
        break;
    case GUEST_WAITING:
        guest_fail(guest, "the processes of the guest of the same name before it do not end");
        break;
    case GUEST_STARTING:
        snprintf(why, sizeof(why), "its devices are not ready after %u s (start-timeout)",
                 guest->plan.settings.start_timeout);
        if (guest_lives(guest))
            guest_fail(guest, why);
        break;
    case GUEST_OTHER:
        foreign_look(guest);
        break;
    case GUEST_FAILED:
    case GUEST_ENDING:
        log_warning("%s: its processes do not end: they are killed", guest->label);
        guest_processes_stop(guest, SIGKILL);
        limit_set(guest, END_SECONDS);
        break;
    case GUEST_SERVED:
    case GUEST_ENDED:
        break;
    }
}

/* ---- its end --------------------------------------------------------------------------------- */

static void successors_start(struct guest *ended)
{
    struct guest *guest, *next;

    list_for_each_safe (guest, next, &ended->daemon->guests, link)
        if (guest->state == GUEST_WAITING && strcmp(guest->name, ended->name) == 0 &&
            predecessor(guest) == NULL)
            start(guest);
}

void guest_processes_gone(struct guest *guest)
{
    limit_set(guest, 0.);
    if (predecessor(guest) == NULL)
        guest_folder_remove(guest);
    if (guest->state == GUEST_FAILED)
        /* It lives: that it is held must not be forgotten, nor what vhost-dm knows of it. */
        record_remove_begun(state_dir(guest), guest->domain.domid);
    else
        record_remove_all(state_dir(guest), guest->domain.domid);
    if (guest->state == GUEST_ENDING) {
        guest->state = GUEST_ENDED;
        log_info("%s: it has ended, and so have its processes", guest->label);
    }
    successors_start(guest);
    plan_clear(&guest->plan);
    if (guest->state == GUEST_ENDED && guest->gone)
        guest_free(guest);
}

void guest_end(struct guest *guest, bool gone)
{
    guest->gone |= gone;
    if (guest->state == GUEST_ENDING)
        return;
    if (guest->state == GUEST_ENDED || (guest->state == GUEST_OTHER && !guest->foreign)) {
        if (guest->gone)
            guest_free(guest);
        return;
    }
    guest->state = GUEST_ENDING;
    guest->held = false; /* nothing is left to run */
    limit_set(guest, END_SECONDS);
    guest_processes_stop(guest, 0);
    if (!guest_processes_run(guest))
        guest_processes_gone(guest);
}

void guest_retry(struct guest *guest)
{
    if (guest->state == GUEST_SERVED) {
        guest_processes_resume(guest);
    } else if (guest->state == GUEST_FAILED && guest->held && !guest_processes_run(guest)) {
        log_info("%s: once more", guest->label);
        guest->told = false;
        proceed(guest);
    }
}

/* ---- what others have started ---------------------------------------------------------------- */

/* A program beside us has written which devices it gives the guest, before it started a vhost-dm: that is
 * ours to keep running. */
static void foreign_look(struct guest *guest)
{
    if (!guest->foreign) {
        plan_clear(&guest->plan);
        if (record_devices_read(state_dir(guest), guest->domain.domid, guest->domain.uuid, &guest->plan) !=
            0) {
            plan_clear(&guest->plan);
            return;
        }
        guest->foreign = true;
    }
    if (guest_processes_adopt_foreign(guest) != 0) {
        limit_set(guest, FOREIGN_SECONDS);
        return;
    }
    limit_set(guest, 0.);
    guest->state = GUEST_SERVED;
    log_info("%s: its vhost-dm (process %d), which was started by another program, is kept running",
             guest->label, (int)guest->vhost_dm.child.pid);
}

void guest_look(struct guest *guest)
{
    struct daemon *daemon = guest->daemon;

    if (guest->state == GUEST_CREATED &&
        toolstack_completed(daemon->toolstack, guest->domain.domid, guest->domain.uuid))
        proceed(guest);
    else if (guest->state == GUEST_STARTING && record_ready(state_dir(guest), guest->domain.domid))
        serve(guest);
    else if (guest->state == GUEST_OTHER)
        foreign_look(guest);
}

/* ---- its beginning --------------------------------------------------------------------------- */

static struct guest *guest_alloc(struct daemon *daemon, const struct toolstack_domain *domain)
{
    struct guest *guest = calloc(1, sizeof(*guest));

    if (guest == NULL) {
        log_error("dom %u: not enough memory to serve it", domain->domid);
        return NULL;
    }
    guest->daemon = daemon;
    guest->domain = *domain;
    guest->seen = daemon->scan;
    ev_timer_init(&guest->limit, on_limit, 0., 0.);
    ev_timer_init(&guest->nodes, on_nodes, 0., 0.);
    guest_processes_init(guest);
    list_append(&daemon->guests, &guest->link);
    return guest;
}

void guest_free(struct guest *guest)
{
    struct ev_loop *loop = guest->daemon->loop;

    ev_timer_stop(loop, &guest->limit);
    ev_timer_stop(loop, &guest->nodes);
    guest_processes_forget(guest);
    plan_clear(&guest->plan);
    list_remove(&guest->link);
    free(guest);
}

static void label_make(struct guest *guest)
{
    snprintf(guest->label, sizeof(guest->label), "dom %u (%s)", guest->domain.domid, guest->name);
}

static void name_read(struct guest *guest)
{
    char path[64];
    int rc;

    snprintf(path, sizeof(path), "/local/domain/%u/name", guest->domain.domid);
    rc = toolstack_read(guest->daemon->toolstack, path, guest->name, sizeof(guest->name));
    if (rc != 0)
        guest->name[0] = '\0';
    label_make(guest);
    if (rc == -EMSGSIZE || rc == -EILSEQ)
        log_warning(
            "%s: its name has more than %d bytes, or control characters: no file can say which devices it "
            "has",
            guest->label, CONFIG_GUEST_NAME_LEN - 1);
}

/* xl gives the domain that runs a guest's QEMU the guest's name with "-dm" behind it, and makes it before it
 * has completed the guest. (Any other guest may have such a name, too.) */
static bool is_stub_domain(const struct guest *guest)
{
    const struct guest *other;

    list_for_each (other, &guest->daemon->guests, link) {
        size_t len = strlen(other->name);

        if (other->state == GUEST_CREATED && len > 0 && strncmp(guest->name, other->name, len) == 0 &&
            strcmp(guest->name + len, "-dm") == 0)
            return true;
    }
    return false;
}

/* A predecessor of ours has begun with it. */
static void adopt(struct guest *guest, const struct record *record)
{
    guest->plan = record->plan;
    memcpy(guest->name, record->name, sizeof(guest->name));
    label_make(guest);
    guest->held = record_held(state_dir(guest), guest->domain.domid, guest->domain.uuid);
    /* One that is not held runs already, with the devices that it has: it waits for nothing that a limit
     * could end. (A vhost-dm that was started again, or by another program, has not said in DOMID.ready that
     * it is ready.) */
    guest->state = guest->held ? GUEST_STARTING : GUEST_SERVED;
    guest_processes_adopt(guest, record);
    if (guest->gone || guest->domain.ended) {
        guest_end(guest, guest->gone);
        return;
    }
    log_info("%s: is taken over%s", guest->label, guest->held ? ", held" : "");
    guest_processes_resume(guest);
    if (guest->state == GUEST_STARTING)
        limit_set(guest, guest->plan.settings.start_timeout + READY_GRACE);
    guest_look(guest);
}

/* Whether there was a record, and the guest is dealt with. */
static bool adopt_recorded(struct guest *guest, const uint8_t *uuid)
{
    struct record *record = calloc(1, sizeof(*record));
    int rc = record != NULL ? record_read(state_dir(guest), guest->domain.domid, uuid, record) : -ENOMEM;

    if (rc == 0 && record->no_texts && !guest->gone && !guest->domain.ended)
        rc = -EINVAL;
    if (rc == -EINVAL)
        log_error("dom %u: %s/%u.guest or .devices is damaged and not used: processes that were started for "
                  "this guest "
                  "are no longer looked after",
                  guest->domain.domid, state_dir(guest), guest->domain.domid);
    if (rc == 0) {
        if (uuid == NULL)
            memcpy(guest->domain.uuid, record->uuid, sizeof(record->uuid));
        adopt(guest, record);
    } else if (record != NULL) {
        plan_clear(&record->plan);
    }
    free(record);
    return rc == 0;
}

void guest_new_ended(struct daemon *daemon, const struct toolstack_domain *domain, bool gone)
{
    struct guest *guest;

    if (!record_there(daemon->config.state_dir, domain->domid) ||
        (guest = guest_alloc(daemon, domain)) == NULL)
        return;
    guest->gone = gone;
    /* (That may have freed it already.) */
    if (!adopt_recorded(guest, gone ? NULL : domain->uuid))
        guest_free(guest);
}

struct guest *guest_new(struct daemon *daemon, const struct toolstack_domain *domain)
{
    struct guest *guest = guest_alloc(daemon, domain);

    if (guest == NULL || adopt_recorded(guest, domain->uuid))
        return guest;
    name_read(guest);
    guest->state = GUEST_OTHER;
    if (domain->pv || is_stub_domain(guest) ||
        (!domain->never_ran && !record_held(state_dir(guest), domain->domid, domain->uuid))) {
        guest_look(guest);
        return guest;
    }
    if (hold(guest) != 0)
        return guest;
    /* Whether it has been in time is known only now. */
    toolstack_domain_get(daemon->toolstack, domain->domid, &guest->domain);
    guest->state = GUEST_CREATED;
    limit_set(guest, COMPLETE_SECONDS);
    guest_nodes_changed(guest);
    guest_look(guest);
    return guest;
}

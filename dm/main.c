// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - vhost-dm, the device model of one guest. The whole story: find the domain, take up its saved
 * state, attach, connect the back-ends, plug the devices, let the guest run, serve it until it is gone or we
 * are told to end, and take everything down in reverse.
 */
#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/notify.h"
#include "common/saved_state.h"
#include "config.h"
#include "dm/confine.h"
#include "dm/control.h"
#include "dm/devices.h"
#include "dm/guest.h"
#include "dm/options.h"
#include "dm/probe.h"
#include "dm/shm_pool.h"
#include "dm/shm_server.h"
#ifdef WITH_XEN
#include "xen/xen_hypervisor.h"
#endif

/* What is ours in the folder of --state-dir, by the domain's number. */
enum {
    FILE_STATE,
    FILE_SHM,
    FILE_CONTROL,
    FILE_GRANT,
    FILE_DEVICES,
    FILE_ADDED,
    NR_FILES,
    FILE_KEPT = NR_FILES,
    NR_PATHS
};
#ifdef WITH_XEN
static const char *const file_suffixes[] = {"state", "shm", "ctl", "grant", "devices", "added", "kept"};
#endif

struct program {
    struct options options;
    struct ev_loop *loop;
    unsigned domid;
    struct saved_state *saved;
    char paths[NR_PATHS][512];
    const char *files[NR_FILES]; /* that are ours to remove in the end; FILE_KEPT is xen/'s */
    struct hypervisor *hv;
    struct shm_pool *shm; /* these two: NULL where there are no shared pages */
    struct shm_server *shm_server;
    struct guest guest;
    bool guest_made;
    struct devices *devices;
    bool ready;              /* all that the guest begins with can be plugged */
    struct control *control; /* NULL: nobody can look at us */
    bool served;             /* the guest was let run with all its devices */
    bool failed;             /* and has been logged */
    bool ended;              /* by a signal */
    bool state_stays;        /* of a guest that was served before, and that we could not attach to */
    ev_signal sigterm, sigint;
};

static const char out_of_memory[] = "not enough memory";

/* ---- readiness ---------------------------------------------------------------------------------------- */

static void tell_ready(struct program *p)
{
    static const char line[] = "ready\n";

    if (p->shm_server != NULL)
        log_info("%s: back-ends may share up to %llu MiB with the guest: VHOST_DM_SHM=%s/%u.shm", p->hv->name,
                 (unsigned long long)(p->options.shm_limit >> 20), p->options.state_dir, p->domid);
    log_info("%s: ready: the guest may be unpaused", p->hv->name);
    if (p->options.ready_fd >= 0) {
        if (write(p->options.ready_fd, line, sizeof(line) - 1) < 0)
            log_warning("%s: readiness could not be written to fd %d: %s", p->hv->name, p->options.ready_fd,
                        strerror(errno));
        close(p->options.ready_fd);
        p->options.ready_fd = -1;
    }
    notify_service_manager("READY=1");
}

/* ---- events ------------------------------------------------------------------------------------------- */

static void on_devices_ready(void *ctx)
{
    struct program *p = ctx;

    p->ready = true;
    ev_break(p->loop, EVBREAK_ALL);
}

static void on_device_failed(void *ctx, const char *why)
{
    struct program *p = ctx;

    if (!p->failed)
        log_error("%s", why);
    p->failed = true;
    ev_break(p->loop, EVBREAK_ALL);
}

static void on_guest_gone(void *ctx)
{
    struct program *p = ctx;

    ev_break(p->loop, EVBREAK_ALL);
}

static bool going_on(const struct program *p)
{
    return !p->failed && !p->ended && !(p->guest_made && p->guest.gone);
}

/* ---- the stages ------------------------------------------------------------------------------------ */

#ifdef WITH_XEN
static void on_signal(struct ev_loop *loop, ev_signal *signal, int revents)
{
    struct program *p = signal->data;

    (void)revents;
    log_info("ending on signal %d", signal->signum);
    p->ended = true;
    ev_break(loop, EVBREAK_ALL);
}

static void catch_signal(struct program *p, ev_signal *watcher, int signum)
{
    ev_signal_init(watcher, on_signal, signum);
    watcher->data = p;
    ev_signal_start(p->loop, watcher);
}

/* Before anything is done to the guest: what is half done is noted in the saved state alone, and nobody might
 * come to undo it. They are answered by the loop. (They cannot just be blocked, as starting the broker
 * unblocks them; and before this they end us while we wait for a guest.) */
static void catch_signals(struct program *p)
{
    catch_signal(p, &p->sigterm, SIGTERM);
    catch_signal(p, &p->sigint, SIGINT);
}

/* The guest's saved state, which also keeps a second vhost-dm away. *successor: a first one left it. */
static bool state_open(struct program *p, const struct xen_domain *domain, bool *successor)
{
    int holder = 0, rc;

    for (int i = 0; i < NR_PATHS; i++) {
        if ((size_t)snprintf(p->paths[i], sizeof(p->paths[i]), "%s/%u.%s", p->options.state_dir,
                             domain->domid, file_suffixes[i]) >= sizeof(p->paths[i])) {
            log_error("--state-dir %.100s: the name is too long", p->options.state_dir);
            return false;
        }
        if (i < NR_FILES)
            p->files[i] = p->paths[i];
    }
    *successor = saved_state_there(p->paths[FILE_STATE], domain->uuid);
    rc = saved_state_open(&p->saved, p->paths[FILE_STATE], domain->uuid, &holder);
    if (rc == -EBUSY)
        log_error(
            "dom %u (%s): another vhost-dm (process %d) serves this guest: give it all the guest's devices, "
            "or end it first",
            domain->domid, domain->name, holder);
    else if (rc != 0)
        log_error("dom %u (%s): %s: %s; another folder can be named with --state-dir", domain->domid,
                  domain->name, p->paths[FILE_STATE], strerror(-rc));
    return rc == 0;
}

static bool attach(struct program *p)
{
    struct xen_attach how = {
        .confined = p->options.confined,
        .max_shared_pages = p->options.shm_limit >> GUEST_PAGE_SHIFT,
        .nr_files = ARRAY_SIZE(p->files),
        .files = p->files,
        .nr_devices = (unsigned)p->options.nr_devices,
        .devices = p->options.device_texts,
        .grants_path = p->paths[FILE_ADDED],
        .list_path = p->paths[FILE_DEVICES],
        .grant_socket = p->paths[FILE_GRANT],
        .kept_path = p->paths[FILE_KEPT],
    };
    struct xen_domain domain;
    char why[256];
    bool successor;
    int rc;

    rc = xen_domain_find(p->options.domain, p->options.wait, &domain, why, sizeof(why));
    if (rc != 0) {
        log_error("domain %s: %s", p->options.domain, why);
        return false;
    }
    catch_signals(p);
    if (!state_open(p, &domain, &successor)) {
        xen_domain_release(&domain);
        return false;
    }
    p->domid = domain.domid;
    rc = xen_hypervisor_attach(&p->hv, &domain, p->saved, &how, why, sizeof(why));
    if (rc != 0)
        log_error("dom %u (%s): %s", domain.domid, domain.name, why);
    p->state_stays = rc != 0 && rc != -ENOENT && successor;
    return rc == 0;
}
#else
static bool attach(struct program *p)
{
    log_error("domain %s: this vhost-dm was built --without-xen: it has no hypervisor to attach to",
              p->options.domain);
    return false;
}
#endif

/* Without shared pages everything works, but none of it without copies or exits. */
static void shared_pages_make(struct program *p)
{
    int rc;

    if (p->options.shm_limit == 0)
        return;
    rc = shm_pool_new(&p->shm, p->hv, p->saved, p->options.shm_limit);
    if (rc == 0)
        rc = shm_server_new(&p->shm_server, p->loop, p->shm, p->paths[FILE_SHM], p->hv->name);
    if (rc != 0)
        log_warning("%s: back-ends cannot allocate memory that is shared with the guest: %s", p->hv->name,
                    strerror(-rc));
    p->guest.shm = p->shm;
}

static bool guest_make(struct program *p)
{
    int rc = guest_init(&p->guest, p->loop, p->hv, p->saved);

    if (rc != 0) {
        log_error("%s: the guest cannot be served: %s", p->hv->name, strerror(-rc));
        return false;
    }
    p->guest_made = true;
    p->guest.gone_fn = on_guest_gone;
    p->guest.gone_ctx = p;
    shared_pages_make(p);
    return true;
}

/* Without it the guest has its devices all the same. */
static void control_make(struct program *p)
{
    const char *path = p->paths[FILE_CONTROL];
    int rc;

    rc = control_new(&p->control, &p->guest, p->devices, path);
    if (rc != 0 && rc != -ENOTSUP)
        log_warning("%s: vhost-dmctl cannot reach this vhost-dm, as there is no socket %s: %s", p->hv->name,
                    path, strerror(-rc));
}

static bool devices_make(struct program *p)
{
    static const struct devices_callbacks callbacks = {.ready = on_devices_ready, .failed = on_device_failed};
    int rc = devices_new(&p->devices, &p->guest, p->paths[FILE_DEVICES], &callbacks, p);

    if (rc != 0) {
        log_error("%s: its devices cannot be made: %s", p->hv->name, strerror(-rc));
        return false;
    }
    control_make(p);
    if (!devices_start(p->devices, &p->options, &p->ready))
        return false;
    while (going_on(p) && !p->ready)
        ev_run(p->loop, 0);
    return going_on(p) && devices_plug(p->devices);
}

/* From here on the guest, and back-ends that it has taken over, find nothing in us but the guest itself. */
static bool rights_drop(struct program *p)
{
    struct confine_options confinement = {p->options.user, p->options.state_dir};
    char why[256];
    int rc;

    if (!p->options.confined || p->hv->ops->confine == NULL)
        return true;
    notify_prepare();
    if (confinement.user == OPTIONS_USER_AUTO)
        confinement.user = OPTIONS_USER_FIRST + p->domid;
    rc = p->hv->ops->confine(p->hv);
    if (rc != 0)
        snprintf(why, sizeof(why), "Xen's interfaces: %s", strerror(-rc));
    else
        rc = confine(&confinement, why, sizeof(why));
    if (rc != 0)
        log_error("%s: rights cannot be given up: %s; --confine=off keeps them all", p->hv->name, why);
    p->guest.confined = true;
    return rc == 0;
}

static bool serve(struct program *p)
{
    int rc = p->hv->ops->start(p->hv);

    if (rc != 0) {
        log_error("%s: serving cannot begin: %s", p->hv->name, strerror(-rc));
        return false;
    }
    p->served = true;
    tell_ready(p);
    while (going_on(p))
        ev_run(p->loop, 0);
    return true;
}

static void take_down(struct program *p)
{
    bool confined = p->options.confined && p->hv != NULL && p->hv->ops->files_remove != NULL;
    bool leave = p->state_stays, gone = p->guest_made && p->guest.gone;

    control_free(p->control);
    devices_free(p->devices);
    if (p->guest_made)
        guest_fini(&p->guest);
    shm_server_free(p->shm_server);
    shm_pool_free(p->shm);
    if (p->hv != NULL) {
        /* What a guest's driver made of the devices is not thrown away because a back-end was not there yet.
         */
        leave = p->hv->resumed && !p->served && !p->guest.gone && p->hv->ops->leave != NULL;
        if (leave) {
            log_info(
                "%s: the guest keeps its devices, which answer again when vhost-dm is started with success",
                p->hv->name);
            p->hv->ops->leave(p->hv);
        } else {
            /* The list of devices is for whoever starts a successor, if there is going to be one. */
            if (confined)
                p->hv->ops->files_remove(p->hv, gone ? NR_FILES : FILE_DEVICES);
            p->hv->ops->detach(p->hv);
        }
    }
    /* (The socket for grants may be of a privileged process whose vhost-dm was killed, or could not start.)
     */
    if (p->saved != NULL && !leave && !confined)
        unlink(p->paths[FILE_GRANT]);
    for (int i = FILE_DEVICES; gone && !confined && i < NR_FILES; i++)
        unlink(p->paths[i]);
    saved_state_close(p->saved, !leave && !confined);
}

int main(int argc, char **argv)
{
    static struct program p;
    bool ok;

#ifdef WITH_XEN
    if (argc > 0 && strcmp(argv[0], XEN_KEEPER_NAME) == 0)
        return xen_keeper_main(argc, argv);
    if (argc > 0 && strcmp(argv[0], XEN_BROKER_NAME) == 0)
        return xen_broker_main(argc, argv);
#endif
    if (argc > 1 && strcmp(argv[1], "probe") == 0)
        return probe_main(argc - 1, argv + 1);
    switch (options_parse(&p.options, argc, argv)) {
    case OPTIONS_DONE:
        return EXIT_SUCCESS;
    case OPTIONS_ERROR:
        return 2;
    case OPTIONS_RUN:
        break;
    }
    /* Sockets are written with MSG_NOSIGNAL; eventfds and logs that go to a pipe are not. */
    signal(SIGPIPE, SIG_IGN);
    p.loop = ev_default_loop(EVFLAG_AUTO);
    if (p.loop == NULL) {
        log_error("no event loop: %s", out_of_memory);
        return EXIT_FAILURE;
    }
    ok = attach(&p);
    /* A signal may have kept it from succeeding. */
    ev_run(p.loop, EVRUN_NOWAIT);
    ok = ok && going_on(&p) && guest_make(&p) && devices_make(&p) && rights_drop(&p) && serve(&p);
    if (p.guest_made && p.guest.gone)
        log_info("%s: %s", p.hv->name, p.guest.gone_why);
    take_down(&p);
    ev_loop_destroy(p.loop);
    return ok || p.ended || (p.guest_made && p.guest.gone && !p.failed) ? EXIT_SUCCESS : EXIT_FAILURE;
}

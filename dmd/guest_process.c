// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * guest_process.c - the processes of a guest: its vhost-dm and its back-ends (see guest.h). One that ends
 * while the guest lives is started again: at once, then later and later, and after so many times in a row no
 * more.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/process.h"
#include "dmd/guest.h"

#define FAILURES_MAX 10
#define AGAIN_FIRST  0.2 /* seconds; twice as long each time */
#define AGAIN_MAX    30.0
#define RAN_WELL     10.0 /* seconds: what ran so long has not failed at its start */
#define STATUS_USAGE 2    /* of vhost-dm: its command line makes no sense */

static bool stopping(const struct guest *guest)
{
    return guest->state == GUEST_ENDING || guest->state == GUEST_ENDED || guest->state == GUEST_FAILED;
}

static const char *process_name(const struct guest_process *process)
{
    return process->device < 0 ? "vhost-dm" : process->guest->plan.devices[process->device].name;
}

/* ---- starting -------------------------------------------------------------------------------- */

static void process_ended(void *ctx, struct child *child, int status);
static void process_again(struct guest_process *process, const char *what);

static int vhost_dm_start(struct guest_process *process)
{
    struct guest *guest = process->guest;
    const struct daemon *daemon = guest->daemon;
    const char *limit = guest->plan.settings.shm_limit, *confine = guest->plan.settings.confine;
    char domid[8], path[RECORD_PATH_LEN];
    const char *const first[] = {daemon->config.vhost_dm,  "--domain",   domid, "--state-dir",
                                 daemon->config.state_dir, "--ready-fd", "3"};
    struct words argv = {0};
    int ready, rc = 0;

    snprintf(domid, sizeof(domid), "%u", guest->domain.domid);
    for (size_t i = 0; i < ARRAY_SIZE(first) && rc == 0; i++)
        rc = words_add(&argv, first[i]);
    if (rc == 0 && limit[0] != '\0' && (rc = words_add(&argv, "--shm-limit")) == 0)
        rc = words_add(&argv, limit);
    if (rc == 0 && confine[0] != '\0' && (rc = words_add(&argv, "--confine")) == 0)
        rc = words_add(&argv, confine);
    if (rc == 0 && log_level >= LOG_LEVEL_DEBUG && (rc = words_add(&argv, "--debug")) == 0)
        rc = words_add(&argv, log_level_name(log_level));
    for (size_t i = 0; i < guest->plan.nr_devices && rc == 0; i++)
        if (guest->plan.devices[i].text[0] != '\0' && (rc = words_add(&argv, "--device")) == 0)
            rc = words_add(&argv, guest->plan.devices[i].text);
    /* A file, so that it is not lost with us that the guest is ready. */
    record_path(path, daemon->config.state_dir, guest->domain.domid, "ready");
    ready = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (rc == 0)
        rc = ready < 0
                 ? -errno
                 : child_start(&process->child, daemon->loop, argv.word, NULL, ready, process_ended, process);
    if (ready >= 0)
        close(ready);
    words_free(&argv);
    return rc;
}

/* Removes what one that was killed has left. All else that a mistaken socket= may name is not ours. */
static void socket_remove(const char *path)
{
    struct stat st;

    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path);
}

static int back_end_start(struct guest_process *process)
{
    struct guest *guest = process->guest;
    const struct plan_device *device = &guest->plan.devices[process->device];
    char shm[RECORD_PATH_LEN + 16] = "VHOST_DM_SHM=";

    record_path(shm + strlen(shm), guest->daemon->config.state_dir, guest->domain.domid, "shm");
    socket_remove(device->socket);
    return child_start(&process->child, guest->daemon->loop, device->back_end.word, shm, -1, process_ended,
                       process);
}

/* Made, but it waits: process_go(). */
static int process_make(struct guest_process *process)
{
    process->started = guest_clock();
    return process->device < 0 ? vhost_dm_start(process) : back_end_start(process);
}

static void record_processes(struct guest *guest)
{
    const char *dir = guest->daemon->config.state_dir;
    struct record *record = calloc(1, sizeof(*record));
    int rc = -ENOMEM;

    if (record != NULL) {
        memcpy(record->uuid, guest->domain.uuid, sizeof(record->uuid));
        memcpy(record->name, guest->name, sizeof(record->name));
        record->plan = guest->plan; /* borrowed */
        record->vhost_dm = (struct record_process){guest->vhost_dm.child.pid, guest->vhost_dm.child.start};
        for (size_t i = 0; i < guest->plan.nr_devices; i++)
            record->back_ends[i] =
                (struct record_process){guest->back_ends[i].child.pid, guest->back_ends[i].child.start};
        rc = record_guest_write(dir, guest->domain.domid, record);
    }
    free(record);
    if (rc != 0)
        log_error("%s: %s/%u.guest: %s; a vhost-dmd that is started again will not know its processes",
                  guest->label, dir, guest->domain.domid, strerror(-rc));
}

static bool has_process(const struct guest_process *process)
{
    const struct guest *guest = process->guest;

    return process->device < 0 ? guest->plan.nr_devices > 0
                               : (size_t)process->device < guest->plan.nr_devices &&
                                     guest->plan.devices[process->device].back_end.n > 0;
}

/* All of them, the vhost-dm last. */
#define for_each_process(process, guest)                                                      \
    for (int i_ = 0; i_ <= CONFIG_MAX_DEVICES; i_++)                                          \
        if (process = i_ < CONFIG_MAX_DEVICES ? &(guest)->back_ends[i_] : &(guest)->vhost_dm, \
            has_process(process))

int guest_processes_start(struct guest *guest)
{
    struct guest_process *process;
    int rc = 0;

    for_each_process(process, guest)
    {
        if (rc != 0 || child_runs(&process->child))
            continue;
        rc = process_make(process);
        if (rc != 0)
            log_error("%s, %s: no process can be made for it: %s", guest->label, process_name(process),
                      strerror(-rc));
    }
    record_processes(guest);
    for_each_process(process, guest) child_go(&process->child);
    return rc;
}

static void process_start(struct guest_process *process)
{
    char what[128];
    int rc = process_make(process);

    if (rc != 0) {
        snprintf(what, sizeof(what), "no process can be made for it: %s", strerror(-rc));
        process_again(process, what);
        return;
    }
    record_processes(process->guest);
    child_go(&process->child);
    log_info("%s, %s: started again as process %d", process->guest->label, process_name(process),
             (int)process->child.pid);
}

void guest_processes_resume(struct guest *guest)
{
    struct guest_process *process;

    for_each_process(process, guest)
    {
        process->failures = 0;
        ev_timer_stop(guest->daemon->loop, &process->again);
        if (!child_runs(&process->child))
            process_start(process);
    }
}

/* ---- ending, and again ----------------------------------------------------------------------- */

static void status_text(char *text, size_t len, int status)
{
    if (status == -1)
        snprintf(text, len, "has ended");
    else if (WIFSIGNALED(status))
        snprintf(text, len, "was ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) == 127)
        snprintf(text, len, "could not be executed");
    else
        snprintf(text, len, "has ended with status %d", WEXITSTATUS(status));
}

/* What it means for the guest. */
static const char *consequence(const struct guest_process *process)
{
    if (process->guest->state != GUEST_SERVED)
        return "";
    return process->device < 0
               ? "; the guest waits for its devices until it is there again"
               : "; the device fails until the guest's driver is bound anew (see vhost-dm(8))";
}

static void on_again(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
    struct guest_process *process = container_of(timer, struct guest_process, again);

    (void)revents;
    ev_timer_stop(loop, timer);
    if (!stopping(process->guest) && !child_runs(&process->child) && guest_lives(process->guest))
        process_start(process);
}

static void process_again(struct guest_process *process, const char *what)
{
    struct ev_loop *loop = process->guest->daemon->loop;
    double wait = AGAIN_FIRST;

    if (guest_clock() - process->started >= RAN_WELL)
        process->failures = 0;
    process->failures++;
    if (process->failures > FAILURES_MAX) {
        log_error("%s, %s: %s%s; it has failed %d times in a row and is not started again: see what it says "
                  "itself, "
                  "then 'systemctl reload vhost-dmd' (SIGHUP) tries again",
                  process->guest->label, process_name(process), what, consequence(process), FAILURES_MAX);
        return;
    }
    for (unsigned i = 1; i < process->failures; i++)
        wait = wait * 2 > AGAIN_MAX ? AGAIN_MAX : wait * 2;
    if (process->failures == 1)
        wait = 0.;
    log_warning("%s, %s: %s%s; it is started again in %.1f s", process->guest->label, process_name(process),
                what, consequence(process), wait);
    ev_timer_set(&process->again, wait, 0.);
    ev_timer_start(loop, &process->again);
}

static void back_ends_signal(struct guest *guest, int signum)
{
    for (size_t i = 0; i < guest->plan.nr_devices; i++)
        child_signal(&guest->back_ends[i].child, signum);
}

static void process_ended(void *ctx, struct child *child, int status)
{
    struct guest_process *process = ctx;
    struct guest *guest = process->guest;
    char what[64], why[sizeof(guest->daemon->config.vhost_dm) + 80];

    (void)child;
    if (stopping(guest)) {
        if (process->device < 0) {
            guest_vhost_dm_gone(guest);
            back_ends_signal(guest, SIGTERM);
        }
        if (!guest_processes_run(guest))
            guest_processes_gone(guest);
        return;
    }
    if (!guest_lives(guest))
        return;
    status_text(what, sizeof(what), status);
    if (process->device < 0 && guest->state == GUEST_STARTING && status != -1 && WIFEXITED(status) &&
        (WEXITSTATUS(status) == STATUS_USAGE || WEXITSTATUS(status) == 127)) {
        snprintf(why, sizeof(why), "%s %s", guest->daemon->config.vhost_dm, what);
        guest_fail(guest, why);
        return;
    }
    process_again(process, what);
}

void guest_processes_stop(struct guest *guest, int signum)
{
    struct guest_process *process;

    for_each_process(process, guest) ev_timer_stop(guest->daemon->loop, &process->again);
    if (signum != 0)
        child_signal(&guest->vhost_dm.child, signum);
    if (!child_runs(&guest->vhost_dm.child))
        back_ends_signal(guest, signum != 0 ? signum : SIGTERM);
}

/* ---- the rest -------------------------------------------------------------------------------- */

void guest_processes_init(struct guest *guest)
{
    for (int i = 0; i <= CONFIG_MAX_DEVICES; i++) {
        struct guest_process *process = i < CONFIG_MAX_DEVICES ? &guest->back_ends[i] : &guest->vhost_dm;

        process->guest = guest;
        process->device = i < CONFIG_MAX_DEVICES ? i : -1;
        ev_timer_init(&process->again, on_again, 0., 0.);
    }
}

void guest_processes_adopt(struct guest *guest, const struct record *record)
{
    struct guest_process *process;

    for_each_process(process, guest)
    {
        const struct record_process *its =
            process->device < 0 ? &record->vhost_dm : &record->back_ends[process->device];

        process->started = guest_clock();
        if (its->pid != 0)
            child_adopt(&process->child, guest->daemon->loop, its->pid, its->start, process_ended, process);
    }
}

int guest_processes_adopt_foreign(struct guest *guest)
{
    pid_t pid = record_state_holder(guest->daemon->config.state_dir, guest->domain.domid);

    if (pid == 0 || child_adopt(&guest->vhost_dm.child, guest->daemon->loop, pid, process_start_time(pid),
                                process_ended, &guest->vhost_dm) != 0)
        return -ESRCH;
    guest->vhost_dm.started = guest_clock();
    record_processes(guest);
    return 0;
}

bool guest_processes_run(const struct guest *guest)
{
    bool run = child_runs(&guest->vhost_dm.child);

    for (size_t i = 0; i < guest->plan.nr_devices; i++)
        run |= child_runs(&guest->back_ends[i].child);
    return run;
}

void guest_processes_forget(struct guest *guest)
{
    for (int i = 0; i <= CONFIG_MAX_DEVICES; i++) {
        struct guest_process *process = i < CONFIG_MAX_DEVICES ? &guest->back_ends[i] : &guest->vhost_dm;

        ev_timer_stop(guest->daemon->loop, &process->again);
        child_forget(&process->child);
    }
}

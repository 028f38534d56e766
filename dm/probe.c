// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * probe.c - `vhost-dm probe`, see probe.h. The order of things: connect and negotiate; show the back-end a
 * guest's memory and queues; kick each queue; serve what it asks for, as long as that was wanted; stop the
 * queues; look at what it has done, and report.
 */
#include "dm/probe.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/virtio_config.h>

#include "common/log.h"
#include "common/util.h"
#include "common/vhost_user.h"

#define DEFAULT_MEMORY MIB(64)
#define MIN_MEMORY     MIB(4)
#define MAX_MEMORY     GIB(1024)
#define WINDOW_GPA     GIB(2048) /* of the shared memory regions: above all memory, a multiple of any window */

static const char usage[] =
    "usage: vhost-dm probe --socket PATH [options]\n"
    "Connects to a vhost-user back-end as the device model would, without a guest, Xen or root; prints what "
    "it\n"
    "offers and which rules it breaks. Ends with 0 if it breaks none, 1 if it breaks some, 2 if this "
    "command\n"
    "line is wrong, 3 if nothing can be said.\n"
    "\n"
    "  -S, --socket PATH      where the back-end listens\n"
    "  -t, --type NAME        what it is, for the names of features: blk fs gpu net pmem scsi vsock\n"
    "  -m, --memory SIZE      memory of the guest that it is shown (default: 64M)\n"
    "  -q, --queues N         queues to start (default: as many as the back-end says, 1 if it does not)\n"
    "  -s, --serve[=SECONDS]  serve its requests for so long, or until it or a signal ends it\n"
    "  -T, --timeout SECONDS  how long it may take to answer (default: 10)\n"
    "  -j, --json             print one JSON object\n"
    "  -d, --debug LEVEL      error, warning, info, debug or trace (every message); default: warning\n"
    "  -h, --help             this text\n";

static const struct option long_options[] = {
    {"socket", required_argument, NULL, 'S'}, {"type", required_argument, NULL, 't'},
    {"memory", required_argument, NULL, 'm'}, {"queues", required_argument, NULL, 'q'},
    {"serve", optional_argument, NULL, 's'},  {"timeout", required_argument, NULL, 'T'},
    {"json", no_argument, NULL, 'j'},         {"debug", required_argument, NULL, 'd'},
    {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
};

/* ---- what is found ------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 0))) static void texts_add(struct probe_texts *t, const char *fmt,
                                                            va_list ap)
{
    char text[sizeof(t->texts[0].text)];

    vsnprintf(text, sizeof(text), fmt, ap);
    for (unsigned i = 0; i < t->nr; i++)
        if (strcmp(t->texts[i].text, text) == 0) {
            t->texts[i].count++;
            return;
        }
    if (t->nr == PROBE_MAX_TEXTS) {
        t->others++;
        return;
    }
    memcpy(t->texts[t->nr].text, text, sizeof(text));
    t->texts[t->nr++].count = 1;
}

void probe_violation(struct probe *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    texts_add(&p->violations, fmt, ap);
    va_end(ap);
}

void probe_note(struct probe *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    texts_add(&p->notes, fmt, ap);
    va_end(ap);
}

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Without memory only the count goes on. */
static void sample_add(struct probe_samples *s, int64_t ns)
{
    s->count++;
    if (s->nr == s->room && s->room < PROBE_MAX_SAMPLES) {
        size_t room = s->room == 0 ? 1024 : 2 * s->room;
        uint32_t *more = realloc(s->ns, room * sizeof(*more));

        if (more == NULL)
            return;
        s->ns = more;
        s->room = room;
    }
    if (s->nr < s->room)
        s->ns[s->nr++] = (uint32_t)MIN(ns, (int64_t)UINT32_MAX);
}

/* ---- rules about what is offered ---------------------------------------------------------------- */

/* Features of the protocol that are of no use without others. */
static const struct {
    enum vhost_user_protocol_feature feature, needs;
    bool must; /* by the text of the protocol; otherwise by reason */
} needed[] = {
    {VHOST_USER_PROTOCOL_F_SHMEM_MAP, VHOST_USER_PROTOCOL_F_BACKEND_REQ, true},
    {VHOST_USER_PROTOCOL_F_SHMEM_MAP, VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD, true},
    {VHOST_USER_PROTOCOL_F_SHMEM_MAP, VHOST_USER_PROTOCOL_F_REPLY_ACK, false},
    {VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD, VHOST_USER_PROTOCOL_F_BACKEND_REQ, true},
    {VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS, VHOST_USER_PROTOCOL_F_BACKEND_REQ, true},
    {VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS, VHOST_USER_PROTOCOL_F_REPLY_ACK, true},
    {VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD, true},
};

static void offer_check(struct probe *p)
{
    uint64_t features = frontend_offered(p->fe), protocol = frontend_protocol_offered(p->fe);

    if ((features >> VIRTIO_F_VERSION_1 & 1) == 0)
        probe_violation(
            p, "virtio features: it does not offer VERSION_1, without which no driver of today works");
    if ((features >> VHOST_USER_F_PROTOCOL_FEATURES & 1) == 0)
        probe_note(p, "it offers no protocol features: no config space, acknowledgements, shared memory");
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        const char *what = vhost_user_protocol_feature_name(needed[i].feature);
        const char *needs = vhost_user_protocol_feature_name(needed[i].needs);

        if ((protocol >> needed[i].feature & 1) == 0 || (protocol >> needed[i].needs & 1) != 0)
            continue;
        if (needed[i].must)
            probe_violation(p, "protocol features: it offers %s without %s, which it needs", what, needs);
        else
            probe_note(p, "it offers %s without %s: it cannot know whether a request was done", what, needs);
    }
    for (unsigned bit = 0; bit < 64; bit++)
        if ((protocol >> bit & 1) != 0 && vhost_user_protocol_feature_name(bit) == NULL)
            probe_note(p, "it offers protocol feature bit %u, which has no meaning known here", bit);
}

/* ---- reports of the front-end ------------------------------------------------------------------- */

static void probe_end(struct probe *p)
{
    ev_break(p->loop, EVBREAK_ALL);
}

static void stop(struct probe *p, const char *why)
{
    if (p->stopping)
        return;
    p->stopping = true;
    p->why_end = why;
    ev_timer_stop(p->loop, &p->serve_timer);
    if (p->shmem != NULL)
        p->last_stats = shmem_stats_get(p->shmem);
    if (frontend_stop(p->fe) != 0)
        probe_end(p);
}

static void on_ready(void *ctx)
{
    struct probe *p = ctx;
    int rc;

    p->ready = true;
    p->config_len = frontend_config(p->fe, p->config, sizeof(p->config));
    offer_check(p);
    if (!p->json)
        probe_report_offer(p);
    rc = probe_rings_start(p, frontend_nr_queues(p->fe));
    if (rc == 0)
        return;
    log_error("the queues cannot be started: %s", strerror(-rc));
    p->failed = true;
    probe_end(p);
}

static void on_started(void *ctx)
{
    struct probe *p = ctx;

    p->started = true;
    probe_rings_kick(p);
    log_debug("probe: the queues run");
    if (!p->serve) {
        stop(p, "not asked for");
    } else if (p->seconds > 0) {
        ev_now_update(p->loop);
        ev_timer_set(&p->serve_timer, p->seconds, 0.);
        ev_timer_start(p->loop, &p->serve_timer);
    }
}

static void on_stopped(void *ctx)
{
    struct probe *p = ctx;

    p->stopped = true;
    probe_end(p);
}

static void on_lost(void *ctx, int err, const char *why)
{
    struct probe *p = ctx;
    bool never = err == -ENOENT || err == -ECONNREFUSED || err == -EACCES || err == -EPERM;

    if (!p->ready && never) {
        log_error("no back-end at %s: %s", p->socket, why);
        p->failed = true;
    } else if (err == -ENOMEM || err == -EMFILE || err == -ENFILE) {
        log_error("%s", why);
        p->failed = true;
    } else if (err == -ECONNRESET && p->started && !p->stopping) {
        p->why_end = "the back-end has closed the connection";
    } else {
        probe_violation(p, "%s: %s",
                        !p->ready      ? "while connecting"
                        : !p->started  ? "while its queues were started"
                        : !p->stopping ? "while it was served"
                                       : "while its queues were stopped",
                        why);
    }
    if (p->shmem != NULL && p->maps.at_reset == 0)
        p->last_stats = shmem_stats_get(p->shmem);
    probe_end(p);
}

static void on_config_changed(void *ctx)
{
    struct probe *p = ctx;

    p->config_changes++;
    p->config_len = frontend_config(p->fe, p->config, sizeof(p->config));
}

static int on_shmem_config(void *ctx, const uint64_t sizes[SHMEM_MAX_REGIONS], const char **why)
{
    static const struct shmem_options options = {.placement = PLACEMENT_AUTO};
    struct probe *p = ctx;
    bool any = false;
    int rc;

    for (unsigned i = 0; i < SHMEM_MAX_REGIONS; i++)
        any |= sizes[i] != 0;
    if (!any)
        return 0;
    rc = shmem_new(&p->shmem, &p->guest, p->guest.hv->name, sizes, &options, why);
    if (rc == 0) {
        *why = "they cannot be shown to the guest";
        rc = shmem_show(p->shmem, WINDOW_GPA);
    }
    return rc;
}

static int on_shmem_map(void *ctx, const struct shmem_request *request, const char **why)
{
    struct probe *p = ctx;
    int64_t begin = now_ns();
    int rc;

    *why = "shmid: the back-end has announced no region";
    rc = p->shmem == NULL ? -EINVAL : shmem_map(p->shmem, request, why);
    if (rc == 0)
        sample_add(&p->maps, now_ns() - begin);
    return rc;
}

static int on_shmem_unmap(void *ctx, const struct shmem_request *request, const char **why)
{
    struct probe *p = ctx;
    int64_t begin = now_ns();
    int rc;

    *why = "shmid: the back-end has announced no region";
    rc = p->shmem == NULL ? -EINVAL : shmem_unmap(p->shmem, request, why);
    if (rc == 0)
        sample_add(&p->unmaps, now_ns() - begin);
    return rc;
}

static void on_shmem_reset(void *ctx)
{
    struct probe *p = ctx;

    p->maps.at_reset = p->maps.count;
    p->unmaps.at_reset = p->unmaps.count;
    if (p->shmem == NULL)
        return;
    p->last_stats = shmem_stats_get(p->shmem);
    shmem_unmap_all(p->shmem);
}

static void on_refused(void *ctx, uint32_t request, int err, const char *why)
{
    const char *name = vhost_user_request_name(VHOST_USER_BACKEND, request);
    struct probe *p = ctx;

    /* What this machine or a limit of ours has not room for is not the back-end's fault. */
    if (err == -ENOMEM || err == -EMFILE || err == -ENFILE || err == -EDQUOT || err == -ENOSPC)
        probe_note(p, "request %s (%u) refused: %s", name != NULL ? name : "unknown", request, why);
    else
        probe_violation(p, "request %s (%u): %s", name != NULL ? name : "unknown", request, why);
}

static const struct frontend_callbacks callbacks = {
    .ready = on_ready,
    .started = on_started,
    .stopped = on_stopped,
    .lost = on_lost,
    .shmem_config = on_shmem_config,
    .shmem_map = on_shmem_map,
    .shmem_unmap = on_shmem_unmap,
    .shmem_reset = on_shmem_reset,
    .refused = on_refused,
    .config_changed = on_config_changed,
};

static void on_time(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    stop(timer->data, "the time is over");
}

static void on_signal(struct ev_loop *loop, ev_signal *signal, int revents)
{
    (void)loop;
    (void)revents;
    stop(signal->data, "a signal");
}

/* ---- command line ------------------------------------------------------------------------------- */

static bool number_parse(const char *text, double min, double max, double *value)
{
    char *end;

    *value = strtod(text, &end);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *value >= min && *value <= max;
}

static bool memory_parse(const char *text, uint64_t *value)
{
    static const char units[] = "KMG";
    unsigned long long n;
    const char *unit;
    char *end;

    errno = 0;
    n = strtoull(text, &end, 0);
    unit = *end != '\0' ? strchr(units, *end) : NULL;
    if (text[0] < '0' || text[0] > '9' || errno != 0 || n > MAX_MEMORY)
        return false;
    if (unit != NULL && n <= MAX_MEMORY >> 10 * (unit - units + 1)) {
        n <<= 10 * (unit - units + 1);
        end++;
    }
    *value = n;
    return *end == '\0' && n >= MIN_MEMORY && n <= MAX_MEMORY && n % GUEST_PAGE_SIZE == 0;
}

/* NULL: good; otherwise what the value must be. */
static const char *option_set(struct probe *p, int opt, const char *value)
{
    double n = 0;

    switch (opt) {
    case 'S':
        p->socket = value;
        return NULL;
    case 't':
        p->type = virtio_feature_type_find(value);
        return p->type != NULL ? NULL : "blk, fs, gpu, net, pmem, scsi or vsock";
    case 'm':
        return memory_parse(value, &p->memory) ? NULL : "4M to 1024G, in multiples of 4K";
    case 'q':
        if (!number_parse(value, 1, FRONTEND_MAX_QUEUES, &n) || n != (double)(unsigned)n)
            return "1 to 64";
        p->nr_queues = (unsigned)n;
        return NULL;
    case 's':
        p->serve = true;
        return value == NULL || number_parse(value, 0.001, 1e6, &p->seconds) ? NULL
                                                                             : "a number of seconds above 0";
    case 'T':
        return number_parse(value, 0.001, 3600, &p->timeout) ? NULL : "seconds to 3600";
    case 'd':
        return log_level_by_name(value, &log_level) ? NULL : "error, warning, info, debug or trace";
    default:
        p->json = true;
        return PROBE_HAS_JSON ? NULL : "left out: this program was built without json-c";
    }
}

/* -1: go on; otherwise the exit status. */
static int options_parse(struct probe *p, int argc, char **argv)
{
    int opt;

    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, ":S:t:m:q:s::T:jd:h", long_options, NULL)) != -1) {
        const char *must;

        if (opt == 'h') {
            fputs(usage, stdout);
            return PROBE_CLEAN;
        }
        if (opt == '?' || opt == ':') {
            log_error("%s: %s; see vhost-dm probe --help", argv[optind - 1],
                      opt == ':' ? "this option needs a value" : "unknown option");
            return PROBE_USAGE;
        }
        must = option_set(p, opt, optarg);
        if (must != NULL) {
            log_error("%s: must be %s", optarg != NULL ? optarg : argv[optind - 1], must);
            return PROBE_USAGE;
        }
    }
    if (optind == argc && p->socket != NULL)
        return -1;
    log_error("%s; see vhost-dm probe --help",
              optind < argc ? "an argument that is no option" : "--socket is missing");
    return PROBE_USAGE;
}

/* ---- the whole ---------------------------------------------------------------------------------- */

static void signal_catch(struct probe *p, ev_signal *watcher, int signum)
{
    ev_signal_init(watcher, on_signal, signum);
    watcher->data = p;
    ev_signal_start(p->loop, watcher);
}

static int probe_run(struct probe *p)
{
    const struct frontend_options options = {
        .name = "probe",
        .socket = p->socket,
        .config_len = FRONTEND_MAX_CONFIG,
        .nr_queues = p->nr_queues,
        .queue_unit = p->type != NULL ? p->type->queue_unit : 1,
        .features_mask = UINT64_MAX,
        .reply_limit = p->timeout,
    };
    int rc = probe_guest_make(p);

    if (rc == 0)
        rc = frontend_new(&p->fe, p->loop, &options, &callbacks, p);
    if (rc != 0)
        return rc;
    ev_timer_init(&p->serve_timer, on_time, 0., 0.);
    p->serve_timer.data = p;
    signal_catch(p, &p->sigint, SIGINT);
    signal_catch(p, &p->sigterm, SIGTERM);
    ev_run(p->loop, 0);
    if (p->started)
        probe_rings_check(p);
    return 0;
}

int probe_main(int argc, char **argv)
{
    static struct probe probe;
    struct probe *p = &probe;
    int status, rc;

    *p = (struct probe){.memory = DEFAULT_MEMORY, .timeout = FRONTEND_REPLY_LIMIT};
    log_level = LOG_LEVEL_WARNING;
    status = options_parse(p, argc, argv);
    if (status >= 0)
        return status;
    signal(SIGPIPE, SIG_IGN);
    p->loop = ev_default_loop(EVFLAG_AUTO);
    rc = p->loop == NULL ? -ENOMEM : probe_run(p);
    if (rc != 0)
        log_error("%s: %s", p->socket, rc == -EINVAL ? "not the path of a socket" : strerror(-rc));
    else if (!p->failed)
        probe_report_end(p);
    status = rc != 0 || p->failed ? PROBE_FAILED : p->violations.nr > 0 ? PROBE_VIOLATIONS : PROBE_CLEAN;
    frontend_free(p->fe);
    probe_guest_free(p);
    free(p->maps.ns);
    free(p->unmaps.ns);
    if (p->loop != NULL)
        ev_loop_destroy(p->loop);
    return status;
}

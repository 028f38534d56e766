// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - vhost-dmd: the command line, the loop, and how it ends. Its work is in daemon.c.
 */
#include <errno.h>
#include <ev.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/notify.h"
#include "config.h"
#include "dmd/daemon.h"

#define LIBXL_DIR "/var/lib/xen"

static const char usage[] =
    "usage: vhost-dmd [options]\n"
    "Gives the guests that xl creates their virtio devices: starts a vhost-dm for each guest that has some, "
    "and\n"
    "back-ends, and keeps them running. Runs in the foreground until it is ended; guests are served without "
    "it.\n"
    "\n"
    "  -c, --config-dir DIR   where vhost-dmd.conf and GUEST.conf are (default: " CONFIG_DIR ")\n"
    "  -s, --state-dir DIR    where to keep what it knows (default: state-dir= of vhost-dmd.conf, or\n"
    "                         /run/vhost-dm)\n"
    "  -x, --vhost-dm FILE    the vhost-dm to start (default: vhost-dm= of vhost-dmd.conf, or\n"
    "                         " VHOST_DM_PROGRAM ")\n"
    "  -l, --libxl-dir DIR    where libxl keeps its files (default: " LIBXL_DIR ")\n"
    "  -k, --check            read vhost-dmd.conf, say what is wrong with it, and end\n"
    "  -d, --debug LEVEL      error, warning, info, debug or trace\n"
    "  -h, --help             this text\n"
    "  -V, --version          the version\n"
    "\n"
    "SIGHUP tries again what it has given up; files are read when a guest starts. SIGTERM ends it. See\n"
    "vhost-dmd(8), and vhost-dm.conf(5) for the files.\n";

static const struct option long_options[] = {
    {"config-dir", required_argument, NULL, 'c'},
    {"state-dir", required_argument, NULL, 's'},
    {"vhost-dm", required_argument, NULL, 'x'},
    {"libxl-dir", required_argument, NULL, 'l'},
    {"check", no_argument, NULL, 'k'},
    {"debug", required_argument, NULL, 'd'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

struct arguments {
    const char *config_dir, *state_dir, *vhost_dm, *libxl_dir;
    bool check;
};

/* -1: go on; otherwise the status to end with. */
static int arguments_parse(struct arguments *arguments, int argc, char **argv)
{
    int opt;

    opterr = 0;
    while ((opt = getopt_long(argc, argv, ":c:s:x:l:kd:hV", long_options, NULL)) != -1)
        switch (opt) {
        case 'c':
            arguments->config_dir = optarg;
            break;
        case 's':
            arguments->state_dir = optarg;
            break;
        case 'x':
            arguments->vhost_dm = optarg;
            break;
        case 'l':
            arguments->libxl_dir = optarg;
            break;
        case 'k':
            arguments->check = true;
            break;
        case 'd':
            if (log_level_by_name(optarg, &log_level))
                break;
            log_error("--debug %.60s: must be error, warning, info, debug or trace", optarg);
            return 2;
        case 'h':
            fputs(usage, stdout);
            return 0;
        case 'V':
            puts("vhost-dmd " PACKAGE_VERSION);
            return 0;
        default:
            log_error("%s: %.60s; see vhost-dmd --help",
                      opt == ':' ? "an option needs a value" : "unknown option", argv[optind - 1]);
            return 2;
        }
    if (optind < argc) {
        log_error("unexpected argument %.60s; see vhost-dmd --help", argv[optind]);
        return 2;
    }
    return -1;
}

/* A path of the command line, instead of the file's. */
static bool override(char *to, size_t len, const char *value, const char *option)
{
    if (value == NULL || (value[0] == '/' && (size_t)snprintf(to, len, "%s", value) < len))
        return true;
    log_error("%s %.60s: must be an absolute path of at most %zu bytes", option, value, len - 1);
    return false;
}

static void on_end(struct ev_loop *loop, struct ev_signal *signal, int revents)
{
    (void)revents;
    log_info("ending on signal %d; guests are served without me", signal->signum);
    ev_break(loop, EVBREAK_ALL);
}

static void on_retry(struct ev_loop *loop, struct ev_signal *signal, int revents)
{
    (void)loop;
    (void)revents;
    daemon_retry(signal->data);
}

static int serve(struct daemon *daemon, const char *libxl_dir)
{
    struct ev_signal term, interrupt, retry;
    char why[512];

    /* This one must not end us meanwhile; it is answered by the loop. */
    ev_signal_init(&retry, on_retry, SIGHUP);
    retry.data = daemon;
    ev_signal_start(daemon->loop, &retry);
    if (daemon_begin(daemon, libxl_dir, why, sizeof(why)) != 0) {
        log_error("%s", why);
        return EXIT_FAILURE;
    }
    ev_signal_init(&term, on_end, SIGTERM);
    ev_signal_init(&interrupt, on_end, SIGINT);
    ev_signal_start(daemon->loop, &term);
    ev_signal_start(daemon->loop, &interrupt);
    log_info("ready");
    notify_service_manager("READY=1");
    ev_run(daemon->loop, 0);
    daemon_end(daemon);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct daemon daemon;
    struct arguments arguments = {.config_dir = CONFIG_DIR, .libxl_dir = LIBXL_DIR};
    char path[4096], why[512];
    int status;

    log_program = "vhost-dmd";
    /* Whoever sends it early has what it asks for: all is tried when we begin. */
    signal(SIGHUP, SIG_IGN);
    status = arguments_parse(&arguments, argc, argv);
    if (status >= 0)
        return status;
    snprintf(path, sizeof(path), "%s/vhost-dmd.conf", arguments.config_dir);
    daemon.config_dir = arguments.config_dir;
    daemon.config_path = path;
    if (config_daemon_read(&daemon.config, path, why, sizeof(why)) != 0) {
        log_error("%s", why);
        return 2;
    }
    if (!override(daemon.config.state_dir, sizeof(daemon.config.state_dir), arguments.state_dir,
                  "--state-dir") ||
        !override(daemon.config.vhost_dm, sizeof(daemon.config.vhost_dm), arguments.vhost_dm, "--vhost-dm"))
        return 2;
    if (arguments.check)
        return 0;
    template_places_default(&daemon.places, arguments.config_dir);
    signal(SIGPIPE, SIG_IGN);
    /* Not the default loop, which would reap our processes before we have seen how they ended. */
    daemon.loop = ev_loop_new(EVFLAG_AUTO);
    if (daemon.loop == NULL) {
        log_error("no event loop: not enough memory");
        return EXIT_FAILURE;
    }
    status = serve(&daemon, arguments.libxl_dir);
    ev_loop_destroy(daemon.loop);
    return status;
}

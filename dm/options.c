// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * options.c - see options.h.
 */
#include "dm/options.h"

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "config.h"
#include "dm/confine.h"
#include "dm/shm_pool.h"

/* ---- the whole line -------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: vhost-dm --domain ID|NAME --device KEY=VALUE,... [--device ...] [options]\n"
    "       vhost-dm probe --socket PATH [options]    says what a back-end offers; see vhost-dm probe "
    "--help\n"
    "Gives a Xen guest virtio devices that vhost-user back-ends serve. Runs until the guest is gone.\n"
    "\n"
    "  -D, --domain ID|NAME   the guest: HVM or PVH, paused (xl create -p) or running\n"
    "  -w, --wait             wait until a guest of that NAME is created, and hold it until its devices are "
    "ready\n"
    "  -v, --device LIST      a device, in a comma-separated list:\n"
    "        type=TYPE          what it is: blk, net, fs, vsock, rng, pmem or generic\n"
    "        socket=PATH        where its back-end listens\n"
    "        tag=NAME           of fs: the name that the guest mounts it by\n"
    "        mac=MAC mtu=N      of net (default: a MAC address that follows from the guest's name; no MTU)\n"
    "        cid=N              of vsock: the guest's address, if the back-end does not say it\n"
    "        virtio-id=N config-size=N [config=HEX] [pci-class=N]\n"
    "                           of generic: a device of any other type, as its back-end has it\n"
    "        transport=pci|mmio how the guest finds it (default: pci)\n"
    "        slot=N             PCI device number on bus 0, 1 to 31 (default: a free one)\n"
    "        base=GPA           with mmio: address of its registers, a multiple of 0x200\n"
    "        irq=N              with mmio: its interrupt line; of an x86 guest an ISA one, 1 to 15\n"
    "        shm-base=GPA       with mmio: address of its shared memory, if it has some\n"
    "        memory=auto|bounce how the back-end sees guest memory (auto: the best that it can)\n"
    "        queues=N           of blk: at most so many; of fs: request queues; of generic: so many\n"
    "        queue-size=N       entries of a queue, a power of two to 1024 (default: 128, net 256, fs 512,\n"
    "                           generic 64)\n"
    "        bounce-pool=SIZE   memory for copies of requests in flight (default: 64M)\n"
    "        timeout=SECONDS    how long the back-end may take to answer (default: 10)\n"
    "        wait=SECONDS       how long to wait for the socket, if the back-end starts later (default: 0)\n"
    "        placement=NAME     how shared memory reaches the guest (default: auto, the best that is "
    "correct)\n"
    "        max-mappings=N     shared memory mappings that the back-end may have (default: 4M)\n"
    "        max-mapped=SIZE    and their bytes together (default: as much as its regions hold)\n"
    "        shmem-bit=20|21|22 protocol feature by which an old back-end means shared memory (default: 22)\n"
    "        shmem-ack=asked|always\n"
    "                           whether to answer each request for shared memory, as old back-ends expect\n"
    "  -r, --ready-fd N       write a line to this file descriptor when the guest may be unpaused\n"
    "  -s, --state-dir DIR    where to keep what a restart needs (default: " OPTIONS_DEFAULT_STATE_DIR ")\n"
    "  -m, --shm-limit SIZE   memory that programs may allocate for this guest with libvhost-dm-shm "
    "(default: 1G)\n"
    "  -c, --confine on|off   give up, before the guest runs, all rights that serving it does not take "
    "(default: on)\n"
    "  -u, --user UID         the user to be then, not root (default: 2000000000 and the domain's number)\n"
    "  -d, --debug LEVEL      error, warning, info, debug or trace (every message and access)\n"
    "  -h, --help             this text\n"
    "  -V, --version          the version\n"
    "\n"
    "Example:\n"
    "  xl create -p guest.cfg\n"
    "  vhost-dm --domain guest --device type=blk,socket=/run/disk.sock &   # then, when it says \"ready\":\n"
    "  xl unpause guest\n"
    "See vhost-dm(8); vhost-dmd(8), which does all this with each guest that xl creates.\n";

static const struct option long_options[] = {
    {"domain", required_argument, NULL, 'D'},    {"wait", no_argument, NULL, 'w'},
    {"device", required_argument, NULL, 'v'},    {"ready-fd", required_argument, NULL, 'r'},
    {"state-dir", required_argument, NULL, 's'}, {"shm-limit", required_argument, NULL, 'm'},
    {"confine", required_argument, NULL, 'c'},   {"user", required_argument, NULL, 'u'},
    {"debug", required_argument, NULL, 'd'},     {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},         {NULL, 0, NULL, 0},
};

static enum options_result usage_error(const char *what, const char *value)
{
    log_error("%s%s%s; see vhost-dm --help", what, value != NULL ? ": " : "", value != NULL ? value : "");
    return OPTIONS_ERROR;
}

static enum options_result device_option(struct options *options, const char *text)
{
    char why[512];

    if (options->nr_devices == OPTIONS_MAX_DEVICES)
        return usage_error("too many --device: bus 0 has 31 slots", NULL);
    if (options_parse_device(&options->devices[options->nr_devices], text, why, sizeof(why)) != 0) {
        log_error("--device %.100s: %s; see vhost-dm --help", text, why);
        return OPTIONS_ERROR;
    }
    for (size_t i = 0; i < options->nr_devices; i++)
        if (options->devices[i].transport == TRANSPORT_MMIO &&
            options->devices[i].place.irq == options->devices[options->nr_devices].place.irq)
            return usage_error("two devices cannot share an interrupt line: --device", text);
    options->device_texts[options->nr_devices] = text;
    options->nr_devices++;
    return OPTIONS_RUN;
}

static enum options_result option_set(struct options *options, int opt, char *value)
{
    unsigned long long n;

    switch (opt) {
    case 'D':
        options->domain = value;
        return OPTIONS_RUN;
    case 'w':
        options->wait = true;
        return OPTIONS_RUN;
    case 'v':
        return device_option(options, value);
    case 'r':
        if (!options_number(value, false, INT_MAX, &n) || fcntl((int)n, F_GETFD) < 0)
            return usage_error("--ready-fd: not an open file descriptor", value);
        options->ready_fd = (int)n;
        return OPTIONS_RUN;
    case 's':
        options->state_dir = value;
        return OPTIONS_RUN;
    case 'm':
        if (!options_number(value, true, SHM_POOL_MAX_LIMIT, &n) || n % GUEST_PAGE_SIZE != 0)
            return usage_error("--shm-limit must be a multiple of 4K, 0 to 1024G", value);
        options->shm_limit = n;
        return OPTIONS_RUN;
    case 'c':
        if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
            return usage_error("--confine: must be on or off", value);
        options->confined = strcmp(value, "on") == 0;
        return OPTIONS_RUN;
    case 'u':
        if (!options_number(value, false, INT_MAX, &n) || n == 0)
            return usage_error("--user: must be the number of a user, not 0", value);
        options->user = (uid_t)n;
        return OPTIONS_RUN;
    case 'd':
        return log_level_by_name(value, &log_level)
                   ? OPTIONS_RUN
                   : usage_error("--debug: must be error, warning, info, debug or trace", value);
    case 'h':
        fputs(usage, stdout);
        return OPTIONS_DONE;
    case 'V':
        puts("vhost-dm " PACKAGE_VERSION);
        return OPTIONS_DONE;
    default:
        return OPTIONS_ERROR;
    }
}

/* A vhost-dm that is started again may know its devices from its predecessor alone, if it has some at all. */
static bool predecessor_was(const struct options *options)
{
    char path[PATH_MAX];

    return (size_t)snprintf(path, sizeof(path), "%s/%s.state", options->state_dir, options->domain) <
               sizeof(path) &&
           access(path, F_OK) == 0;
}

enum options_result options_parse(struct options *options, int argc, char **argv)
{
    int opt;

    *options = (struct options){.state_dir = OPTIONS_DEFAULT_STATE_DIR,
                                .shm_limit = SHM_POOL_DEFAULT_LIMIT,
                                .ready_fd = -1,
                                .confined = confine_complete(),
                                .user = OPTIONS_USER_AUTO};
    opterr = 0;
    while ((opt = getopt_long(argc, argv, ":D:wv:r:s:m:c:u:d:hV", long_options, NULL)) != -1) {
        enum options_result result;

        if (opt == '?' || opt == ':')
            return usage_error(opt == ':' ? "an option needs a value" : "unknown option", argv[optind - 1]);
        result = option_set(options, opt, optarg);
        if (result != OPTIONS_RUN)
            return result;
    }
    if (optind < argc)
        return usage_error("unexpected argument", argv[optind]);
    if (options->domain == NULL || options->domain[0] == '\0')
        return usage_error("--domain is missing", NULL);
    if (options->nr_devices == 0 && !predecessor_was(options))
        return usage_error("--device is missing", NULL);
    return OPTIONS_RUN;
}

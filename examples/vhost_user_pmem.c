// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vhost_user_pmem.c - vhost-user-pmem, a small vhost-user back-end that shows a file or memory to a guest as
 * a virtio-pmem device: the memory is a shared memory region (VIRTIO_PMEM_F_SHMEM_REGION) that it maps with
 * VHOST_USER_BACKEND_SHMEM_MAP. An example for whoever writes a back-end with shared memory, and a tool for
 * trying one's front-end. Here: the command line, the memory, and the socket; it serves one front-end after
 * another (pmem_backend.c). docs/shared-memory.md tells the whole story.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "config.h"
#include "examples/pmem_backend.h"
#include "lib/vhost-dm-shm.h"

#define EXIT_USAGE 2

static const char usage[] =
    "usage: vhost-user-pmem --socket PATH (--file FILE | --size SIZE) [options]\n"
    "A vhost-user back-end for virtio-pmem: the guest sees the file, or SIZE bytes of memory, as "
    "/dev/pmem0.\n"
    "\n"
    "  -s, --socket PATH    listen here, and serve one front-end after another\n"
    "  -f, --file FILE      what the guest sees; a multiple of 4 KiB long, better of 2 MiB; or /dev/daxX.Y\n"
    "  -m, --size SIZE      fresh memory instead, in bytes, or with K, M or G; gone with this process\n"
    "  -M, --memory KIND    what fresh memory is: memfd (default), or shm: memory of the guest's own, by\n"
    "                       libvhost-dm-shm(3), which reaches it without copies or traps; taken when the\n"
    "                       first front-end connects, for the guest that VHOST_DM_SHM names\n"
    "  -p, --pattern        fill fresh memory: every 8 bytes hold their own offset (little-endian)\n"
    "  -r, --read-only      the guest's writes are ignored; fresh memory is sealed against writing\n"
    "  -P, --pieces SIZE    make a mapping for each SIZE bytes of it, instead of one\n"
    "  -a, --map-at-start   map the memory when the queue starts, not before: for front-ends that take no\n"
    "                       request until then (QEMU 11.1)\n"
    "  -d, --debug LEVEL    error, warning, info, debug or trace (every message)\n"
    "  -h, --help           this text\n"
    "  -V, --version        the version\n"
    "\n"
    "SIGUSR1 takes the memory out of the guest, SIGUSR2 puts it back.\n";

static const struct option long_options[] = {
    {"socket", required_argument, NULL, 's'}, {"file", required_argument, NULL, 'f'},
    {"size", required_argument, NULL, 'm'},   {"pattern", no_argument, NULL, 'p'},
    {"read-only", no_argument, NULL, 'r'},    {"map-at-start", no_argument, NULL, 'a'},
    {"debug", required_argument, NULL, 'd'},  {"help", no_argument, NULL, 'h'},
    {"memory", required_argument, NULL, 'M'}, {"pieces", required_argument, NULL, 'P'},
    {"version", no_argument, NULL, 'V'},      {NULL, 0, NULL, 0},
};

struct program {
    const char *socket, *file;
    uint64_t size; /* of fresh memory; 0: a file */
    bool pattern;
    bool shm; /* fresh memory comes from libvhost-dm-shm */
    struct pmem_options pmem;
};

/* ---- command line ------------------------------------------------------------------------------- */

static bool size_parse(const char *text, uint64_t *size)
{
    static const char units[] = "KMG";
    unsigned long long value;
    unsigned shift = 0;
    const char *unit;
    char *end;

    errno = 0;
    value = strtoull(text, &end, 0);
    unit = *end != '\0' ? strchr(units, *end) : NULL;
    if (unit != NULL) {
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
    }
    if (text[0] < '0' || text[0] > '9' || errno != 0 || *end != '\0' || value > (uint64_t)INT64_MAX >> shift)
        return false;
    *size = (uint64_t)value << shift;
    return *size > 0 && *size % GUEST_PAGE_SIZE == 0;
}

/* -1: go on; otherwise the exit status. */
static int option_set(struct program *p, int opt, char **argv)
{
    switch (opt) {
    case 's':
        p->socket = optarg;
        return -1;
    case 'f':
        p->file = optarg;
        return -1;
    case 'm':
        if (size_parse(optarg, &p->size))
            return -1;
        log_error("--size %s: must be a multiple of 4096, or a number with K, M or G", optarg);
        return EXIT_USAGE;
    case 'M':
        p->shm = strcmp(optarg, "shm") == 0;
        if (p->shm || strcmp(optarg, "memfd") == 0)
            return -1;
        log_error("--memory %s: must be memfd or shm", optarg);
        return EXIT_USAGE;
    case 'P':
        if (size_parse(optarg, &p->pmem.piece))
            return -1;
        log_error("--pieces %s: must be a multiple of 4096, or a number with K, M or G", optarg);
        return EXIT_USAGE;
    case 'p':
        p->pattern = true;
        return -1;
    case 'r':
        p->pmem.read_only = true;
        return -1;
    case 'a':
        p->pmem.map_at_start = true;
        return -1;
    case 'd':
        if (log_level_by_name(optarg, &log_level))
            return -1;
        log_error("--debug %s: must be error, warning, info, debug or trace", optarg);
        return EXIT_USAGE;
    case 'h':
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    case 'V':
        puts("vhost-user-pmem (vhost-dm " PACKAGE_VERSION ")");
        return EXIT_SUCCESS;
    default:
        log_error("%s: %s; see --help", opt == ':' ? "an option needs a value" : "unknown option",
                  argv[optind - 1]);
        return EXIT_USAGE;
    }
}

static int options_parse(struct program *p, int argc, char **argv)
{
    const char *wrong = NULL;
    int opt, rc = -1;

    opterr = 0;
    while (rc < 0 && (opt = getopt_long(argc, argv, ":s:f:m:M:P:prad:hV", long_options, NULL)) != -1)
        rc = option_set(p, opt, argv);
    if (rc >= 0)
        return rc;
    if (optind < argc)
        wrong = "an argument that is no option";
    else if (p->socket == NULL)
        wrong = "--socket is missing";
    else if ((p->file == NULL) == (p->size == 0))
        wrong = "one of --file and --size is needed";
    else if (p->pattern && p->file != NULL)
        wrong = "--pattern would overwrite the file: it goes with --size alone";
    else if (p->shm && (p->file != NULL || p->pmem.read_only))
        wrong = "--memory shm goes with --size, and cannot be read-only";
    if (wrong == NULL)
        return -1;
    log_error("%s; see --help", wrong);
    return EXIT_USAGE;
}

/* ---- the memory --------------------------------------------------------------------------------- */

/* Through a mapping: the pages of shared memory are not those of its fd. */
static void memory_fill(void *mem, uint64_t len)
{
    uint64_t *words = mem;

    for (uint64_t i = 0; i < len / sizeof(*words); i++)
        words[i] = htole64(i * sizeof(*words));
}

/* A memfd that cannot become shorter under the guest. */
static int memory_make(struct program *p)
{
    void *mem = NULL;
    int err = 0;

    p->pmem.memory_fd = memfd_create("vhost-user-pmem", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (p->pmem.memory_fd < 0 || ftruncate(p->pmem.memory_fd, (off_t)p->size) < 0 ||
        fcntl(p->pmem.memory_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
        err = -errno;
    if (err == 0 && p->pattern) {
        mem = mmap(NULL, p->size, PROT_READ | PROT_WRITE, MAP_SHARED, p->pmem.memory_fd, 0);
        err = mem == MAP_FAILED ? -errno : 0;
    }
    if (err < 0) {
        log_error("%" PRIu64 " bytes of memory: %s", p->size, strerror(-err));
        return err;
    }
    if (mem != NULL) {
        memory_fill(mem, p->size);
        munmap(mem, p->size);
    }
    /* What cannot change any more can be copied into the guest. */
    if (p->pmem.read_only && fcntl(p->pmem.memory_fd, F_ADD_SEALS, F_SEAL_WRITE) < 0)
        log_warning("the memory cannot be sealed against writing: %s", strerror(errno));
    return 0;
}

/* vhost-dm hands out the memory of its guest, so it must be there: it is when it has connected to us. The
 * mapping stays until we end. */
static int memory_share(struct program *p)
{
    void *mem;
    int fd = vhost_dm_shm_alloc(p->size, VHOST_DM_SHM_STRICT, &mem);

    if (fd < 0) {
        log_error("%" PRIu64 " bytes of the guest's memory (VHOST_DM_SHM=%s): %s", p->size,
                  getenv("VHOST_DM_SHM") != NULL ? getenv("VHOST_DM_SHM") : "", strerror(errno));
        return -errno;
    }
    if (p->pattern)
        memory_fill(mem, p->size);
    p->pmem.memory_fd = fd;
    return 0;
}

/* The length of what a --file is, in bytes: of a device-dax as sysfs has it. 0: neither a file nor that. */
static uint64_t file_len(const struct stat *st)
{
    char path[64], line[32] = "";
    FILE *f;

    if (S_ISREG(st->st_mode))
        return (uint64_t)st->st_size;
    if (!S_ISCHR(st->st_mode))
        return 0;
    snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/size", major(st->st_rdev), minor(st->st_rdev));
    f = fopen(path, "re");
    if (f == NULL)
        return 0;
    if (fgets(line, sizeof(line), f) == NULL)
        line[0] = '\0';
    fclose(f);
    return strtoull(line, NULL, 10);
}

static int memory_open(struct program *p)
{
    struct stat st;
    uint64_t len = 0;
    int err = 0;

    p->pmem.memory_fd = open(p->file, (p->pmem.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (p->pmem.memory_fd < 0 || fstat(p->pmem.memory_fd, &st) < 0) {
        err = -errno;
        log_error("%s: %s", p->file, strerror(errno));
    } else if ((len = file_len(&st)) == 0 || len % GUEST_PAGE_SIZE != 0) {
        err = -EINVAL;
        log_error("%s: must be a file of whole pages (4096 bytes), or a device-dax: make a file longer with "
                  "truncate(1)",
                  p->file);
    } else {
        p->pmem.len = len;
        /* The kernel keeps nothing of a device's memory that it would have to write. */
        p->pmem.no_flush = S_ISCHR(st.st_mode);
    }
    return err;
}

/* ---- the socket --------------------------------------------------------------------------------- */

/* A socket file that nobody listens at is what a killed predecessor left. */
static bool is_stale(const struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool stale =
        fd >= 0 && connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 && errno == ECONNREFUSED;

    if (fd >= 0)
        close(fd);
    return stale;
}

static int socket_listen(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

    if (fd < 0)
        return -errno;
    if (strlen(path) >= sizeof(addr.sun_path)) {
        close(fd);
        return -ENAMETOOLONG;
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    err = bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
    if (err == -EADDRINUSE && is_stale(&addr) && unlink(path) == 0)
        err = bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
    if (err == 0 && listen(fd, 1) < 0)
        err = -errno;
    if (err == 0)
        return fd;
    close(fd);
    return err;
}

static void serve_all(struct program *p, int listen_fd, int signal_fd)
{
    enum pmem_end end = PMEM_END_CONNECTION;

    while (end != PMEM_END_SIGNAL) {
        struct pollfd waits[] = {{.fd = listen_fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
        int fd, signum;

        if (poll(waits, ARRAY_SIZE(waits), -1) < 0)
            continue;
        signum = waits[1].revents != 0 ? pmem_signal_take(signal_fd) : 0;
        if (signum == SIGTERM || signum == SIGINT)
            return;
        if (waits[0].revents == 0)
            continue;
        fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            log_error("a connection could not be accepted: %s", strerror(errno));
            continue;
        }
        log_info("a front-end has connected");
        if (p->pmem.memory_fd < 0 && memory_share(p) < 0) {
            close(fd);
            continue;
        }
        end = pmem_backend_run(&p->pmem, fd, signal_fd);
    }
}

static int signals_open(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int main(int argc, char **argv)
{
    struct program p = {.pmem.memory_fd = -1};
    int status, listen_fd = -1, signal_fd = -1;

    log_program = "vhost-user-pmem";
    status = options_parse(&p, argc, argv);
    if (status >= 0)
        return status;
    status = EXIT_FAILURE;
    p.pmem.len = p.size;
    if (p.file != NULL ? memory_open(&p) < 0 : !p.shm && memory_make(&p) < 0)
        goto out;
    if (p.pmem.piece == 0)
        p.pmem.piece = p.pmem.len;
    signal_fd = signals_open();
    if (signal_fd < 0) {
        log_error("signals: %s", strerror(errno));
        goto out;
    }
    listen_fd = socket_listen(p.socket);
    if (listen_fd < 0) {
        log_error("listening at %s: %s", p.socket, strerror(-listen_fd));
        goto out;
    }
    log_info("listening at %s: %" PRIu64 " KiB of %s", p.socket, p.pmem.len >> 10,
             p.file != NULL ? p.file : "memory");
    serve_all(&p, listen_fd, signal_fd);
    unlink(p.socket);
    status = EXIT_SUCCESS;
out:
    if (listen_fd >= 0)
        close(listen_fd);
    if (signal_fd >= 0)
        close(signal_fd);
    if (p.pmem.memory_fd >= 0)
        close(p.pmem.memory_fd);
    return status;
}

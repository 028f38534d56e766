// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bench_shmem.c - what SHMEM_MAP and SHMEM_UNMAP cost a back-end, each from its request to its answer, by the
 * size of the mapping and by how many others are live. Three processes: this one is the device model, on the
 * local hypervisor; one is a back-end (fake_backend.h) that asks; one is the floor: it takes the same bytes
 * and fd from a socket and answers with the same bytes, and does nothing else, or maps and unmaps the range
 * once. All three are measured by turns, so that they meet the same noise. Prints one table.
 *
 * Usage: bench_shmem [PAIRS]: MAPs and UNMAPs of each line of the table (default 5000).
 */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "common/virtio_uapi.h"
#include "common/vhost_user.h"
#include "tests/local/rig.h"
#include "tests/local/virtio_driver.h"
#include "tests/unit/fake_backend.h"

#define PAGES(n) ((uint64_t)(n)*GUEST_PAGE_SIZE)

/* The region: single pages with a free one after each are live in the first part, what is measured comes and
 * goes in those gaps, or, when it is larger than a page, in the second part. */
#define MAX_LIVE      1000000u
#define SECOND_PART   GIB(8)
#define REGION_LEN    GIB(16)
#define FILE_LEN      MIB(64)
#define TURNS         10u /* for each line of the table */
#define DEFAULT_PAIRS 5000u

static const uint64_t sizes[] = {GUEST_PAGE_SIZE, MIB(2), MIB(64)};
static const uint32_t live_counts[] = {0, 500, 10000, MAX_LIVE};

static void die(const char *what)
{
    fprintf(stderr, "bench_shmem: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- the wire, without any code of ours between ------------------------------------------------------- */

struct question {
    struct vhost_user_header header;
    struct vhost_user_mmap mmap;
} VHOST_USER_PACKED;

struct answer {
    struct vhost_user_header header;
    uint64_t u64;
} VHOST_USER_PACKED;

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static void question_send(int socket, const struct question *q, int fd)
{
    union control control = {0};
    struct iovec iov = {.iov_base = (void *)q, .iov_len = sizeof(*q)};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd >= 0) {
        struct cmsghdr *c = &control.align;

        mh.msg_control = &control;
        mh.msg_controllen = sizeof(control);
        *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET};
        c->cmsg_type = SCM_RIGHTS;
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    if (sendmsg(socket, &mh, MSG_NOSIGNAL) != sizeof(*q))
        die("sending a request");
}

/* Asks, and returns the answer's number. */
static uint64_t ask(int socket, const struct question *q, int fd)
{
    struct answer a;

    question_send(socket, q, fd);
    if (recv(socket, &a, sizeof(a), MSG_WAITALL) != sizeof(a) || a.header.request != q->header.request)
        die("receiving an answer");
    return a.u64;
}

static struct question question_make(uint32_t request, uint64_t shm_offset, uint64_t len, uint64_t flags)
{
    return (struct question){
        .header = {request, VHOST_USER_VERSION | VHOST_USER_FLAG_NEED_REPLY, sizeof(struct vhost_user_mmap)},
        .mmap = {.shm_offset = shm_offset, .len = len, .flags = flags},
    };
}

/* ---- the floor ---------------------------------------------------------------------------------------- */

enum { FLOOR_TRIP = 1, FLOOR_MMAP };

/* false: nobody asks any more. */
static bool floor_serve_one(int socket)
{
    union control control;
    struct question q = {0};
    struct iovec iov = {.iov_base = &q, .iov_len = sizeof(q)};
    struct msghdr mh = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    struct answer a;
    int fd = -1;

    if (recvmsg(socket, &mh, MSG_CMSG_CLOEXEC) != sizeof(q))
        return false;
    if (CMSG_FIRSTHDR(&mh) != NULL)
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof(fd));
    if (q.header.request == FLOOR_MMAP) {
        void *map = mmap(NULL, q.mmap.len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)q.mmap.fd_offset);

        if (map == MAP_FAILED)
            die("floor: mmap");
        munmap(map, q.mmap.len);
    }
    if (fd >= 0)
        close(fd);
    a = (struct answer){
        .header = {q.header.request, VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY, sizeof(a.u64)}};
    return send(socket, &a, sizeof(a), MSG_NOSIGNAL) == sizeof(a);
}

/* Starts the process; returns our end of its socket. */
static int floor_start(pid_t *out)
{
    int pair[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        die("socketpair");
    pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        while (floor_serve_one(pair[1]))
            continue;
        _exit(EXIT_SUCCESS);
    }
    close(pair[1]);
    *out = pid;
    return pair[0];
}

/* ---- the back-end ------------------------------------------------------------------------------------- */

struct series {
    uint64_t *ns;
    size_t nr;
};

static struct {
    size_t pairs; /* of each line */
    int floor;    /* socket */
    int live_file, own_file;
    uint32_t nr_live;
    pid_t floor_pid;
    unsigned nr_cpus;                       /* 1 or 2 */
    int cpus[2];                            /* whose: of the back-end, and of the others */
    struct series trip, mapped, map, unmap; /* each with room for all pairs */
} bench;

static struct fake_backend fake;

static int file_make(void)
{
    int fd = memfd_create("bench", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)FILE_LEN) < 0)
        die("memfd");
    return fd;
}

static void timed_ask(struct series *s, int socket, const struct question *q, int fd)
{
    uint64_t begin = now_ns();

    if (ask(socket, q, fd) != 0)
        die("a request was refused");
    s->ns[s->nr++] = now_ns() - begin;
}

static uint64_t place_for(uint64_t len, size_t i)
{
    /* A prime number, to come by all gaps in no order. */
    uint64_t k = i * 7919;

    return len == GUEST_PAGE_SIZE ? PAGES(2 * (k % MAX(bench.nr_live, 1u)) + 1)
                                  : SECOND_PART + k * len % (REGION_LEN - SECOND_PART);
}

static void pin(pid_t pid, int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(pid, sizeof(set), &set) < 0)
        die("sched_setaffinity");
}

/* The first and the last that we may use. */
static void cpus_find(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        die("sched_getaffinity");
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set))
            bench.cpus[bench.nr_cpus++ == 0 ? 0 : 1] = cpu;
    bench.nr_cpus = MIN(bench.nr_cpus, 2u);
}

/* This thread asks; our parent is the device model. */
static void spread(unsigned nr_cpus)
{
    pin(0, bench.cpus[0]);
    pin(bench.floor_pid, bench.cpus[nr_cpus - 1]);
    pin(getppid(), bench.cpus[nr_cpus - 1]);
}

/* Some of each kind, one kind after the other. */
static void turn(int socket, int fd, uint64_t len, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        struct question q = question_make(FLOOR_TRIP, 0, len, VHOST_USER_MMAP_RW);

        timed_ask(&bench.trip, bench.floor, &q, fd);
    }
    for (size_t i = 0; i < nr; i++) {
        struct question q = question_make(FLOOR_MMAP, 0, len, VHOST_USER_MMAP_RW);

        timed_ask(&bench.mapped, bench.floor, &q, fd);
    }
    for (size_t i = 0; i < nr; i++) {
        uint64_t at = place_for(len, bench.map.nr);
        struct question map = question_make(VHOST_USER_BACKEND_SHMEM_MAP, at, len, VHOST_USER_MMAP_RW);
        struct question unmap = question_make(VHOST_USER_BACKEND_SHMEM_UNMAP, at, len, 0);

        timed_ask(&bench.map, socket, &map, fd);
        timed_ask(&bench.unmap, socket, &unmap, -1);
    }
}

/* More live mappings, until there are nr. Only the last asks for an answer: it comes after all others. */
static void live_make(int socket, uint32_t nr)
{
    for (; bench.nr_live < nr; bench.nr_live++) {
        struct question q = question_make(VHOST_USER_BACKEND_SHMEM_MAP, PAGES(2 * bench.nr_live), PAGES(1),
                                          VHOST_USER_MMAP_RW);

        q.mmap.fd_offset = PAGES(bench.nr_live * 37 % (FILE_LEN / GUEST_PAGE_SIZE));
        if (bench.nr_live + 1 == nr) {
            if (ask(socket, &q, bench.live_file) != 0)
                die("a live mapping was refused");
        } else {
            q.header.flags = VHOST_USER_VERSION;
            question_send(socket, &q, bench.live_file);
        }
    }
}

static int by_ns(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

/* Microseconds that so many of a hundred did not exceed. */
static double percentile(struct series *s, unsigned percent)
{
    qsort(s->ns, s->nr, sizeof(s->ns[0]), by_ns);
    return (double)s->ns[(s->nr - 1) * percent / 100] / 1000;
}

static double seconds(const struct series *s)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < s->nr; i++)
        sum += s->ns[i];
    return (double)sum / 1e9;
}

static void line_print(unsigned nr_cpus, uint64_t len, const char *file)
{
    double pairs = (double)bench.map.nr / (seconds(&bench.map) + seconds(&bench.unmap));
    double trip = percentile(&bench.trip, 50), mapped = percentile(&bench.mapped, 50);
    double map = percentile(&bench.map, 50), unmap = percentile(&bench.unmap, 50);
    char size[32];

    if (len < MIB(1))
        snprintf(size, sizeof(size), "%" PRIu64 " KiB", len >> 10);
    else
        snprintf(size, sizeof(size), "%" PRIu64 " MiB", len >> 20);
    printf("%4u %8u %7s %5s %7.1f %7.1f %7.1f %7.1f %7.1f %7.1f %8.0f %10.2f %11.2f\n", nr_cpus,
           bench.nr_live, size, file, trip, mapped, map, percentile(&bench.map, 99), unmap,
           percentile(&bench.unmap, 99), pairs, map / mapped, unmap / trip);
    fflush(stdout);
}

static void line_measure(int socket, unsigned nr_cpus, int fd, uint64_t len, const char *file)
{
    spread(nr_cpus);
    bench.trip.nr = bench.mapped.nr = bench.map.nr = bench.unmap.nr = 0;
    for (unsigned i = 0; i < TURNS; i++)
        turn(socket, fd, len, bench.pairs / TURNS);
    line_print(nr_cpus, len, file);
}

static void lines_measure(int socket, unsigned nr_cpus)
{
    for (size_t k = 0; k < ARRAY_SIZE(sizes); k++)
        line_measure(socket, nr_cpus, bench.own_file, sizes[k], "own");
    if (bench.nr_live > 0)
        line_measure(socket, nr_cpus, bench.live_file, sizes[0], "same");
}

/* In the thread of the back-end: all of the table. */
static void measure(struct fake_backend *f)
{
    int socket = dup(vhost_user_channel_fd(f->backend));

    if (socket < 0 || fcntl(socket, F_SETFL, 0) < 0) /* it may wait */
        die("the socket of the back-end");
    printf("%4s %8s %7s %5s %7s %7s %7s %7s %7s %7s %8s %10s %11s\n", "CPUs", "live", "size", "file", "trip",
           "+mmap", "MAP", "p99", "UNMAP", "p99", "pairs/s", "MAP/+mmap", "UNMAP/trip");
    for (size_t i = 0; i < ARRAY_SIZE(live_counts); i++) {
        live_make(socket, live_counts[i]);
        for (unsigned cpus = 1; cpus <= bench.nr_cpus; cpus++)
            lines_measure(socket, cpus);
    }
    close(socket);
}

static void series_alloc(struct series *s)
{
    s->ns = calloc(bench.pairs, sizeof(s->ns[0]));
    if (s->ns == NULL)
        die("no memory");
}

static void done_wake(void *ctx)
{
    if (fake.done && eventfd_write(*(int *)ctx, 1) < 0)
        die("eventfd");
}

/* Says on out where it listens, measures when it is told to on in, says that it has, and ends when in does.
 */
static void backend_main(int out, int in)
{
    int done = eventfd(0, EFD_CLOEXEC);
    eventfd_t value;
    char byte;

    series_alloc(&bench.trip);
    series_alloc(&bench.mapped);
    series_alloc(&bench.map);
    series_alloc(&bench.unmap);
    bench.floor = floor_start(&bench.floor_pid);
    cpus_find();
    bench.live_file = file_make();
    bench.own_file = file_make();
    fake_backend_defaults(&fake);
    fake.config_len = sizeof(struct virtio_pmem_config);
    fake.shmem_sizes[0] = REGION_LEN;
    fake.wake = done_wake;
    fake.ctx = &done;
    fake_backend_start(&fake);
    if (write(out, fake.path, sizeof(fake.path)) != sizeof(fake.path) || read(in, &byte, 1) != 1)
        die("the device model is gone");
    fake_backend_do(&fake, measure);
    if (eventfd_read(done, &value) < 0 || write(out, "", 1) != 1 || read(in, &byte, 1) != 0)
        die("the device model is gone");
    fake_backend_stop(&fake);
}

/* ---- the device model --------------------------------------------------------------------------------- */

static void backend_done(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)w;
    (void)revents;
    ev_break(loop, EVBREAK_ALL);
}

/* Tells the back-end on out to begin, and serves until it says on in that it is done, or it is gone. */
static void serve(struct rig *rig, int out, int in)
{
    ev_io done;

    ev_io_init(&done, backend_done, in, EV_READ);
    ev_io_start(rig->loop, &done);
    if (write(out, "", 1) != 1)
        die("the back-end is gone");
    ev_run(rig->loop, 0);
    ev_io_stop(rig->loop, &done);
}

static void device_model_main(int out, int in)
{
    struct rig_options options;
    struct virtio_driver driver;
    struct guest_os os;
    struct rig rig;
    char path[sizeof(fake.path)];

    if (read(in, path, sizeof(path)) != sizeof(path))
        die("the back-end does not begin");
    rig_options_default(&options);
    options.devices[0].type = device_type_find("pmem");
    snprintf(options.devices[0].socket, sizeof(options.devices[0].socket), "%s", path);
    guest_os_init(&os, &options.local);
    if (rig_open(&rig, &options, &os) < 0 || virtio_driver_probe(&driver, &os, guest_os_scan(&os, 0)) < 0) {
        fprintf(stderr, "bench_shmem: the device model does not come up: %s\n", rig.error);
        exit(EXIT_FAILURE);
    }
    serve(&rig, out, in);
    rig_close(&rig);
}

int main(int argc, char **argv)
{
    int to_backend[2], from_backend[2], status = 0;
    pid_t pid;

    bench.pairs = argc > 1 ? strtoul(argv[1], NULL, 10) : DEFAULT_PAIRS;
    if (argc > 2 || bench.pairs < TURNS || bench.pairs > 10000000) {
        fprintf(stderr, "usage: bench_shmem [PAIRS]: %u or more\n", TURNS);
        return EXIT_FAILURE;
    }
    log_level = LOG_LEVEL_ERROR;
    if (pipe(to_backend) < 0 || pipe(from_backend) < 0)
        die("pipe");
    pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(to_backend[1]);
        close(from_backend[0]);
        backend_main(from_backend[1], to_backend[0]);
        return EXIT_SUCCESS;
    }
    close(to_backend[0]);
    close(from_backend[1]);
    device_model_main(to_backend[1], from_backend[0]);
    close(to_backend[1]);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        return EXIT_FAILURE;
    printf("Medians and 99th percentiles in microseconds, from a request to its answer. trip: an fd there, "
           "an answer\n"
           "back; +mmap: the same, and the other side maps and unmaps the range. own: a file of which "
           "nothing is\n"
           "mapped; same: the file of the live mappings, which are single pages.\n");
    return EXIT_SUCCESS;
}

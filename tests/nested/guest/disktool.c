// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * disktool.c - makes, checks and times disk contents, in a guest and in dom0, where Debian's fio would bring
 * 30 MB of libraries. A program of its own, linked statically; used by the cases and by the benchmark.
 *
 * Contents are a pure function of their place, so that each end of a disk can check them without the other:
 * `stream` makes any number of pseudo-random bytes from a seed; `load` writes blocks that name themselves
 * (seed, block number, generation) and reads them back for as long as it is wanted, under whatever happens
 * to the disk meanwhile; `check` reads such a disk again, from the other side if need be.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/fs.h>

#define BLOCK        4096u /* bytes: the unit of load and check, and O_DIRECT's alignment */
#define OP_BLOCKS    16u   /* most blocks in one request of load */
#define MAX_THREADS  64u
#define STREAM_CHUNK (256u * 1024u) /* bytes of one write of stream */
#define MAGIC        UINT64_C(0x6b6f6f6c62646d76)
#define EXIT_WRONG   1 /* contents are not what they should be */
#define EXIT_USAGE   2
#define EXIT_IO      3 /* a request failed */

/* What opens each block of load; the rest of the block follows from it. */
struct block_head {
    uint64_t magic, seed, block, generation;
};
_Static_assert(sizeof(struct block_head) == 32, "written to disk");

/* One of the threads of load: it owns the blocks [first, first + nr) and nobody else touches them. */
struct worker {
    pthread_t thread;
    int fd;
    uint64_t seed, first, nr, random;
    uint64_t *generation; /* of each block: the last write that was acknowledged; 0: none yet */
    uint8_t *buf;         /* OP_BLOCKS blocks */
    _Atomic uint64_t reads, writes;
    int status;
};

static atomic_bool stopping;

/* The n-th number of a seed's sequence (splitmix64): any place of it can be had without those before. */
static uint64_t random_at(uint64_t seed, uint64_t n)
{
    uint64_t z = seed + (n + 1) * UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void *alloc_blocks(size_t nr)
{
    void *p = NULL;

    if (posix_memalign(&p, BLOCK, nr * BLOCK) != 0) {
        fprintf(stderr, "disktool: no memory\n");
        exit(EXIT_IO);
    }
    return p;
}

/* Opens a file or block device; *size: its bytes. Exits when it cannot. */
static int open_disk(const char *path, int flags, uint64_t *size)
{
    struct stat st;
    int fd = open(path, flags | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0 || (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, size) < 0)) {
        fprintf(stderr, "disktool: %s: %s\n", path, strerror(errno));
        exit(EXIT_IO);
    }
    if (!S_ISBLK(st.st_mode))
        *size = (uint64_t)st.st_size;
    return fd;
}

/* Reads or writes all of len bytes at off; -1 with errno, EIO for an end where none should be. */
static int transfer(int fd, bool write_it, void *buf, size_t len, uint64_t off)
{
    size_t done = 0;

    while (done < len) {
        uint8_t *at = (uint8_t *)buf + done;
        ssize_t n = write_it ? pwrite(fd, at, len - done, (off_t)(off + done))
                             : pread(fd, at, len - done, (off_t)(off + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = EIO;
            return -1;
        }
        done += (size_t)n;
    }
    return 0;
}

static void block_make(uint8_t *buf, uint64_t seed, uint64_t block, uint64_t generation)
{
    struct block_head head = {MAGIC, seed, block, generation};
    uint64_t key = random_at(seed ^ block, generation);

    memcpy(buf, &head, sizeof(head));
    for (size_t i = sizeof(head); i < BLOCK; i += 8) {
        uint64_t word = random_at(key, i);

        memcpy(buf + i, &word, sizeof(word));
    }
}

/* Whether buf is that block, of whichever generation it says; 0 for a block never written. -1: it is not. */
static int64_t block_generation(const uint8_t *buf, uint64_t seed, uint64_t block)
{
    static const uint8_t zeros[BLOCK];
    uint8_t want[BLOCK];
    struct block_head head;

    if (memcmp(buf, zeros, BLOCK) == 0)
        return 0;
    memcpy(&head, buf, sizeof(head));
    block_make(want, seed, block, head.generation);
    return memcmp(buf, want, BLOCK) == 0 && head.generation > 0 && head.generation < INT64_MAX
               ? (int64_t)head.generation
               : -1;
}

static int report_wrong(const uint8_t *buf, uint64_t block, int64_t want)
{
    struct block_head head;

    memcpy(&head, buf, sizeof(head));
    printf("DISK-WRONG block %" PRIu64 ": generation %" PRId64 " expected; found magic %" PRIx64
           " seed %" PRIu64 " block %" PRIu64 " generation %" PRIu64 "\n",
           block, want, head.magic, head.seed, head.block, head.generation);
    return EXIT_WRONG;
}

/* ---- load ---------------------------------------------------------------------------------------- */

static int read_and_compare(struct worker *w, uint64_t block, size_t nr)
{
    if (transfer(w->fd, false, w->buf, nr * BLOCK, block * BLOCK) < 0) {
        printf("DISK-ERROR read of block %" PRIu64 ": %s\n", block, strerror(errno));
        return EXIT_IO;
    }
    for (size_t i = 0; i < nr; i++) {
        int64_t want = (int64_t)w->generation[block + i - w->first];

        /* Generation 0: not written by this run; it may have any contents. */
        if (want != 0 && block_generation(w->buf + i * BLOCK, w->seed, block + i) != want)
            return report_wrong(w->buf + i * BLOCK, block + i, want);
    }
    return 0;
}

static int write_next(struct worker *w, uint64_t block, size_t nr)
{
    for (size_t i = 0; i < nr; i++)
        block_make(w->buf + i * BLOCK, w->seed, block + i, w->generation[block + i - w->first] + 1);
    if (transfer(w->fd, true, w->buf, nr * BLOCK, block * BLOCK) < 0) {
        printf("DISK-ERROR write of block %" PRIu64 ": %s\n", block, strerror(errno));
        return EXIT_IO;
    }
    for (size_t i = 0; i < nr; i++)
        w->generation[block + i - w->first]++;
    return 0;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;

    for (uint64_t n = 0; !stopping && w->status == 0; n++) {
        uint64_t r = random_at(w->random, n);
        uint64_t block = w->first + (r >> 16) % w->nr;
        size_t nr = 1 + (r & 0xff) % OP_BLOCKS;

        if (nr > w->first + w->nr - block)
            nr = (size_t)(w->first + w->nr - block);
        if (r & 0x100) {
            w->status = read_and_compare(w, block, nr);
            w->reads++;
        } else {
            w->status = write_next(w, block, nr);
            w->writes++;
        }
    }
    if (w->status != 0)
        stopping = true;
    return NULL;
}

/* Says each second how far they are, until a line or the end comes from standard input, or one has failed. */
static void watch_workers(const struct worker *workers, unsigned nr)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

    while (!stopping) {
        uint64_t reads = 0, writes = 0;

        if (poll(&in, 1, 1000) > 0)
            stopping = true;
        for (unsigned i = 0; i < nr; i++) {
            reads += workers[i].reads;
            writes += workers[i].writes;
        }
        printf("DISK-LOAD %" PRIu64 " reads, %" PRIu64 " writes\n", reads, writes);
    }
}

/* All blocks once more, after the threads have ended; adds up their generations. */
static int verify_all(struct worker *workers, unsigned nr, uint64_t *sum, uint64_t *written)
{
    for (unsigned i = 0; i < nr; i++) {
        struct worker *w = &workers[i];

        for (uint64_t b = 0; b < w->nr; b += OP_BLOCKS) {
            size_t n = w->nr - b < OP_BLOCKS ? (size_t)(w->nr - b) : OP_BLOCKS;
            int status = read_and_compare(w, w->first + b, n);

            if (status != 0)
                return status;
        }
        for (uint64_t b = 0; b < w->nr; b++) {
            *sum += w->generation[b];
            *written += w->generation[b] != 0;
        }
    }
    return 0;
}

static int load(const char *path, uint64_t seed, unsigned nr_threads)
{
    static struct worker workers[MAX_THREADS];
    uint64_t size, blocks, sum = 0, written = 0;
    int fd = open_disk(path, O_RDWR | O_DIRECT, &size), status = 0;

    blocks = size / BLOCK / nr_threads;
    if (blocks == 0) {
        fprintf(stderr, "disktool: %s is too small\n", path);
        return EXIT_USAGE;
    }
    for (unsigned i = 0; i < nr_threads; i++) {
        struct worker *w = &workers[i];

        *w = (struct worker){.fd = fd, .seed = seed, .first = i * blocks, .nr = blocks};
        w->random = random_at(seed, i) ^ (uint64_t)time(NULL);
        w->generation = calloc(blocks, sizeof(*w->generation));
        w->buf = alloc_blocks(OP_BLOCKS);
        if (!w->generation || pthread_create(&w->thread, NULL, worker_main, w) != 0) {
            fprintf(stderr, "disktool: no memory for thread %u\n", i);
            exit(EXIT_IO);
        }
    }
    watch_workers(workers, nr_threads);
    for (unsigned i = 0; i < nr_threads; i++) {
        pthread_join(workers[i].thread, NULL);
        if (status == 0)
            status = workers[i].status;
    }
    if (status == 0)
        status = verify_all(workers, nr_threads, &sum, &written);
    printf("DISK-LOADED status %d, %" PRIu64 " blocks written, generations %" PRIu64 "\n", status, written,
           sum);
    return status;
}

/* ---- the others ---------------------------------------------------------------------------------- */

static int check(const char *path, uint64_t seed)
{
    uint64_t size, sum = 0, written = 0;
    int fd = open_disk(path, O_RDONLY, &size);
    uint8_t *buf = alloc_blocks(OP_BLOCKS);

    for (uint64_t block = 0; block < size / BLOCK; block++) {
        int64_t generation;

        if (transfer(fd, false, buf, BLOCK, block * BLOCK) < 0) {
            printf("DISK-ERROR read of block %" PRIu64 ": %s\n", block, strerror(errno));
            return EXIT_IO;
        }
        generation = block_generation(buf, seed, block);
        if (generation < 0)
            return report_wrong(buf, block, 0);
        sum += (uint64_t)generation;
        written += generation > 0;
    }
    printf("DISK-CHECKED %" PRIu64 " blocks written, generations %" PRIu64 "\n", written, sum);
    return 0;
}

static int stream(uint64_t len, uint64_t seed)
{
    uint8_t *buf = alloc_blocks(STREAM_CHUNK / BLOCK);

    for (uint64_t off = 0; off < len; off += STREAM_CHUNK) {
        size_t n = len - off < STREAM_CHUNK ? (size_t)(len - off) : STREAM_CHUNK;

        for (size_t i = 0; i < STREAM_CHUNK; i += 8) {
            uint64_t word = random_at(seed, (off + i) / 8);

            memcpy(buf + i, &word, sizeof(word));
        }
        if (fwrite(buf, 1, n, stdout) != n) {
            fprintf(stderr, "disktool: write: %s\n", strerror(errno));
            return EXIT_IO;
        }
    }
    return fflush(stdout) == 0 ? 0 : EXIT_IO;
}

/* One thread of a measurement. */
struct reader {
    pthread_t thread;
    int fd;
    bool random;
    size_t unit;    /* bytes of a read */
    uint64_t units; /* on the disk */
    uint64_t seed;
    double end;    /* on the clock of now() */
    uint64_t done; /* reads */
    int status;
};

static void *reader_main(void *arg)
{
    struct reader *r = arg;
    uint8_t *buf = alloc_blocks((r->unit + BLOCK - 1) / BLOCK);

    do {
        uint64_t n = random_at(r->seed, r->random ? r->done : 0) + (r->random ? 0 : r->done);

        if (transfer(r->fd, false, buf, r->unit, n % r->units * r->unit) < 0) {
            printf("DISK-ERROR read at %" PRIu64 ": %s\n", n % r->units * r->unit, strerror(errno));
            r->status = EXIT_IO;
            break;
        }
        r->done++;
    } while (now() < r->end);
    free(buf);
    return NULL;
}

/* Times reads of `unit` bytes, one at a time in each thread, at random places or in order from one of them.
 */
static int read_speed(const char *path, bool random, size_t unit, double seconds, unsigned nr_threads)
{
    static struct reader readers[MAX_THREADS];
    uint64_t size, done = 0;
    int fd = open_disk(path, O_RDONLY | O_DIRECT, &size), status = 0;
    double start = now(), took;

    if (unit == 0 || size < unit) {
        fprintf(stderr, "disktool: %s is too small\n", path);
        return EXIT_USAGE;
    }
    for (unsigned i = 0; i < nr_threads; i++) {
        readers[i] = (struct reader){
            .fd = fd, .random = random, .unit = unit, .units = size / unit, .end = start + seconds};
        readers[i].seed = random_at((uint64_t)time(NULL), i);
        if (pthread_create(&readers[i].thread, NULL, reader_main, &readers[i]) != 0) {
            fprintf(stderr, "disktool: no memory for thread %u\n", i);
            exit(EXIT_IO);
        }
    }
    for (unsigned i = 0; i < nr_threads; i++) {
        pthread_join(readers[i].thread, NULL);
        done += readers[i].done;
        if (readers[i].status != 0)
            status = readers[i].status;
    }
    took = now() - start;
    close(fd);
    printf("DISK-SPEED %s %zu bytes, %u at a time: %.1f reads/s, %.2f MiB/s\n",
           random ? "random" : "sequential", unit, nr_threads, (double)done / took,
           (double)done * (double)unit / took / 1048576.0);
    return status;
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value;

    errno = 0;
    value = strtoull(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0') {
        fprintf(stderr, "disktool: not a number: %s\n", text);
        exit(EXIT_USAGE);
    }
    return value;
}

/* A number of threads; 0: not one that we can have. */
static unsigned threads(const char *text)
{
    uint64_t n = number(text);

    return n <= MAX_THREADS ? (unsigned)n : 0;
}

int main(int argc, char **argv)
{
    const char *cmd = argc > 1 ? argv[1] : "";

    setvbuf(stdout, NULL, strcmp(cmd, "stream") == 0 ? _IOFBF : _IOLBF, 65536);
    if (strcmp(cmd, "stream") == 0 && argc == 4)
        return stream(number(argv[2]), number(argv[3]));
    if (strcmp(cmd, "check") == 0 && argc == 4)
        return check(argv[2], number(argv[3]));
    if (strcmp(cmd, "load") == 0 && argc == 5 && threads(argv[4]) > 0)
        return load(argv[2], number(argv[3]), threads(argv[4]));
    if ((strcmp(cmd, "randread") == 0 || strcmp(cmd, "seqread") == 0) && argc == 6 && threads(argv[5]) > 0)
        return read_speed(argv[2], cmd[0] == 'r', (size_t)number(argv[3]), (double)number(argv[4]),
                          threads(argv[5]));
    fprintf(stderr,
            "usage: disktool stream BYTES SEED             pseudo-random bytes to standard output\n"
            "       disktool load DISK SEED THREADS        reads and writes until standard input has a line\n"
            "       disktool check DISK SEED               whether all of it is zeros or load's\n"
            "       disktool randread|seqread DISK BYTES SECONDS THREADS   speed of reads of that size\n");
    return EXIT_USAGE;
}

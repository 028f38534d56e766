// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shmtool.c - looks at shared memory in the cases on real Xen, from a guest and from dom0. FILE is what can
 * be mapped: a file (on a DAX file system too), a device-dax, /proc/PID/fd/N of a back-end, or a PCI
 * function's folder in sysfs, by which its shared memory region is meant (the first
 * VIRTIO_PCI_CAP_SHARED_MEMORY_CFG; what follows it in the BAR is mapped, too). Linked dynamically, so that
 * dom0 can run it with libvhost-dm-shm-preload.so.
 *
 *   shmtool FILE get OFFSET             prints the 64-bit number there, in hexadecimal
 *   shmtool FILE put OFFSET VALUE
 *   shmtool FILE pattern OFFSET LEN     whether every 8 bytes hold their own offset
 *   shmtool FILE are OFFSET LEN VALUE   whether every 8 bytes hold that
 *   shmtool FILE fill OFFSET LEN VALUE
 *   shmtool FILE mark OFFSET LEN        writes the pattern
 *   shmtool FILE dump OFFSET LEN        the bytes, to standard output
 *   shmtool FILE direct OFFSET LEN DISK reads the start of DISK into it with O_DIRECT
 *   shmtool FILE edges OFFSET           accesses of all kinds to the pattern, and where it ends, at OFFSET
 *   shmtool FILE load LEN NAME          writes and reads until standard input is read; lines with NAME
 *   shmtool FILE speed LEN SECONDS      MiB/s read and written, in turn with memory of its own
 *   shmtool DIR where                   BAR, offset and length of the region
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

struct memory {
    uint8_t *at;
    uint64_t len; /* bytes that are mapped */
};

static uint32_t le32_at(const uint8_t *config, unsigned at)
{
    return config[at] | config[at + 1] << 8 | config[at + 2] << 16 | (uint32_t)config[at + 3] << 24;
}

/* The shared memory of a PCI function: its BAR, and where in it. */
static int region_find(const char *dir, unsigned *bar, uint64_t *offset, uint64_t *len)
{
    char path[256];
    uint8_t config[256];
    unsigned at;
    int fd;

    snprintf(path, sizeof(path), "%s/config", dir);
    fd = open(path, O_RDONLY);
    if (fd < 0 || pread(fd, config, sizeof(config), 0) != sizeof(config))
        return -1;
    close(fd);
    at = config[PCI_CAPABILITY_LIST];
    for (int i = 0; i < 48 && at >= 0x40 && at <= 0xe8; i++, at = config[at + PCI_CAP_LIST_NEXT]) {
        if (config[at] != PCI_CAP_ID_VNDR || config[at + 3] != VIRTIO_PCI_CAP_SHARED_MEMORY_CFG)
            continue;
        *bar = config[at + 4];
        *offset = le32_at(config, at + 8) | (uint64_t)le32_at(config, at + 16) << 32;
        *len = le32_at(config, at + 12) | (uint64_t)le32_at(config, at + 20) << 32;
        return 0;
    }
    return -1;
}

/* The length of what is open, in bytes: of a device-dax as sysfs has it. */
static uint64_t file_len(int fd)
{
    unsigned long long len = 0;
    char path[64];
    struct stat st;
    FILE *f;

    if (fstat(fd, &st) != 0)
        return 0;
    if (!S_ISCHR(st.st_mode))
        return (uint64_t)st.st_size;
    snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/size", major(st.st_rdev), minor(st.st_rdev));
    f = fopen(path, "r");
    if (f == NULL || fscanf(f, "%llu", &len) != 1)
        len = 0;
    if (f != NULL)
        fclose(f);
    return len;
}

static int memory_map(const char *file, struct memory *memory)
{
    char path[256];
    uint64_t offset = 0, len;
    struct stat st;
    unsigned bar;
    int fd;

    if (stat(file, &st) == 0 && S_ISDIR(st.st_mode)) {
        if (region_find(file, &bar, &offset, &len) != 0)
            return -1;
        snprintf(path, sizeof(path), "%s/resource%u", file, bar);
        file = path;
    }
    fd = open(file, O_RDWR);
    if (fd < 0 || (len = file_len(fd)) <= offset)
        return -1;
    memory->len = len - offset;
    memory->at = mmap(NULL, memory->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    close(fd);
    return memory->at == MAP_FAILED ? -1 : 0;
}

/* ---- contents ---------------------------------------------------------------------------------------- */

static uint64_t word(const struct memory *m, uint64_t offset)
{
    return *(volatile uint64_t *)(void *)(m->at + offset);
}

/* 0 when each word from offset on is value, or its own offset. */
static int words_check(const struct memory *m, uint64_t offset, uint64_t len, const uint64_t *value)
{
    for (uint64_t at = offset; at < offset + len; at += 8) {
        uint64_t want = value != NULL ? *value : at, is = word(m, at);

        if (is == want)
            continue;
        printf("at 0x%" PRIx64 ": 0x%" PRIx64 " instead of 0x%" PRIx64 "\n", at, is, want);
        return 1;
    }
    return 0;
}

static int words_fill(const struct memory *m, uint64_t offset, uint64_t len, uint64_t value)
{
    for (uint64_t at = offset; at < offset + len; at += 8)
        *(volatile uint64_t *)(void *)(m->at + at) = value;
    return 0;
}

static int words_mark(const struct memory *m, uint64_t offset, uint64_t len)
{
    for (uint64_t at = offset; at < offset + len; at += 8)
        words_fill(m, at, 8, at);
    return 0;
}

static int dump(const struct memory *m, uint64_t offset, uint64_t len)
{
    return fwrite(m->at + offset, 1, len, stdout) == len && fflush(stdout) == 0 ? 0 : 1;
}

static int direct_read(const struct memory *m, uint64_t offset, uint64_t len, const char *disk)
{
    int fd = open(disk, O_RDONLY | O_DIRECT);
    ssize_t n = fd < 0 ? -1 : pread(fd, m->at + offset, len, 0);

    if (n == (ssize_t)len)
        return 0;
    printf("%s: %zd of %" PRIu64 " bytes: %s\n", disk, n, len, strerror(errno));
    return 1;
}

/* ---- accesses of all kinds ----------------------------------------------------------------------------- */

static int nr_wrong;

static void expect(bool right, const char *what)
{
    printf("  %s: %s\n", what, right ? "right" : "WRONG");
    nr_wrong += !right;
}

static void rep_movsb(void *to, const void *from, size_t len)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len)::"memory");
}

static uint64_t load_at(const void *p)
{
    uint64_t value;

    __asm__ volatile("movq %1, %0" : "=r"(value) : "m"(*(const uint64_t *)p));
    return value;
}

static void edges_unaligned(const struct memory *m)
{
    const uint8_t *page_end = m->at + 4096 - 4;
    uint64_t wide[2];

    expect(load_at(page_end) == ((uint64_t)4096 << 32), "8 bytes across a page's end");
    expect(load_at(m->at + 3) == ((uint64_t)8 << 40), "8 bytes at an odd address");
    __asm__ volatile("movdqu %1, %%xmm0; movdqu %%xmm0, %0"
                     : "=m"(wide)
                     : "m"(*(const uint8_t(*)[16])(m->at + 64))
                     : "xmm0");
    expect(wide[0] == 64 && wide[1] == 72, "16 bytes at once, read");
    wide[0] = 1, wide[1] = 2;
    __asm__ volatile("movdqu %1, %%xmm0; movdqu %%xmm0, %0"
                     : "=m"(*(uint8_t(*)[16])(m->at + 128))
                     : "m"(wide)
                     : "xmm0");
    expect(word(m, 128) == 1 && word(m, 136) == 2, "16 bytes at once, written");
}

static void edges_end(const struct memory *m, uint64_t end)
{
    uint8_t copy[128], ones[64];

    memset(ones, 0xff, sizeof(ones));
    rep_movsb(copy, m->at + end - 64, sizeof(copy));
    expect(memcmp(copy + 64, ones, 64) == 0, "rep movsb across the end, read: nothing reads ones");
    expect(*(uint64_t *)(void *)copy == end - 64, "rep movsb across the end, read: what is there");
    memset(copy, 0x5a, sizeof(copy));
    rep_movsb(m->at + end - 64, copy, sizeof(copy));
    expect(word(m, end - 8) == UINT64_C(0x5a5a5a5a5a5a5a5a), "rep movsb across the end, written");
    expect(word(m, end) == UINT64_MAX, "what is written to nothing is gone");
    memset(copy, 0, sizeof(copy));
    __asm__ volatile("std; rep movsb; cld"
                     :
                     : "D"(copy + 63), "S"(m->at + 4096 + 63), "c"((size_t)64)
                     : "memory");
    expect(*(uint64_t *)(void *)copy == 4096, "rep movsb downwards");
}

static void edges_atomic(const struct memory *m)
{
    uint64_t *p = (uint64_t *)(void *)(m->at + 8192), old = 8192;

    expect(__atomic_fetch_add(p, 1, __ATOMIC_SEQ_CST) == 8192 && word(m, 8192) == 8193, "lock xadd");
    expect(!__atomic_compare_exchange_n(p, &old, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) &&
               old == 8193 && word(m, 8192) == 8193,
           "lock cmpxchg of another value");
    expect(__atomic_compare_exchange_n(p, &old, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) &&
               word(m, 8192) == 1,
           "lock cmpxchg");
    expect(__atomic_exchange_n(p, 77, __ATOMIC_SEQ_CST) == 1 && word(m, 8192) == 77, "xchg");
    __asm__ volatile("lock orq %1, %0" : "+m"(*p) : "r"((uint64_t)128) : "memory");
    expect(word(m, 8192) == (77 | 128), "lock or");
}

static sigjmp_buf refused;

static void on_refusal(int signum)
{
    siglongjmp(refused, signum);
}

/* What a hypervisor may be unable to emulate: right, or a signal for the program that tries. */
static void edges_maybe(const struct memory *m)
{
    int signum;

    signal(SIGILL, on_refusal);
    signal(SIGSEGV, on_refusal);
    signal(SIGBUS, on_refusal);
    signum = sigsetjmp(refused, 1);
    if (signum == 0) {
        uint64_t *p = (uint64_t *)(void *)(m->at + 12288), low = 12288, high = 12296;
        bool same;

        __asm__ volatile("lock cmpxchg16b %1"
                         : "=@ccz"(same), "+m"(*(unsigned __int128 *)(void *)p), "+a"(low), "+d"(high)
                         : "b"((uint64_t)5), "c"((uint64_t)6)
                         : "memory");
        expect(same && word(m, 12288) == 5 && word(m, 12296) == 6, "lock cmpxchg16b");
    } else {
        printf("  lock cmpxchg16b: refused by signal %d\n", signum);
    }
}

static int edges(const struct memory *m, uint64_t end)
{
    if (end + 4096 > m->len || end < 65536)
        return 2;
    edges_unaligned(m);
    edges_end(m, end);
    edges_atomic(m);
    edges_maybe(m);
    return nr_wrong > 0;
}

/* ---- load and speed --------------------------------------------------------------------------------------
 */

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Whatever is or is not mapped: each word that is read is what was written there at some time, the pattern,
 * zero, or ones. */
static int load(const struct memory *m, uint64_t len, const char *name)
{
    struct pollfd in = {.fd = 0, .events = POLLIN};
    uint64_t nr = 0, kept = 0, state = 1;
    double next = now() + 1;

    if (len == 0 || len > m->len || nice(19) == -1)
        return 2;
    while (poll(&in, 1, 0) == 0) {
        for (int i = 0; i < 16; i++, nr++) {
            uint64_t at, value, is;

            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            at = (state >> 20) % (len / 8) * 8;
            value = UINT64_C(0x5eed) << 48 | (state >> 40);
            is = word(m, at);
            if (is != at && is != 0 && is != UINT64_MAX && is >> 48 != 0x5eed) {
                printf("at 0x%" PRIx64 ": 0x%" PRIx64 ", which nobody wrote\n", at, is);
                return 1;
            }
            *(volatile uint64_t *)(void *)(m->at + at) = value;
            kept += word(m, at) == value;
        }
        if (now() >= next) {
            printf("SHM-LOAD %s %" PRIu64 " writes, %" PRIu64 " read again\n", name, nr, kept);
            fflush(stdout);
            next = now() + 1;
        }
    }
    printf("SHM-LOADED %s %" PRIu64 " writes, %" PRIu64 " read again\n", name, nr, kept);
    return 0;
}

static double pass(uint8_t *at, uint8_t *other, uint64_t len, bool write_it, double seconds)
{
    double start = now();
    uint64_t nr = 0;

    do {
        if (write_it)
            memcpy(at, other, len);
        else
            memcpy(other, at, len);
        nr++;
    } while (now() < start + seconds);
    return (double)(nr * len) / (now() - start) / (1 << 20);
}

/* Five times in turn: the median counts, and only the ratio to the memory of its own says something. */
static double median(double *values)
{
    for (int i = 0; i < 5; i++)
        for (int j = i + 1; j < 5; j++)
            if (values[j] < values[i]) {
                double swap = values[i];

                values[i] = values[j];
                values[j] = swap;
            }
    return values[2];
}

static int speed(const struct memory *m, uint64_t len, double seconds)
{
    uint8_t *own = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    uint8_t *other =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (len > m->len || own == MAP_FAILED || other == MAP_FAILED)
        return 1;
    for (int write_it = 0; write_it < 2; write_it++) {
        double of_own[5], of_shared[5];

        pass(m->at, other, MIN(len, 65536), write_it, 0); /* page faults are over */
        for (int i = 0; i < 5; i++) {
            of_own[i] = pass(own, other, len, write_it, seconds);
            of_shared[i] = pass(m->at, other, len, write_it, seconds);
        }
        printf("SHM-SPEED %s shared %.4f own %.1f MiB/s\n", write_it ? "write" : "read", median(of_shared),
               median(of_own));
    }
    return 0;
}

/* ---- the command line ---------------------------------------------------------------------------------- */

static int where(const char *dir)
{
    uint64_t offset, len;
    unsigned bar;

    if (region_find(dir, &bar, &offset, &len) != 0)
        return 1;
    printf("bar %u offset 0x%" PRIx64 " len 0x%" PRIx64 "\n", bar, offset, len);
    return 0;
}

/* -1: no such command. */
static int run(const struct memory *m, const char *command, int nr, const uint64_t *n, char **argv)
{
    bool two = nr >= 2 && n[0] % 8 == 0 && n[0] < m->len && n[1] <= m->len - n[0];

    if (strcmp(command, "get") == 0 && nr == 1 && n[0] < m->len)
        return printf("0x%" PRIx64 "\n", word(m, n[0])) < 0;
    if (strcmp(command, "put") == 0 && nr == 2 && n[0] < m->len)
        return words_fill(m, n[0], 8, n[1]);
    if (strcmp(command, "pattern") == 0 && two)
        return words_check(m, n[0], n[1], NULL);
    if (strcmp(command, "are") == 0 && two && nr == 3)
        return words_check(m, n[0], n[1], &n[2]);
    if (strcmp(command, "fill") == 0 && two && nr == 3)
        return words_fill(m, n[0], n[1], n[2]);
    if (strcmp(command, "mark") == 0 && two)
        return words_mark(m, n[0], n[1]);
    if (strcmp(command, "dump") == 0 && two)
        return dump(m, n[0], n[1]);
    if (strcmp(command, "direct") == 0 && two && nr == 3)
        return direct_read(m, n[0], n[1], argv[5]);
    if (strcmp(command, "edges") == 0 && nr == 1)
        return edges(m, n[0]);
    if (strcmp(command, "load") == 0 && nr == 2)
        return load(m, n[0], argv[4]);
    if (strcmp(command, "speed") == 0 && nr == 2)
        return speed(m, n[0], (double)n[1]);
    return -1;
}

int main(int argc, char **argv)
{
    uint64_t number[3] = {0};
    struct memory memory;
    int status = -1;

    if (argc == 3 && strcmp(argv[2], "where") == 0)
        return where(argv[1]);
    if (argc >= 4 && argc <= 6) {
        for (int i = 3; i < argc; i++)
            number[i - 3] = strtoull(argv[i], NULL, 0);
        if (memory_map(argv[1], &memory) != 0) {
            perror(argv[1]);
            return 1;
        }
        status = run(&memory, argv[2], argc - 3, number, argv);
    }
    if (status < 0)
        fprintf(stderr,
                "usage: shmtool FILE get|put|pattern|are|fill|dump|direct|edges|load|speed|where ...\n");
    return status < 0 ? 2 : status;
}

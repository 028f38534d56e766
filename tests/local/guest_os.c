// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * guest_os.c - see guest_os.h.
 */
#include "tests/local/guest_os.h"

#include <errno.h>
#include <ev.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <linux/pci_regs.h>

#include "common/util.h"

/* Where the BARs go, as a PC's firmware would have it. */
#define BAR32_FIRST 0xe0000000ULL
#define BAR32_END   0xf0000000ULL
#define BAR64_FIRST (64ULL << 30)
#define BAR64_END   (128ULL << 30)
/* The local APIC of the first processor (Intel SDM volume 3, 11.11). */
#define MSI_ADDR 0xfee00000ULL
/* The first page stays empty: gpa 0 means none. */
#define FIRST_FREE GUEST_PAGE_SIZE

/* ---- random numbers ----------------------------------------------------------------------------- */

/* SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). */
uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

uint64_t rng_below(struct rng *rng, uint64_t limit)
{
    return (uint64_t)((unsigned __int128)rng_next(rng) * limit >> 64);
}

bool rng_one_in(struct rng *rng, unsigned n)
{
    return rng_below(rng, n) == 0;
}

void rng_fill(struct rng *rng, void *buf, size_t len)
{
    char *p = buf;
    uint64_t value;

    for (; len >= sizeof(value); p += sizeof(value), len -= sizeof(value)) {
        value = rng_next(rng);
        memcpy(p, &value, sizeof(value));
    }
    value = rng_next(rng);
    memcpy(p, &value, len);
}

/* ---- life cycle --------------------------------------------------------------------------------- */

void guest_os_init(struct guest_os *os, const struct local_options *options)
{
    *os = (struct guest_os){
        .pci = options->pci,
        .ram_low = options->ram_low,
        .ram_high = options->ram_high,
        .low_next = FIRST_FREE,
        .high_next = LOCAL_RAM_HIGH_GPA,
        .bar32_next = BAR32_FIRST,
        .bar64_next = BAR64_FIRST,
        .irq_next = 1,
    };
}

/* ---- memory ------------------------------------------------------------------------------------- */

uint64_t guest_os_alloc(struct guest_os *os, uint64_t len, uint64_t align, bool low)
{
    uint64_t *next = low || os->ram_high == 0 ? &os->low_next : &os->high_next;
    uint64_t end = next == &os->low_next ? os->ram_low : LOCAL_RAM_HIGH_GPA + os->ram_high;
    uint64_t gpa = align_up(*next, align);

    if (gpa > end || len > end - gpa)
        return 0;
    *next = gpa + len;
    return gpa;
}

void *guest_os_ptr(struct guest_os *os, uint64_t gpa, uint64_t len)
{
    return local_ram(os->hv, gpa, len);
}

/* ---- accesses ----------------------------------------------------------------------------------- */

/* Time, and how often we have slept. */
struct meter {
    double wall, cpu; /* seconds */
    long sleeps;
};

static double clock_read(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct meter meter_read(void)
{
    struct rusage usage = {0};

    getrusage(RUSAGE_THREAD, &usage);
    return (struct meter){clock_read(CLOCK_MONOTONIC), clock_read(CLOCK_THREAD_CPUTIME_ID), usage.ru_nvcsw};
}

/* Time since start, without what a busy machine gave to others against our will. */
static double meter_elapsed(const struct meter *start)
{
    struct meter end = meter_read();

    return end.sleeps == start->sleeps ? end.cpu - start->cpu : end.wall - start->wall;
}

/* Makes os->access, whose data is os->access_data. */
static void access_make(struct guest_os *os)
{
    struct meter start = meter_read();
    double took;

    os->access.data = &os->access_data;
    os->access_pending = true;
    __atomic_store_n(&os->in_device, true, __ATOMIC_SEQ_CST);
    local_access(os->hv, &os->access);
    __atomic_store_n(&os->in_device, false, __ATOMIC_SEQ_CST);
    os->access_pending = false;
    took = meter_elapsed(&start);
    os->access_max_seconds = MAX(os->access_max_seconds, took);
    os->nr_accesses++;
}

void guest_os_adopt(struct guest_os *os, struct hypervisor *hv, struct ev_loop *loop)
{
    os->hv = hv;
    os->loop = loop;
    os->in_device = false;
    if (os->access_pending)
        access_make(os);
}

uint64_t guest_os_read(struct guest_os *os, enum access_space space, uint64_t addr, uint8_t size)
{
    os->access = (struct guest_access){.space = space, .size = size, .addr = addr, .len = size};
    os->access_data = 0;
    access_make(os);
    return os->access_data;
}

void guest_os_write(struct guest_os *os, enum access_space space, uint64_t addr, uint8_t size, uint64_t value)
{
    os->access =
        (struct guest_access){.space = space, .write = true, .size = size, .addr = addr, .len = size};
    os->access_data = value;
    access_make(os);
}

uint64_t mmio_read(struct guest_os *os, uint64_t gpa, uint8_t size)
{
    return guest_os_read(os, ACCESS_MMIO, gpa, size);
}

void mmio_write(struct guest_os *os, uint64_t gpa, uint8_t size, uint64_t value)
{
    guest_os_write(os, ACCESS_MMIO, gpa, size, value);
}

/* Where a register of a function is: in ECAM (PCI Express Base 3.0, 7.2.2), or behind the ports. */
static uint64_t config_address(const struct guest_os *os, uint32_t sbdf, unsigned reg,
                               enum access_space *space)
{
    *space = os->pci.has_ecam ? ACCESS_MMIO : ACCESS_PCI_CONFIG;
    return os->pci.has_ecam ? os->pci.ecam_gpa + ((uint64_t)sbdf << 12 | reg) : (uint64_t)sbdf << 32 | reg;
}

uint32_t config_read(struct guest_os *os, uint32_t sbdf, unsigned reg, uint8_t size)
{
    enum access_space space;
    uint64_t addr = config_address(os, sbdf, reg, &space);

    return (uint32_t)guest_os_read(os, space, addr, size);
}

void config_write(struct guest_os *os, uint32_t sbdf, unsigned reg, uint8_t size, uint32_t value)
{
    enum access_space space;
    uint64_t addr = config_address(os, sbdf, reg, &space);

    guest_os_write(os, space, addr, size, value);
}

/* ---- PCI ---------------------------------------------------------------------------------------- */

uint32_t guest_os_scan(struct guest_os *os, uint32_t from)
{
    for (uint32_t sbdf = from; sbdf < 256; sbdf++)
        if (config_read(os, sbdf, PCI_VENDOR_ID, 2) != 0xffff)
            return sbdf;
    return GUEST_OS_NO_DEVICE;
}

/* Writes all ones and looks at what stays: the size of the BAR, 0 if there is none. */
static uint64_t bar_size(struct guest_os *os, uint32_t sbdf, unsigned bar, uint32_t old)
{
    unsigned reg = PCI_BASE_ADDRESS_0 + 4 * bar;
    bool is_64 = (old & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64;
    uint32_t old_high = is_64 ? config_read(os, sbdf, reg + 4, 4) : 0;
    uint64_t mask;

    config_write(os, sbdf, reg, 4, UINT32_MAX);
    mask = config_read(os, sbdf, reg, 4) & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;
    config_write(os, sbdf, reg, 4, old);
    if (is_64) {
        config_write(os, sbdf, reg + 4, 4, UINT32_MAX);
        mask |= (uint64_t)config_read(os, sbdf, reg + 4, 4) << 32;
        config_write(os, sbdf, reg + 4, 4, old_high);
    } else if (mask != 0) {
        mask |= (uint64_t)UINT32_MAX << 32;
    }
    return ~mask + 1;
}

/* Sizes a BAR and places it. Its length in *len, its place in *gpa; both 0: there is none. */
static int bar_assign(struct guest_os *os, uint32_t sbdf, unsigned bar, uint64_t *gpa, uint64_t *len,
                      bool *is_64)
{
    unsigned reg = PCI_BASE_ADDRESS_0 + 4 * bar;
    uint32_t old = config_read(os, sbdf, reg, 4);
    bool high;
    uint64_t *next;

    *is_64 = (old & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64;
    *gpa = 0;
    *len = bar_size(os, sbdf, bar, old);
    if (*len == 0)
        return 0;
    if ((old & PCI_BASE_ADDRESS_SPACE) != PCI_BASE_ADDRESS_SPACE_MEMORY || (*len & (*len - 1)) != 0 ||
        (*is_64 && bar == 5))
        return -EINVAL;
    high = *is_64 && (old & PCI_BASE_ADDRESS_MEM_PREFETCH) != 0;
    next = high ? &os->bar64_next : &os->bar32_next;
    *gpa = align_up(*next, *len);
    if (*gpa + *len > (high ? BAR64_END : BAR32_END))
        return -ENOSPC;
    *next = *gpa + *len;
    config_write(os, sbdf, reg, 4, (uint32_t)*gpa);
    if (*is_64)
        config_write(os, sbdf, reg + 4, 4, (uint32_t)(*gpa >> 32));
    return 0;
}

int guest_os_assign_bars(struct guest_os *os, uint32_t sbdf, uint64_t bars[6], uint64_t lens[6])
{
    uint32_t command = config_read(os, sbdf, PCI_COMMAND, 2);

    /* As Linux does: no decoding while BARs are being sized. */
    config_write(os, sbdf, PCI_COMMAND, 2, command & ~(uint32_t)PCI_COMMAND_MEMORY);
    for (unsigned bar = 0; bar < 6; bar++) {
        bool is_64;
        int err = bar_assign(os, sbdf, bar, &bars[bar], &lens[bar], &is_64);

        if (err < 0)
            return err;
        if (is_64 && lens[bar] != 0) {
            bar++;
            bars[bar] = lens[bar] = 0;
        }
    }
    config_write(os, sbdf, PCI_COMMAND, 2, command | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    return 0;
}

unsigned guest_os_find_cap(struct guest_os *os, uint32_t sbdf, uint8_t id, unsigned from)
{
    unsigned at;

    if (!(config_read(os, sbdf, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
        return 0;
    at = config_read(os, sbdf, from == 0 ? PCI_CAPABILITY_LIST : from + PCI_CAP_LIST_NEXT, 1) & ~3u;
    /* There is room for 48 capabilities at the most: more is a loop. */
    for (unsigned i = 0; i < 48 && at >= PCI_STD_HEADER_SIZEOF; i++) {
        if (config_read(os, sbdf, at + PCI_CAP_LIST_ID, 1) == id)
            return at;
        at = config_read(os, sbdf, at + PCI_CAP_LIST_NEXT, 1) & ~3u;
    }
    return 0;
}

/* ---- interrupts --------------------------------------------------------------------------------- */

int guest_os_irq_alloc(struct guest_os *os)
{
    return os->irq_next < GUEST_OS_NR_IRQS ? (int)os->irq_next++ : -ENOSPC;
}

uint64_t guest_os_msi_addr(void)
{
    return MSI_ADDR;
}

static void guest_os_msi(void *ctx, uint64_t addr, uint32_t data)
{
    struct guest_os *os = ctx;

    if (addr == MSI_ADDR && data > 0 && data < GUEST_OS_NR_IRQS && data < os->irq_next)
        os->irq_count[data]++;
    else
        os->irq_stray++;
}

static void guest_os_line(void *ctx, uint32_t sbdf, uint8_t pin, bool level)
{
    struct guest_os *os = ctx;

    os->line[sbdf >> 3 & 31][pin] = level;
}

static void guest_os_irq(void *ctx, uint32_t irq, bool level)
{
    struct guest_os *os = ctx;

    if (irq < GUEST_OS_NR_LINES)
        os->irq_line[irq] = level;
    else
        os->irq_stray++;
}

const struct local_callbacks guest_os_callbacks = {
    .msi = guest_os_msi, .intx = guest_os_line, .irq = guest_os_irq};

/* ---- waiting ------------------------------------------------------------------------------------ */

static void deadline_reached(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    *(bool *)timer->data = true;
}

bool guest_os_wait(struct guest_os *os, bool (*done)(void *ctx), void *ctx, double seconds)
{
    ev_timer timer;
    bool late = false;

    ev_now_update(os->loop);
    ev_timer_init(&timer, deadline_reached, seconds, 0.);
    timer.data = &late;
    ev_timer_start(os->loop, &timer);
    while (!late && !done(ctx)) {
        __atomic_store_n(&os->in_device, true, __ATOMIC_SEQ_CST);
        ev_run(os->loop, EVRUN_ONCE);
        __atomic_store_n(&os->in_device, false, __ATOMIC_SEQ_CST);
    }
    ev_timer_stop(os->loop, &timer);
    return done(ctx);
}

static bool after_one_round(void *ctx)
{
    return (*(unsigned *)ctx)++ > 0;
}

void guest_os_idle(struct guest_os *os, double seconds)
{
    unsigned rounds = 0;

    guest_os_wait(os, after_one_round, &rounds, seconds);
}

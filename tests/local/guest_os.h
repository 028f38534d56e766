/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest_os.h - the part of an operating system that is not a driver, for tests on the local hypervisor:
 * memory allocation, PCI configuration and BARs, interrupts, waiting. It touches the device model only as a
 * guest can: by accesses (local_access) and by guest memory. Used by virtio_driver.c and the tests.
 *
 * Everything that must survive the death of the device model's process is in this struct and holds no pointer
 * into the process but hv and loop, which the successor sets (guest_os_adopt): it may lie in shared memory.
 */
#ifndef VHOST_DM_TESTS_GUEST_OS_H
#define VHOST_DM_TESTS_GUEST_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dm/local.h"

struct ev_loop;

#define GUEST_OS_NR_IRQS   256
#define GUEST_OS_NR_LINES  16
#define GUEST_OS_NO_DEVICE UINT32_MAX

/* Random numbers that a seed reproduces. */
struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *rng);
/* 0 to limit - 1. */
uint64_t rng_below(struct rng *rng, uint64_t limit);
/* true once in n times. */
bool rng_one_in(struct rng *rng, unsigned n);
void rng_fill(struct rng *rng, void *buf, size_t len);

struct guest_os {
    struct hypervisor *hv; /* borrowed */
    struct ev_loop *loop;  /* borrowed */
    struct pci_host pci;
    uint64_t ram_low, ram_high;   /* bytes of RAM from 0 and from 4 GiB */
    uint64_t low_next, high_next; /* gpas: what follows is free */
    uint64_t bar32_next, bar64_next;
    unsigned irq_next;
    uint64_t irq_count[GUEST_OS_NR_IRQS]; /* by the data of the MSI */
    uint64_t irq_stray;                   /* MSIs that no driver of ours programmed */
    bool line[32][4];                     /* INTx: by slot and pin */
    bool irq_line[GUEST_OS_NR_LINES];     /* irq_set */
    bool in_device;                       /* control is with the device model */
    bool access_pending;                  /* ... because of this access */
    struct guest_access access;
    uint64_t access_data;
    double access_max_seconds; /* the longest that an access took, with the work that followed it */
    uint64_t nr_accesses;
};

/* The callbacks to give to local_new, with the struct guest_os as ctx. */
extern const struct local_callbacks guest_os_callbacks;

/* options: what the local hypervisor was, or will be, made with. */
void guest_os_init(struct guest_os *os, const struct local_options *options);
/* The device model is there (again). An access that its predecessor did not answer is made again, as the
 * hypervisor would. */
void guest_os_adopt(struct guest_os *os, struct hypervisor *hv, struct ev_loop *loop);

/* Memory: never freed. 0: none left. low: below 4 GiB. */
uint64_t guest_os_alloc(struct guest_os *os, uint64_t len, uint64_t align, bool low);
/* The guest's pointer to it; NULL: not RAM. */
void *guest_os_ptr(struct guest_os *os, uint64_t gpa, uint64_t len);

/* Accesses of 1, 2, 4 or 8 bytes. */
uint64_t guest_os_read(struct guest_os *os, enum access_space space, uint64_t addr, uint8_t size);
void guest_os_write(struct guest_os *os, enum access_space space, uint64_t addr, uint8_t size,
                    uint64_t value);
uint64_t mmio_read(struct guest_os *os, uint64_t gpa, uint8_t size);
void mmio_write(struct guest_os *os, uint64_t gpa, uint8_t size, uint64_t value);
/* Configuration space, by ports, or where the guest has it by ECAM. */
uint32_t config_read(struct guest_os *os, uint32_t sbdf, unsigned reg, uint8_t size);
void config_write(struct guest_os *os, uint32_t sbdf, unsigned reg, uint8_t size, uint32_t value);

/* The first function at or after sbdf (on bus 0), or GUEST_OS_NO_DEVICE. */
uint32_t guest_os_scan(struct guest_os *os, uint32_t from);
/* Sizes all BARs, gives them addresses that nothing uses, enables memory and bus mastering. bars: gpa by BAR,
 * 0: none; lens: bytes. 0; -EINVAL: a BAR is not as PCI says; -ENOSPC. */
int guest_os_assign_bars(struct guest_os *os, uint32_t sbdf, uint64_t bars[6], uint64_t lens[6]);
/* An offset in config space, or 0. from: the capability to go on after, 0: the first. */
unsigned guest_os_find_cap(struct guest_os *os, uint32_t sbdf, uint8_t id, unsigned from);
/* A number for an MSI, or -ENOSPC. Its address is guest_os_msi_addr(). */
int guest_os_irq_alloc(struct guest_os *os);
uint64_t guest_os_msi_addr(void);

/* Runs the event loop until done(ctx) or for so many seconds. True: done. */
bool guest_os_wait(struct guest_os *os, bool (*done)(void *ctx), void *ctx, double seconds);
/* Lets events happen: at least one, or for so many seconds. */
void guest_os_idle(struct guest_os *os, double seconds);

#endif

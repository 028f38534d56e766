/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci_guest.h - the guest's side of PCI and of registers, for tests: accesses as a vCPU makes them through
 * the local hypervisor, and what arrives of interrupts. Used by test_pci.c, test_virtio_pci.c and
 * mmio_guest.c.
 */
#ifndef VHOST_DM_TESTS_PCI_GUEST_H
#define VHOST_DM_TESTS_PCI_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dm/guest.h"
#include "dm/local.h"

#define RIG_RAM      MIB(64)                  /* from 0, and as much from 4 GiB */
#define RIG_ECAM     ((uint64_t)0xd8000000)   /* bus 0 and 1 */
#define RIG_LOW      ((uint64_t)0xe0000000)   /* free for BARs */
#define RIG_HIGH     ((uint64_t)0x1000000000) /* free for 64-bit BARs */
#define RIG_MAX_MSIS 256
#define RIG_NR_SLOTS 32
#define RIG_NR_IRQS  16 /* of a guest with INTx; others have none */

struct rig {
    struct ev_loop *loop;
    struct hypervisor *hv;
    struct guest guest;
    bool ecam; /* the functions below use it instead of ports */
    /* What arrived: every message, and the level of each slot's line. */
    struct {
        uint64_t addr;
        uint32_t data;
    } msis[RIG_MAX_MSIS];
    unsigned nr_msis; /* may go on beyond the array */
    bool line[RIG_NR_SLOTS];
    unsigned nr_lines;          /* how often a slot's line was driven */
    bool irq_line[RIG_NR_IRQS]; /* the same for lines without PCI */
    unsigned nr_irqs;
};

/* A guest without devices; asserts that it can be made. */
void rig_start(struct rig *rig, struct pci_host host);
void rig_end(struct rig *rig);
/* With ports, INTx, free slots from 0x10: what xl's HVM guests have. With ECAM, no INTx: PVH. */
struct pci_host rig_hvm(void);
struct pci_host rig_pvh(void);

/* Configuration accesses by the way that the guest has; size 1, 2, 4, aligned. */
uint32_t cfg_read(struct rig *rig, uint32_t sbdf, unsigned reg, unsigned size);
void cfg_write(struct rig *rig, uint32_t sbdf, unsigned reg, unsigned size, uint32_t value);
/* Memory accesses, size 1, 2, 4, 8, anywhere. */
uint64_t mem_read(struct rig *rig, uint64_t gpa, unsigned size);
void mem_write(struct rig *rig, uint64_t gpa, unsigned size, uint64_t value);
/* A string instruction: len bytes in units of size. */
void mem_string(struct rig *rig, bool write, uint64_t gpa, unsigned size, void *data, size_t len);

/* Tells what a BAR is the way Linux does (decoding off, all ones, read back, restore): its length (0: none)
 * and its type bits. *is_64: it takes two registers. */
uint64_t bar_size(struct rig *rig, uint32_t sbdf, unsigned bar, uint32_t *type, bool *is_64);
/* Writes a BAR's address, low half first. */
void bar_write(struct rig *rig, uint32_t sbdf, unsigned bar, bool is_64, uint64_t addr);
/* Sets and clears bits of the command register. */
void command_set(struct rig *rig, uint32_t sbdf, uint16_t set, uint16_t clear);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_driver.h - a driver for one virtio device (virtio 1.2, sections 3.1, 4.1 and 4.2), as an operating
 * system has it: found by PCI's configuration space and capabilities or where the guest is told that it is,
 * driven by registers, interrupts and queues in guest memory. Knows no device type. Used by the tests, on top
 * of guest_os.h and driver_queue.h.
 */
#ifndef VHOST_DM_TESTS_VIRTIO_DRIVER_H
#define VHOST_DM_TESTS_VIRTIO_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/local/driver_queue.h"
#include "tests/local/guest_os.h"

#define DRIVER_MAX_QUEUES 8

/* One structure that a capability points to. */
struct driver_window {
    uint64_t gpa;
    uint32_t len; /* bytes; 0: not there */
};

struct driver_transport;

struct virtio_driver {
    const struct driver_transport *transport; /* a table of the program */
    struct guest_os *os;                      /* borrowed */
    uint16_t virtio_id;
    struct driver_window mmio; /* of virtio-mmio: its registers, without config space */
    unsigned mmio_irq;
    /* Of PCI, but device is of both. */
    uint32_t sbdf;
    uint8_t pin; /* of INTx: 1 = INTA */
    uint64_t bars[6], bar_lens[6];
    struct driver_window common, notify, isr, device;
    uint32_t notify_multiplier;
    unsigned cfg_cap;              /* offset of VIRTIO_PCI_CAP_PCI_CFG */
    unsigned msix_cap;             /* offset of the MSI-X capability */
    uint64_t msix_table, msix_pba; /* gpa */
    unsigned nr_vectors;
    int config_irq; /* -1: by a level interrupt */
    int queue_irqs[DRIVER_MAX_QUEUES];
    uint64_t config_irq_seen;
    bool isr_config, isr_queue[DRIVER_MAX_QUEUES]; /* by level: read, not yet told */
    unsigned nr_queues_max;
    /* Set by virtio_driver_start. */
    uint64_t offered, features;
    unsigned nr_queues;
    struct driver_queue queues[DRIVER_MAX_QUEUES];
    char error[160]; /* why the last function failed, for people */
};

struct driver_options {
    uint64_t features;   /* that the driver can use; VERSION_1 is always added */
    unsigned nr_queues;  /* wanted */
    uint16_t queue_size; /* wanted; 0: what the device says */
    bool msix;           /* where there is such a thing */
};

/* Finds the structures of the function at sbdf, assigns its BARs, sets up MSI-X. *drv is zeroed first. 0; or
 * negative errno and drv->error. */
int virtio_driver_probe(struct virtio_driver *drv, struct guest_os *os, uint32_t sbdf);
/* The same with one that is at gpa, with that interrupt line. */
int virtio_driver_probe_mmio(struct virtio_driver *drv, struct guest_os *os, uint64_t gpa, unsigned irq);
/* The whole of section 3.1.1: reset, negotiation, queues, DRIVER_OK. */
int virtio_driver_start(struct virtio_driver *drv, const struct driver_options *options);
/* The first half of it, up to FEATURES_OK: what the device says to these features exactly. */
int virtio_driver_negotiate(struct virtio_driver *drv, uint64_t features);
/* Writes 0 to status and waits until it reads 0, at most so many seconds: -ETIMEDOUT. */
int virtio_driver_reset(struct virtio_driver *drv, double seconds);
/* Does what an operating system does after somebody scribbled over PCI configuration: BARs, command, MSI-X
 * as they were after probe. */
void virtio_driver_restore(struct virtio_driver *drv);

/* Puts a BAR somewhere else, with whatever uses it; decoding is off meanwhile, as operating systems do. */
void virtio_driver_move_bar(struct virtio_driver *drv, unsigned bar, uint64_t gpa);

uint8_t virtio_driver_status(struct virtio_driver *drv);
void virtio_driver_status_add(struct virtio_driver *drv, uint8_t bits);
/* Device configuration space, as it is consistent: read anew when the generation changes meanwhile. */
void virtio_driver_config(struct virtio_driver *drv, unsigned offset, void *buf, size_t len);
/* A field of PCI's common configuration (VIRTIO_PCI_COMMON_*) or, whatever the transport, what comes next to
 * it; one that is not there, or not for reading, reads 0 and ignores writes. */
uint64_t virtio_driver_common_read(struct virtio_driver *drv, unsigned offset, uint8_t size);
void virtio_driver_common_write(struct virtio_driver *drv, unsigned offset, uint8_t size, uint64_t value);
/* Writes the sizes and addresses of the queue, and enables it. */
void virtio_driver_queue_program(struct virtio_driver *drv, unsigned index, uint64_t desc, uint64_t avail,
                                 uint64_t used);

/* Whether any interrupt of a queue waits to be looked at; changes nothing. */
bool virtio_driver_has_interrupt(const struct virtio_driver *drv);
/* Whether a queue asked for attention since the last time: its MSI, or the ISR. */
bool virtio_driver_queue_interrupted(struct virtio_driver *drv, unsigned index);
/* The same for a change of configuration or status. */
bool virtio_driver_config_interrupted(struct virtio_driver *drv);

#endif

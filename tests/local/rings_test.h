/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rings_test.h - a device on the local hypervisor between a driver of ours and a back-end whose rings the
 * test itself works on (the messages are answered by fake_backend.h). Used by test_types.c and test_reset.c.
 */
#ifndef VHOST_DM_TESTS_RINGS_TEST_H
#define VHOST_DM_TESTS_RINGS_TEST_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "tests/local/rig.h"
#include "tests/local/virtio_driver.h"
#include "tests/unit/fake_backend.h"

#define PATIENCE 20.0 /* seconds in which something must happen */
#define RX       0u
#define TX       1u
#define BIT(n)   (1ULL << (n))

extern struct rig_options options;
extern struct rig rig;
extern struct guest_os os;
extern struct virtio_driver driver;
extern struct fake_backend fake;

/* Before and after each test. */
void setup(void);
void teardown(void);

/* Makes the guest with a device of that type, whose back-end listens at options.devices[0].socket; the same
 * with the fake back-end. */
void boot(const char *type, uint16_t virtio_id);
void boot_fake(const char *type, uint16_t virtio_id);
/* Starts the device with nr_queues of the driver's, of which so many are the back-end's, and waits until that
 * has their rings. The same in two steps. */
void start(unsigned nr_queues, unsigned nr_backend, uint64_t features);
void driver_up(const struct driver_options *wanted);
void wait_rings(unsigned nr);

/* The back-end: ends it; forgets its memory; how often it was given memory on its connection. */
void backend_stop(void);
void memory_unmap(void);
unsigned backend_starts(void);
/* Its rings. What the address of a descriptor names. */
void *backend_at(uint64_t addr);
struct vring_desc *backend_desc(unsigned queue, unsigned i);
uint16_t backend_avail(unsigned queue);
/* The head of the chain at a position of the avail ring. */
uint16_t backend_head(unsigned queue, uint16_t pos);
/* Uses the next nr chains; whatever it likes. */
void backend_use(unsigned queue, uint16_t nr, uint32_t len);
void backend_use_raw(unsigned queue, const uint32_t *ids, unsigned nr);
void wait_avail(unsigned queue, uint16_t idx);

/* The guest's queues. Adds a chain, whose memory it returns. */
uint64_t queue_add(unsigned queue, uint32_t readable, uint32_t writable, uint32_t token);
struct harvest {
    bool came;
    unsigned queue;
    uint32_t token, len;
};
struct harvest wait_used(unsigned queue);
uint16_t guest_used_idx(unsigned queue);
bool needs_reset(void *ctx);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shmem_test.h - what the tests of shared memory regions share: a virtio-pmem device on the local hypervisor
 * whose back-end is a thread of the test (fake_backend.h) and sends the requests that the test makes up, over
 * real sockets. The guest's view is taken by accesses to the BAR, or to the window of virtio-mmio.
 */
#ifndef VHOST_DM_TESTS_SHMEM_TEST_H
#define VHOST_DM_TESTS_SHMEM_TEST_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/util.h"
#include "common/vhost_user.h"
#include "tests/local/driver_shm.h"
#include "tests/local/rig.h"
#include "tests/unit/fake_backend.h"

#define PATIENCE 20.0 /* seconds in which something must happen */
#define ALL_ONES UINT64_MAX
#define RW       VHOST_USER_MMAP_RW
#define PAGES(n) ((uint64_t)(n)*GUEST_PAGE_SIZE)

extern struct rig_options options;
extern struct rig rig;
extern struct guest_os os;
extern struct virtio_driver driver;
extern struct fake_backend fake;

/* A request of the back-end, and what came of it. */
struct request {
    uint32_t request; /* VHOST_USER_BACKEND_SHMEM_MAP or UNMAP */
    struct vhost_user_mmap mmap;
    uint32_t size; /* of the payload; 0: the right one */
    unsigned nr_fds;
    int fds[VHOST_USER_MAX_FDS];
    bool silent;     /* no answer is asked for */
    uint64_t answer; /* UINT64_MAX until there is one */
};

struct request map_request(uint8_t shmid, int fd, uint64_t fd_offset, uint64_t shm_offset, uint64_t len,
                           uint64_t flags);
struct request unmap_request(uint8_t shmid, uint64_t shm_offset, uint64_t len);

/* Before boot: the device has a region of so many bytes. Fixture: shmid 0 of 1 MiB. */
void shmem_test_setup(void);
void shmem_test_teardown(void);
/* Before boot: how the guest has the device, by PCI unless this is called. For a test that is made for each
 * transport: give it the loop's number. */
void shmem_test_by(enum device_transport transport);
#define shmem_test_add_by_transport(tcase, test) \
    tcase_add_loop_test(tcase, test, TRANSPORT_PCI, TRANSPORT_MMIO + 1)
/* Starts the back-end and the device model, and finds the device. */
void shmem_test_boot(void);
/* From now on the back-end's thread, and that of each fake back-end with the same wake, wakes the rig's loop:
 * done by shmem_test_boot / no more: before the loop goes. */
void shmem_test_watch(void);
void shmem_test_unwatch(void);
/* Starts the driver: features, queue, DRIVER_OK; waits until the back-end has all of it. */
void shmem_test_start_driver(void);

/* The back-end sends these, in order, and waits for each answer that is due; then we go on. */
void backend_requests(struct request *requests, size_t nr);
/* One request that must be done / refused. */
void backend_does(struct request request);
void backend_is_refused(struct request request);
/* In the thread of the back-end, from fake.hook: the same as backend_requests. */
void backend_requests_now(struct fake_backend *f, struct request *requests, size_t nr);

/* A memfd of so many bytes, in which the 8 bytes at offset n * 4096 + 8 * k are pattern(tag, n, k). Closed by
 * the caller. tag 0: left empty. */
int file_new(uint64_t len, unsigned tag);
uint64_t pattern(unsigned tag, uint64_t page, unsigned word);

/* The region's place now. */
uint64_t shm_gpa(uint8_t shmid);
/* Aborts unless the guest sees pattern(tag, file_page ...) in [offset, offset + nr_pages) / all ones. */
void guest_sees(uint8_t shmid, uint64_t offset, uint64_t nr_pages, unsigned tag, uint64_t file_page);
void guest_sees_nothing(uint8_t shmid, uint64_t offset, uint64_t nr_pages);

struct shmem_stats stats(void);

/* Groups of tests; each file adds its own. */
void shmem_cases_refusals(TCase *tcase);
void shmem_cases_model(TCase *tcase);
void shmem_cases_life(TCase *tcase);
void shmem_cases_files(TCase *tcase);
void shmem_cases_dma(TCase *tcase);
void shmem_cases_hostile(TCase *tcase);
void shmem_cases_terms(TCase *tcase);
void shmem_cases_told(TCase *tcase);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fake_backend.h - a vhost-user back-end in a thread of the test, which does what it is told to: right
 * answers, or one fault at a chosen message. It keeps what it was sent, for the test to look at. Built on the
 * blocking functions of the channel, so it shares no code with the front-end's state machine.
 */
#ifndef VHOST_DM_TESTS_FAKE_BACKEND_H
#define VHOST_DM_TESTS_FAKE_BACKEND_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/vhost_user_channel.h"

#define FAKE_QUEUES  64
#define FAKE_LOG_LEN 4096
#define FAKE_REGIONS 64

enum fake_fault {
    FAKE_NONE,
    FAKE_CLOSE,         /* closes instead of answering */
    FAKE_HALF,          /* sends half a reply and closes */
    FAKE_SILENT,        /* never answers, and reads no more */
    FAKE_REFUSE,        /* acknowledges with 1 */
    FAKE_WRONG_REQUEST, /* the reply is to something else */
    FAKE_WRONG_FLAGS,   /* no reply flag */
    FAKE_MORE_FLAGS,    /* reply and need-reply */
    FAKE_SHORT,         /* half of the payload */
    FAKE_LONG,          /* 8 bytes more */
    FAKE_OVERSIZE,      /* announces 1 GiB */
    FAKE_WITH_FD,       /* an fd with the reply */
    FAKE_TWICE,         /* the reply again, or a reply to what has none */
    FAKE_NR_FAULTS,
};

struct fake_ring {
    uint32_t num, base, enabled;
    struct vhost_user_vring_addr addr;
    int kick, call;
    bool started;
};

struct fake_backend {
    /* Set before fake_backend_start or between connections. */
    uint64_t features, protocol_features, nr_queues;
    uint8_t config[VHOST_USER_MAX_CONFIG];
    size_t config_len;
    uint64_t max_slots;                         /* what it answers to GET_MAX_MEM_SLOTS */
    unsigned refuse_from;                       /* of regions that are added, so many are taken; 0: all */
    uint64_t shmem_sizes[VHOST_USER_MAX_SHMEM]; /* of shared memory regions, by shmid */
    unsigned shmem_not_there;                   /* how many regions more than these it announces */
    bool config_short_form;                     /* a refused GET_CONFIG is answered with no payload at all */
    enum fake_fault fault;
    uint32_t fault_at;   /* request */
    unsigned fault_skip; /* how many of them go well before */
    /* Called in the thread before a request is answered; may be NULL. */
    void (*hook)(struct fake_backend *fake, const struct vhost_user_msg *msg);
    /* Called in the thread when something has happened; may be NULL. */
    void (*wake)(void *ctx);
    void *ctx;

    /* The connection; the thread's. */
    struct vhost_user_channel *main, *backend;
    uint64_t acked_features, acked_protocol, status;
    struct vhost_user_mem_table table; /* the last, as it came */
    /* What it has now: under the lock, while it may change. */
    pthread_mutex_t regions_lock;
    struct vhost_user_xen_region regions[FAKE_REGIONS];
    int region_fds[FAKE_REGIONS];
    atomic_uint nr_regions;
    struct fake_ring rings[FAKE_QUEUES];
    unsigned nr_resets;

    /* Requests of this connection, by number. */
    uint32_t log[FAKE_LOG_LEN];
    atomic_uint nr_log;
    atomic_uint nr_connections, nr_closed;

    char dir[32], path[48];
    int listen_fd, stop_fd, do_fd;
    void (*todo)(struct fake_backend *fake);
    atomic_bool done;
    pthread_t thread;
};

/* All features, three queues, 60 bytes of config space, no fault. */
void fake_backend_defaults(struct fake_backend *fake);
/* Listens at fake->path, and starts the thread. */
void fake_backend_start(struct fake_backend *fake);
/* Ends the thread, its connection, and removes the socket. */
void fake_backend_stop(struct fake_backend *fake);
/* Has the thread call fn when it waits for a message; fake->done is set afterwards. */
void fake_backend_do(struct fake_backend *fake, void (*fn)(struct fake_backend *fake));
/* In the thread: sends a request on the back-end channel; with an answer wanted, waits for it and returns its
 * u64. Fails the test when there is none. */
uint64_t fake_backend_request(struct fake_backend *fake, uint32_t request, uint32_t size, unsigned nr_fds,
                              bool need_reply);

#endif

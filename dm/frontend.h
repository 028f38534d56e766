/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * frontend.h - the vhost-user front-end: one connection to one back-end, as an asynchronous state machine on
 * the event loop. It owns the socket, speaks the protocol and keeps its time limits; it knows nothing of
 * guest memory, rings or transports: what is shared with the back-end is given to frontend_start as plain
 * numbers and fds. Used by dm/device.c.
 *
 *   frontend_new -> CONNECTING -> HANDSHAKE -> ready() -> IDLE
 *   IDLE -> frontend_start -> STARTING -> started() -> RUNNING
 *   STARTING, RUNNING -> frontend_stop -> STOPPING -> stopped() -> IDLE
 *   any -> lost() -> LOST -> frontend_reconnect -> CONNECTING ...
 *
 * Nothing blocks. Every reply has a time limit; what comes late, malformed or unasked ends the connection
 * with lost(), called from the event loop, never from inside a frontend_* call.
 */
#ifndef VHOST_DM_FRONTEND_H
#define VHOST_DM_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dm/shmem.h"

#define FRONTEND_MAX_QUEUES  64
#define FRONTEND_MAX_CONFIG  256  /* bytes */
#define FRONTEND_MAX_REGIONS 8    /* SET_MEM_TABLE's limit */
#define FRONTEND_MAX_SLOTS   256  /* regions in all, where the back-end takes them one by one; ours */
#define FRONTEND_REPLY_LIMIT 10.0 /* seconds for one reply, when the configuration does not say otherwise */

struct ev_loop;
struct frontend;
struct frontend_region;

struct frontend_callbacks {
    /* The handshake is over: the frontend_* questions below have their answers. */
    void (*ready)(void *ctx);
    /* The back-end has all that frontend_start said: kicks are heard. */
    void (*started)(void *ctx);
    /* The back-end uses none of the rings any more. */
    void (*stopped)(void *ctx);
    /* The connection is gone; why is for people, err a negative errno (-ECONNREFUSED, -EPROTO,
     * -ETIMEDOUT...). */
    void (*lost)(void *ctx, int err, const char *why);
    /* Shared memory regions; all NULL: SHMEM_MAP is not negotiated. The sizes by shmid, once in each
     * handshake and before any request: 0, or a negative errno and *why: the connection ends. */
    int (*shmem_config)(void *ctx, const uint64_t sizes[SHMEM_MAX_REGIONS], const char **why);
    /* VHOST_USER_BACKEND_SHMEM_MAP, _UNMAP: at any time after shmem_config, until lost(). Done when it
     * returns 0; otherwise *why is for people. The request and its fd are borrowed. */
    int (*shmem_map)(void *ctx, const struct shmem_request *request, const char **why);
    int (*shmem_unmap)(void *ctx, const struct shmem_request *request, const char **why);
    /* The driver has reset the device, the back-end has stopped its rings: all is to be unmapped. The
     * back-end is told of the reset after this, so what it maps from now on stays. Must not free the
     * front-end. */
    void (*shmem_reset)(void *ctx);
    /* A request on the back-end's own channel was refused: err is what it was answered with, why for people.
     * NULL: logged only. Must not free the front-end. */
    void (*refused)(void *ctx, uint32_t request, int err, const char *why);
    /* New config space after VHOST_USER_BACKEND_CONFIG_CHANGE_MSG; or what it has, having refused a write. */
    void (*config_changed)(void *ctx);
    /* After frontend_memory_changed: writes the regions that the back-end is to have now, at most max, and
     * returns how many. told: those that it has, of which each that is still good is to be among them. The
     * fds are borrowed until this callback's caller returns. Must not call the front-end. NULL: what
     * frontend_start was given does not change. */
    size_t (*memory)(void *ctx, const struct frontend_region *told, size_t nr_told,
                     struct frontend_region *now, size_t max);
};

struct frontend_options {
    const char *name;   /* for messages: names domain and device; copied */
    const char *socket; /* path; copied */
    /* Connects to a path and does not wait: the fd, or a negative errno as vhost_user_channel_connect; NULL:
     * that is done here. */
    int (*connect)(void *ctx, const char *socket);
    size_t config_len;      /* bytes of config space to ask for, where the back-end serves it; 0: none */
    unsigned nr_queues;     /* wanted; 0: as many as the back-end has, up to the maximum */
    unsigned queues_least;  /* of a back-end that does not say how many (without MQ); 0: 1 unit */
    unsigned queue_unit;    /* rings that one unit of GET_QUEUE_NUM means: 2 for net; 0: 1 */
    uint64_t features_mask; /* virtio features that may be negotiated with the back-end */
    double reply_limit;     /* seconds; 0: FRONTEND_REPLY_LIMIT */
    double wait_limit;      /* seconds that the back-end's socket may be missing for; 0: it must be there */
    unsigned shmem_bit;  /* protocol feature that means SHMEM_MAP to an old back-end; 0: the final one, 22 */
    bool memory_changes; /* memory comes and goes while the rings run: CONFIGURE_MEM_SLOTS is wanted */
    bool shmem_ack_always; /* an old back-end waits for an answer to each SHMEM_MAP and UNMAP, asked for or
                              not */
};

struct frontend_region {
    uint64_t gpa, len, user_addr, mmap_offset;
    uint32_t xen_flags, domid; /* with XEN_MMAP; flags 0: fd is mapped as any other file */
    uint64_t id; /* tells regions at the same place apart; 0: the back-end is of no use without it */
    int fd;
};

struct frontend_queue {
    bool enabled;               /* others are left alone */
    uint16_t size;              /* entries */
    uint16_t base;              /* avail index to begin at */
    uint64_t desc, avail, used; /* in the address space of frontend_region.user_addr */
    int kick_fd, call_fd;       /* eventfds */
};

struct frontend_start {
    uint64_t features; /* virtio features acked to the back-end, without VHOST_USER_F_PROTOCOL_FEATURES */
    size_t nr_regions;
    const struct frontend_region *regions;
    unsigned nr_queues;
    const struct frontend_queue *queues;
};

/* Begins to connect. Options are copied; callbacks and ctx are borrowed until frontend_free. 0 and *out, or
 * -EINVAL (path empty or too long, config_len or nr_queues beyond the limits above), -ENOMEM. A refused
 * connection is reported by lost(). */
int frontend_new(struct frontend **out, struct ev_loop *loop, const struct frontend_options *options,
                 const struct frontend_callbacks *callbacks, void *ctx);
/* Closes the connection and frees all; no callback comes after it. NULL is allowed. */
void frontend_free(struct frontend *fe);

/* What the back-end says that it has, whether we know it or not; as far as it was asked: also after lost().
 */
uint64_t frontend_offered(const struct frontend *fe);          /* virtio features */
uint64_t frontend_protocol_offered(const struct frontend *fe); /* protocol features */
/* After ready(). */
uint64_t frontend_features(const struct frontend *fe);          /* offered and within the mask */
uint64_t frontend_protocol_features(const struct frontend *fe); /* negotiated */
unsigned frontend_nr_queues(const struct frontend *fe);         /* how many may be started */
/* The back-end's config space: copies at most len bytes, returns how many; 0: it serves none. */
size_t frontend_config(const struct frontend *fe, void *buf, size_t len);

/* After ready(): how many regions the back-end takes. */
size_t frontend_nr_slots(const struct frontend *fe);

/* Shares memory and rings and enables them. Everything is copied or duplicated as need be. In a state other
 * than IDLE: -EBUSY; -ENOTCONN when lost; -EINVAL: more queues, regions or features than there are; -EMFILE,
 * -ENFILE, -EBADF, -ENOMEM: an fd could not be duplicated. */
int frontend_start(struct frontend *fe, const struct frontend_start *start);
/* Ends the use of all rings because the driver reset the device (the back-end is told to reset too, where it
 * negotiated a way to); stopped() follows (or lost()). -ENOTCONN when lost, -EINVAL when not started: nothing
 * follows. */
int frontend_stop(struct frontend *fe);
/* The regions that the back-end is to have are other ones now. If it has any it is told, some time later:
 * never from inside this call, and however often this was called meanwhile, of the last state alone. */
void frontend_memory_changed(struct frontend *fe);
/* After stopped(): the avail index where the back-end stopped reading a ring (VHOST_USER_GET_VRING_BASE). 0,
 * or -ENODATA for a ring that was not running. */
int frontend_queue_base(const struct frontend *fe, unsigned queue, uint16_t *base);
/* Writes config space (VHOST_USER_SET_CONFIG). -ENOTSUP where the back-end does not serve it, -EINVAL past
 * its end, -ENOBUFS when too many writes wait, -ENOTCONN when lost, -ENOMEM. That the back-end refuses a
 * value is logged, and no reason to lose it. */
int frontend_set_config(struct frontend *fe, uint32_t offset, const void *buf, size_t len);
/* After lost(): tries again from the beginning. The back-end must offer at least what it did before (features
 * used so far, queues, config length); if not it is lost again. -EBUSY when not lost. */
int frontend_reconnect(struct frontend *fe);

/* Gives the connection up because the back-end broke a rule outside this protocol (err, a negative errno, and
 * why are passed to lost(), which follows). Nothing when it is lost already. */
void frontend_drop(struct frontend *fe, int err, const char *why);

/* For status. The main channel's socket, if it is connected, which stays its own; -1: not. Why the connection
 * was lost the last time, "": it was not. */
int frontend_socket(const struct frontend *fe);
const char *frontend_why_lost(const struct frontend *fe);
const char *frontend_state_name(const struct frontend *fe);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * frontend_internal.h - what the files of the front-end share and nobody else sees:
 *
 *   frontend.c           life cycle, the public functions, the events of the loop, the callbacks
 *   frontend_jobs.c      the main channel: the messages of each job and what their replies must be
 *   frontend_steps.c     the main channel: sending them in order and taking the replies
 *   frontend_memory.c    the main channel: the messages about memory, at the start and later
 *   frontend_requests.c  the back-end channel: what the back-end asks of us
 *
 * The main channel is driven by jobs (handshake, start, stop, memory, reading and writing config space). A
 * job is a table of steps, a step is one message; at most one reply is outstanding. Public functions only
 * note which job is to be done: messages are sent, and callbacks called, from the event loop alone.
 */
#ifndef VHOST_DM_FRONTEND_INTERNAL_H
#define VHOST_DM_FRONTEND_INTERNAL_H

#include <ev.h>

#include "common/log.h"
#include "common/util.h"
#include "common/vhost_user.h"
#include "common/vhost_user_channel.h"
#include "dm/frontend.h"

/* Messages handled on one channel before other events of the loop get their turn. */
#define FRONTEND_BURST 16
/* Config writes that may wait for the back-end. */
#define FRONTEND_MAX_CONFIG_WRITES 32
#define FRONTEND_WHY_LEN           256

enum frontend_state {
    FRONTEND_CONNECTING,
    FRONTEND_HANDSHAKE,
    FRONTEND_IDLE,
    FRONTEND_STARTING,
    FRONTEND_RUNNING,
    FRONTEND_STOPPING,
    FRONTEND_LOST,
};

/* In the order in which they are taken up when several wait. */
enum frontend_job {
    FRONTEND_JOB_HANDSHAKE,
    FRONTEND_JOB_STOP,
    FRONTEND_JOB_START,
    FRONTEND_JOB_MEMORY,
    FRONTEND_JOB_CONFIG_WRITE,
    FRONTEND_JOB_CONFIG_READ,
    FRONTEND_NR_JOBS,
    FRONTEND_NO_JOB = FRONTEND_NR_JOBS,
};

/* A change of state that the owner has not been told of yet. */
enum frontend_report {
    FRONTEND_REPORT_NONE,
    FRONTEND_REPORT_READY,
    FRONTEND_REPORT_STARTED,
    FRONTEND_REPORT_STOPPED,
    FRONTEND_REPORT_LOST,
};

/* What frontend_start was given, with fds of our own; lives until the back-end has it. */
struct frontend_setup {
    uint64_t features;
    size_t nr_regions, nr_told; /* of them, how many the back-end has */
    struct frontend_region regions[FRONTEND_MAX_SLOTS];
    struct frontend_queue queues[FRONTEND_MAX_QUEUES]; /* fds are -1 in those not enabled */
};

/* What is to be said of memory in one job of that name, with fds of our own. */
struct frontend_memory_plan {
    bool table; /* all of fresh is to replace what there was, by SET_MEM_TABLE */
    size_t nr_gone, next_gone;
    struct frontend_region gone[FRONTEND_MAX_SLOTS];
    size_t nr_fresh, next_fresh;
    struct frontend_region fresh[FRONTEND_MAX_SLOTS]; /* fds before next_fresh are closed */
};

struct frontend_config_write {
    struct list_link link;
    uint32_t offset, len;
    uint8_t data[FRONTEND_MAX_CONFIG];
};

struct frontend {
    struct ev_loop *loop;
    char *name, *socket;
    size_t config_wanted;
    unsigned queues_wanted, queue_unit, queues_least;
    uint64_t features_mask;
    double reply_limit, wait_limit;
    unsigned shmem_bit;
    bool shmem_ack_always, memory_changes;
    int (*connect)(void *ctx, const char *socket); /* NULL: as usual */
    const struct frontend_callbacks *callbacks;
    void *ctx;

    enum frontend_state state;
    enum frontend_report report;
    bool config_report;
    bool config_written; /* since it was read the last time, or that was asked for */
    bool was_ready;      /* once: what the back-end offers may not shrink any more */
    int lost_err;
    char why[FRONTEND_WHY_LEN]; /* set by frontend_fail */

    /* Connection; NULL when there is none. */
    struct vhost_user_channel *main, *backend;
    int backend_peer; /* the end that SET_BACKEND_REQ_FD gives away, until it is sent; or -1 */
    ev_io main_read, main_write, backend_read, backend_write;
    ev_timer reply_timer, connect_timer;
    ev_idle work;
    ev_tstamp connect_deadline, wait_deadline;
    struct log_limit request_limit, config_limit;

    /* What was negotiated; valid from ready() on. */
    uint64_t offered, features, protocol_offered, protocol_features;
    unsigned nr_queues;
    uint8_t config[FRONTEND_MAX_CONFIG];
    size_t config_len;
    size_t nr_slots; /* regions that it takes */

    /* The main channel. */
    unsigned todo; /* bits by enum frontend_job */
    enum frontend_job job;
    unsigned step, queue;
    uint32_t awaiting;           /* the request whose reply is outstanding, or 0 */
    uint64_t progress;           /* counts replies and flushed messages */
    size_t probe_len, probe_bad; /* search for the length of config space, see frontend_jobs.c */
    struct list_link config_writes;
    unsigned nr_config_writes;
    struct frontend_setup *setup;
    size_t nr_told; /* memory that the back-end has; fds are -1 */
    struct frontend_region told[FRONTEND_MAX_SLOTS];
    struct frontend_memory_plan *plan; /* of the job that runs, or NULL */
    struct log_limit memory_limit;
    uint64_t live_queues; /* mask: got their kick fd, must be stopped by GET_VRING_BASE */
    uint64_t base_known;  /* mask: bases[] is valid */
    uint16_t bases[FRONTEND_MAX_QUEUES];
};

/* Notes why the connection must end, for frontend_end to tell; returns err. */
int frontend_fail(struct frontend *fe, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Lets the loop go on with jobs and reports as soon as it can. */
void frontend_schedule(struct frontend *fe);
/* Frees what frontend_start was given. */
void frontend_setup_free(struct frontend *fe);
/* Takes the first waiting config write off the list. */
void frontend_config_write_free(struct frontend *fe, struct frontend_config_write *w);
bool frontend_has(const struct frontend *fe, enum vhost_user_protocol_feature bit);
/* Whether SHMEM_MAP was negotiated, by whatever bit. */
bool frontend_has_shmem(const struct frontend *fe);

enum frontend_step_answer {
    FRONTEND_STEP_SILENT, /* no reply */
    FRONTEND_STEP_ACK,    /* a u64, 0 for success, if REPLY_ACK is negotiated */
    FRONTEND_STEP_REPLY,  /* always */
    FRONTEND_STEP_LOCAL,  /* no message at all: only what prepare does */
};

/* What a reply handler says besides negative errnos. */
#define FRONTEND_STEP_DONE  0
#define FRONTEND_STEP_AGAIN 1 /* the same message once more */

/* One message of a job. Steps of one group, which follow each other, are repeated together for each ring. */
struct frontend_step {
    uint32_t request; /* 0 ends the table, unless it is a FRONTEND_STEP_LOCAL */
    unsigned group;   /* 0: once */
    enum frontend_step_answer answer;
    uint32_t reply_size;                       /* of a FRONTEND_STEP_REPLY; 0: the handler checks */
    bool (*wanted)(const struct frontend *fe); /* NULL: always */
    /* Makes what the message needs; may be called again before it is sent. 0, or a negative errno with
     * fe->why set: the connection must end. NULL: nothing to do. */
    int (*prepare)(struct frontend *fe);
    /* Adds payload and fds to an empty message; NULL: none. The fds stay the front-end's. */
    void (*build)(struct frontend *fe, struct vhost_user_msg *msg);
    /* Called when the message is sent; NULL: nothing to do. */
    void (*sent)(struct frontend *fe);
    /* FRONTEND_STEP_DONE or _AGAIN, or a negative errno with fe->why set. NULL for FRONTEND_STEP_ACK:
     * anything but 0 ends the connection. */
    int (*reply)(struct frontend *fe, const struct vhost_user_msg *msg);
    /* When all is done: whether the same step is to be taken again. NULL: no. */
    bool (*more)(const struct frontend *fe);
};

/* frontend_jobs.c: tables of steps, by enum frontend_job. */
extern const struct frontend_step *const frontend_jobs[];

/* frontend_steps.c. Both: 0, or a negative errno with fe->why set: the connection must end. */
/* Sends what can be sent now, of the present job and of those that wait. */
int frontend_run(struct frontend *fe);
/* Takes the replies that have arrived, and goes on. */
int frontend_main_readable(struct frontend *fe);

/* frontend_memory.c: how much longer than for others the back-end may take for the message that is to be
 * answered, as it maps the guest's memory for it. Seconds. */
double frontend_mapping_seconds(const struct frontend *fe);
/* Of struct frontend_step, and the job of its own. */
bool frontend_has_slots(const struct frontend *fe);
int frontend_slots_reply(struct frontend *fe, const struct vhost_user_msg *msg);
void frontend_table_build(struct frontend *fe, struct vhost_user_msg *msg);
void frontend_table_sent(struct frontend *fe);
bool frontend_start_has_more(const struct frontend *fe);
void frontend_start_add_build(struct frontend *fe, struct vhost_user_msg *msg);
void frontend_start_add_sent(struct frontend *fe);
int frontend_add_reply(struct frontend *fe, const struct vhost_user_msg *msg);
extern const struct frontend_step frontend_memory_steps[];
/* Frees what a job about memory has left. */
void frontend_plan_free(struct frontend *fe);

/* frontend_requests.c */
/* Makes the pair of sockets of the back-end channel, if there is none; one end is left in fe->backend_peer. 0
 * or negative errno with fe->why set. */
int frontend_backend_open(struct frontend *fe);
void frontend_backend_close(struct frontend *fe);
/* Serves what has arrived on the back-end channel. 0, or negative errno with fe->why set. */
int frontend_backend_serve(struct frontend *fe);
/* Serves all requests that were sent before now (a bounded number): the two channels have no order, but what
 * the back-end asked for before it answered on the main channel is done before we go on from that answer. The
 * same results. */
int frontend_backend_drain(struct frontend *fe);

#endif

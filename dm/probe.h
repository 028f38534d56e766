/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe.h - `vhost-dm probe`: connects to a vhost-user back-end as a guest of the local hypervisor would,
 * needs no Xen and no root, and says what the back-end offers and which rules it breaks.
 *
 *   probe.c         the command line, and the life of a probe: connect, start, serve, stop
 *   probe_rings.c   the guest: empty queues in otherwise untouched memory, and what became of them
 *   probe_report.c  what is printed for people
 *   probe_json.c    the same as JSON
 *
 * main() calls probe_main; the rest is shared by these files alone.
 */
#ifndef VHOST_DM_PROBE_H
#define VHOST_DM_PROBE_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "dm/frontend.h"
#include "dm/guest.h"
#include "dm/shmem.h"
#include "dm/virtio_features.h"

#define PROBE_QUEUE_SIZE  64 /* entries: the fewest that a known back-end allows (vhost-device-can) */
#define PROBE_MAX_TEXTS   32 /* different ones that are kept */
#define PROBE_MAX_SAMPLES (1u << 20)

#ifdef HAVE_JSON
#define PROBE_HAS_JSON true
#else
#define PROBE_HAS_JSON false
#endif

/* Exit statuses. */
enum probe_status {
    PROBE_CLEAN = 0,
    PROBE_VIOLATIONS = 1,
    PROBE_USAGE = 2,
    PROBE_FAILED = 3, /* nothing can be said of the back-end: no connection, no memory... */
};

/* Texts of which the same is kept once. */
struct probe_texts {
    unsigned nr;
    uint64_t others; /* for which there was no room */
    struct {
        char text[256];
        uint64_t count;
    } texts[PROBE_MAX_TEXTS];
};

/* How long requests took us, in nanoseconds: the first PROBE_MAX_SAMPLES. */
struct probe_samples {
    uint64_t count, at_reset; /* so far; when the device was reset */
    uint32_t *ns;             /* owned */
    size_t nr, room;
};

struct probe_queue {
    int kick_fd, call_fd; /* owned */
    bool started;
};

struct probe {
    /* What is asked for. */
    const char *socket;
    const struct virtio_feature_type *type; /* NULL: not known */
    uint64_t memory;                        /* bytes */
    unsigned nr_queues;                     /* 0: as many as there are */
    double timeout;                         /* seconds for a reply */
    bool serve, json;
    double seconds; /* to serve for; 0: no end */

    /* The guest. */
    struct ev_loop *loop;
    struct hypervisor *hv;
    struct saved_state *saved;
    struct guest guest;
    bool guest_made;
    struct frontend *fe;
    struct shmem *shmem; /* NULL: no regions */
    struct probe_queue queues[FRONTEND_MAX_QUEUES];
    ev_timer serve_timer;
    ev_signal sigint, sigterm;

    /* What came of it. */
    bool ready, started, stopping, stopped;
    const char *why_end; /* why serving ended, for people */
    bool failed;         /* what went wrong is not the back-end's fault, and has been logged */
    uint8_t config[FRONTEND_MAX_CONFIG];
    size_t config_len;
    uint64_t config_changes;
    struct probe_samples maps, unmaps;
    struct probe_texts violations, notes;
    struct shmem_stats last_stats; /* before everything was unmapped at the end */
};

/* The whole of it; argv[0] is "probe". Returns an enum probe_status. */
int probe_main(int argc, char **argv);

void probe_violation(struct probe *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void probe_note(struct probe *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Makes the guest with its memory and its hypervisor. 0 or negative errno. */
int probe_guest_make(struct probe *p);
void probe_guest_free(struct probe *p);
/* Gives the back-end the guest's memory and nr empty queues. 0 or negative errno. */
int probe_rings_start(struct probe *p, unsigned nr);
void probe_rings_kick(struct probe *p);
/* Looks at what the back-end has done with queues and memory. */
void probe_rings_check(struct probe *p);

/* What the back-end offers; what it did. Together they are all; JSON is printed by the second alone. */
void probe_report_offer(const struct probe *p);
void probe_report_end(struct probe *p);
#ifdef HAVE_JSON
void probe_report_json(const struct probe *p);
#endif
/* Microseconds at a percentile of samples that are sorted; 0: there are none. */
double probe_samples_at(const struct probe_samples *s, unsigned percent);
/* Names of bits for both; NULL: no name. */
const char *probe_virtio_name(const struct probe *p, unsigned bit);
const char *probe_protocol_name(const struct probe *p, unsigned bit);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pmem_backend.h - vhost-user-pmem on one connection: the messages of the front-end, the shared memory region
 * that is mapped into the guest, flush requests. Used by vhost_user_pmem.c, for one front-end after another.
 */
#ifndef VHOST_DM_EXAMPLES_PMEM_BACKEND_H
#define VHOST_DM_EXAMPLES_PMEM_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

struct pmem_options {
    int memory_fd;     /* borrowed: what the guest sees */
    uint64_t len;      /* bytes of it: a multiple of pages */
    uint64_t piece;    /* bytes of one mapping: len, or less, a multiple of pages */
    bool read_only;    /* the guest may not write */
    bool no_flush;     /* what the guest has written needs no fsync() */
    bool map_at_start; /* the front-end takes no request before the ring runs */
};

enum pmem_end {
    PMEM_END_CONNECTION, /* the front-end has gone, or what it said was wrong; logged */
    PMEM_END_SIGNAL,     /* SIGTERM or SIGINT */
};

/*
 * Serves the front-end on a connected socket, which is closed at the end. signal_fd (borrowed) is a signalfd
 * for SIGTERM and SIGINT (end), SIGUSR1 (take the memory out of the guest) and SIGUSR2 (put it back).
 */
enum pmem_end pmem_backend_run(const struct pmem_options *options, int socket, int signal_fd);

/* The next signal of such a signalfd, or 0. */
int pmem_signal_take(int signal_fd);

#endif

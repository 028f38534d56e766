/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backend_process.h - a qemu-storage-daemon of our own, serving a raw image in a temporary folder: started,
 * stopped, continued, killed, started again. It ends when we do. Used by the tests.
 */
#ifndef VHOST_DM_TESTS_BACKEND_PROCESS_H
#define VHOST_DM_TESTS_BACKEND_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct backend {
    pid_t pid;    /* 0: not running */
    uint64_t len; /* bytes of the image */
    unsigned nr_queues;
    char dir[64]; /* all that follows is in here; removed by backend_free */
    char socket[96], image[96];
};

/* Whether the program is there at all. */
bool backend_is_installed(void);

/* Makes the folder and an image of zeros, len bytes. 0 or negative errno. */
int backend_init(struct backend *backend, uint64_t len, unsigned nr_queues);
void backend_free(struct backend *backend);

/* Starts the daemon: its socket can be connected to from now on. 0 or negative errno. */
int backend_start(struct backend *backend);
/* Sends SIGKILL and waits until the process is gone: its socket refuses connections from now on. */
void backend_kill(struct backend *backend);
/*
 * To be called after the daemon has lost its front-end without notice, before there is another: waits until
 * it is done with the old one, and starts it again if it did not survive that. qemu-storage-daemon 7.2 aborts
 * ("Assertion
 * `!server->wait_idle' failed") when a front-end vanishes between a kick and the requests that it is for.
 * 0; -ETIMEDOUT: it does not answer; or another negative errno.
 */
int backend_settle(struct backend *backend);
/* SIGSTOP, and waits until it has stopped; SIGCONT. */
void backend_pause(struct backend *backend);
void backend_continue(struct backend *backend);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * child.h - one process that we start, watch and end: a vhost-dm or a back-end. It lives on when we end, and
 * one that a predecessor of ours started can be adopted. Used by guest.c.
 */
#ifndef VHOST_DM_DMD_CHILD_H
#define VHOST_DM_DMD_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include <ev.h>

struct child;
/* It has ended; from the loop. status: as of waitpid(2), or -1: an adopted one, of which it is not known. */
typedef void child_ended_fn(void *ctx, struct child *child, int status);

/* Zero-initialised, there is none. */
struct child {
    struct ev_loop *loop;
    struct ev_io io;
    int pidfd;
    pid_t pid;                /* 0: none */
    unsigned long long start; /* of /proc/PID/stat: tells it from others that have had its pid */
    int gate;                 /* it waits on the other end; -1: it has gone on */
    child_ended_fn *ended;
    void *ctx;
};

/* CHILD_FD in the child is `fd` here; -1: it has none but /dev/null and our standard output and error. */
#define CHILD_FD 3

/*
 * Makes a process that will execute argv[0], a path, and waits for child_go() first: so its number can be
 * written down before anything happens. If we end before, it does nothing. env: "NAME=VALUE", or NULL. 0 or
 * negative errno.
 */
int child_start(struct child *child, struct ev_loop *loop, char *const *argv, const char *env, int fd,
                child_ended_fn *ended, void *ctx);
void child_go(struct child *child);
/* Takes on a process that is still the one which was written down. 0; -ESRCH: it is not there any more. */
int child_adopt(struct child *child, struct ev_loop *loop, pid_t pid, unsigned long long start,
                child_ended_fn *ended, void *ctx);
/* When a process began, as it is in /proc; 0: it is not there. */
unsigned long long child_start_time(pid_t pid);
bool child_runs(const struct child *child);
void child_signal(struct child *child, int signum);
/* Forgets it: it goes on, unwatched. */
void child_forget(struct child *child);

#endif

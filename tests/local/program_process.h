/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * program_process.h - a program that a test starts, and what it says: standard output and standard error come
 * to us, so that a test can wait until it has said a thing. It ends when we do. Used by the tests.
 */
#ifndef VHOST_DM_TESTS_PROGRAM_PROCESS_H
#define VHOST_DM_TESTS_PROGRAM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct program {
    pid_t pid;  /* 0: not running */
    int out_fd; /* what it says; -1: closed */
    char *said; /* owned: all of it so far, with a null character */
    size_t len;
    size_t looked; /* how much of it program_expect has passed */
};

/* Whether a program of that name is in PATH, or, with a slash, at that place. */
bool program_is_installed(const char *name);
/* Starts argv[0] (found as above). *p needs no initialisation. 0 or negative errno. */
int program_start(struct program *p, const char *const *argv);
/* Waits until it has said text, after what was waited for before. False: not within so many seconds, or it
 * has ended. */
bool program_expect(struct program *p, const char *text, double seconds);
/* Waits until it ends: its exit status, or 128 + signal; -1: it did not within so many seconds. */
int program_wait(struct program *p, double seconds);
/* SIGKILL, and waits until it is gone; frees all. Nothing when it was never started (zeros). */
void program_end(struct program *p);

#endif

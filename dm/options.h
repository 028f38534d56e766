/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options.h - the command line of vhost-dm, read strictly. Used by main() and by tests.
 */
#ifndef VHOST_DM_OPTIONS_H
#define VHOST_DM_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dm/device.h"

#define OPTIONS_DEVICE_LEN  2048 /* bytes of a --device with the final NUL */
#define OPTIONS_MAX_DEVICES 31   /* bus 0 has no more slots to give */
#define OPTIONS_USER_AUTO   ((uid_t)-1)
/* Domain N's user is this and N: beyond those that systemd gives to containers (UIDS-GIDS of systemd), below
 * those that are negative to somebody. */
#define OPTIONS_USER_FIRST        2000000000u
#define OPTIONS_DEFAULT_STATE_DIR "/run/vhost-dm"

struct options {
    const char *domain; /* number or name */
    bool wait;
    uint64_t shm_limit; /* bytes of shared pages; 0: none are handed out */
    const char *state_dir;
    int ready_fd; /* -1: none */
    bool confined;
    uid_t user; /* when confined; OPTIONS_USER_AUTO: one for each domain */
    size_t nr_devices;
    struct device_options devices[OPTIONS_MAX_DEVICES];
    const char *device_texts[OPTIONS_MAX_DEVICES]; /* as they were written */
};

enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_ERROR };

/*
 * Reads the command line. OPTIONS_RUN: *options is complete (its strings are argv's). OPTIONS_DONE: --help or
 * --version was answered. OPTIONS_ERROR: one line that says what is wrong and what is allowed has been
 * logged.
 */
enum options_result options_parse(struct options *options, int argc, char **argv);

/* Reads one KEY=VALUE,... list. 0, or -EINVAL and a message for people in why. options_device.c; for tests
 * too. */
int options_parse_device(struct device_options *device, const char *text, char *why, size_t why_len);
/* Whether KEY=VALUE can stand in such a list, for who makes one of lines. 0, or -EINVAL and why. */
int options_check_pair(const char *key, const char *value, char *why, size_t why_len);

/* A whole non-negative number up to max, decimal or 0x..., with suffixes an optional K, M or G. */
bool options_number(const char *text, bool suffixes, unsigned long long max, unsigned long long *value);

#endif

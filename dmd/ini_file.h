/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ini_file.h - reads a configuration file, strictly and within bounds, line by line. inih does the parsing;
 * this adds what it does not tell: the line, lines that are too long, sections with nothing in them. Used by
 * configuration.c and templates.c.
 */
#ifndef VHOST_DM_DMD_INI_FILE_H
#define VHOST_DM_DMD_INI_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct ini_line {
    const char *section; /* "" before the first */
    const char *key;     /* NULL: the section begins here */
    const char *value;
    int number;
    bool more; /* begins with a blank: goes on with the value of the key before */
};

/* One line; the strings are good for the call only. 0, or negative and why, which ends the reading. */
typedef int ini_line_fn(void *ctx, const struct ini_line *line, char *why, size_t why_len);

/*
 * Reads the file. 0; -ENOENT: there is no such file; -EINVAL or another negative errno, and why: one line for
 * people, which begins with the file and the line.
 */
int ini_file_read(const char *path, ini_line_fn *fn, void *ctx, char *why, size_t why_len);
/* Reads what can be read of a file that has mistakes: lines that are wrong are left out, and those that fn
 * does not want. For what counts although there are mistakes. */
void ini_file_skim(const char *path, ini_line_fn *fn, void *ctx);

#endif

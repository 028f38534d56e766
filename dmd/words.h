/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * words.h - lists of words: a text split into an argument vector, without any shell, and words with {NAME} in
 * them filled in. Used by the configuration, the templates and who starts processes.
 */
#ifndef VHOST_DM_DMD_WORDS_H
#define VHOST_DM_DMD_WORDS_H

#include <stddef.h>

#define WORDS_MAX 128 /* in a list */

/* A growing list, ended by NULL, as execv() wants it. Zero-initialised, it is empty. */
struct words {
    char **word; /* NULL when empty */
    size_t n;
};

/* Adds a copy. 0, -ENOMEM or -E2BIG. */
int words_add(struct words *words, const char *word);
/* Frees the words and leaves an empty list. */
void words_free(struct words *words);

/* Adds what is in text, split at blanks; parts in "double quotes" keep theirs. 0, -EINVAL (quotes that do not
 * end) or as words_add. */
int words_split(struct words *words, const char *text);

/* The value of a name, or NULL if there is none. */
typedef const char *words_value_fn(void *ctx, const char *name);
/*
 * Adds text as one word, with each {NAME} replaced by its value, whole and as it is, and each {,NAME} by its
 * value with every comma twice, as QEMU's option lists want it. 0; -ENOENT: a name has no value, and it is in
 * missing; -EINVAL: braces that make no sense, or a word that is too long; or as words_add.
 */
int words_add_filled(struct words *words, const char *text, words_value_fn *value, void *ctx, char *missing,
                     size_t missing_len);

#endif

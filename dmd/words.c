// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * words.c - see words.h.
 */
#include "dmd/words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX     4096 /* bytes with the NUL, of a word that is filled in */
#define NAME_MAX_LEN 49

int words_add(struct words *words, const char *word)
{
    char **grown, *copy;

    if (words->n == WORDS_MAX)
        return -E2BIG;
    grown = realloc(words->word, (words->n + 2) * sizeof(*grown));
    if (grown == NULL)
        return -ENOMEM;
    words->word = grown;
    grown[words->n] = NULL;
    copy = strdup(word);
    if (copy == NULL)
        return -ENOMEM;
    grown[words->n++] = copy;
    grown[words->n] = NULL;
    return 0;
}

void words_free(struct words *words)
{
    for (size_t i = 0; i < words->n; i++)
        free(words->word[i]);
    free(words->word);
    *words = (struct words){0};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

int words_split(struct words *words, const char *text)
{
    size_t room = strlen(text) + 1;
    char *word = malloc(room);
    int rc = word != NULL ? 0 : -ENOMEM;

    while (rc == 0) {
        size_t len = 0;
        bool quoted = false;

        while (is_blank(*text))
            text++;
        if (*text == '\0')
            break;
        for (; *text != '\0' && (quoted || !is_blank(*text)); text++) {
            if (*text == '"')
                quoted = !quoted;
            else
                word[len++] = *text;
        }
        word[len] = '\0';
        rc = quoted ? -EINVAL : words_add(words, word);
    }
    free(word);
    return rc;
}

/* Appends to a word of WORD_MAX bytes. */
static int append(char *out, size_t *len, const char *value, size_t n, bool commas_twice)
{
    for (size_t i = 0; i < n; i++) {
        size_t times = commas_twice && value[i] == ',' ? 2 : 1;

        if (*len + times >= WORD_MAX)
            return -EINVAL;
        while (times-- > 0)
            out[(*len)++] = value[i];
    }
    out[*len] = '\0';
    return 0;
}

int words_add_filled(struct words *words, const char *text, words_value_fn *value, void *ctx, char *missing,
                     size_t missing_len)
{
    char out[WORD_MAX] = "", name[NAME_MAX_LEN + 1];
    size_t len = 0;
    int rc = 0;

    while (*text != '\0' && rc == 0) {
        size_t plain = strcspn(text, "{}");
        const char *end, *found;
        bool commas_twice;

        rc = append(out, &len, text, plain, false);
        text += plain;
        if (*text == '\0' || rc != 0)
            break;
        commas_twice = text[0] == '{' && text[1] == ',';
        text += 1 + commas_twice;
        end = strchr(text, '}');
        if (text[-1 - commas_twice] == '}' || end == NULL || end == text || end - text > NAME_MAX_LEN)
            return -EINVAL;
        snprintf(name, sizeof(name), "%.*s", (int)(end - text), text);
        found = value(ctx, name);
        if (found == NULL) {
            snprintf(missing, missing_len, "%s", name);
            return -ENOENT;
        }
        rc = append(out, &len, found, strlen(found), commas_twice);
        text = end + 1;
    }
    return rc != 0 ? rc : words_add(words, out);
}

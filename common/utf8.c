// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * utf8.c - see utf8.h.
 */
#include "common/utf8.h"

#include <stddef.h>

#include "common/util.h"

/* The first bytes of a character of several, what its second byte may be, and how many there are (RFC 3629,
 * 4). */
static const struct {
    unsigned char first, last, second_first, second_last, len;
} characters[] = {
    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
    {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
    {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

/* Bytes of the character that is there; 0: none is. */
static size_t character_len(const unsigned char *at)
{
    size_t i = 0, len;

    if (at[0] < 0x80)
        return 1;
    while (i < ARRAY_SIZE(characters) && (at[0] < characters[i].first || at[0] > characters[i].last))
        i++;
    if (i == ARRAY_SIZE(characters) || at[1] < characters[i].second_first ||
        at[1] > characters[i].second_last)
        return 0;
    for (len = 2; len < characters[i].len; len++)
        if ((at[len] & 0xc0) != 0x80)
            return 0;
    return len;
}

void utf8_clean(char *text)
{
    while (*text != '\0') {
        size_t len = character_len((const unsigned char *)text);

        if (len == 0)
            *text = '?';
        text += len > 0 ? len : 1;
    }
}

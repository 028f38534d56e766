// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * own_malloc.c - a malloc that a program brings along, as some do: each piece is a mapping of its own, that
 * goes when it is freed. Linked to shm_user.c.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HEAD 64 /* bytes in front, for the length; pieces are aligned by as much */

void *malloc(size_t len)
{
    char *at = mmap(NULL, len + HEAD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        return NULL;
    *(size_t *)(void *)at = len;
    return at + HEAD;
}

void free(void *piece)
{
    char *at = piece;

    if (at != NULL)
        munmap(at - HEAD, *(size_t *)(void *)(at - HEAD) + HEAD);
}

void *calloc(size_t nr, size_t len)
{
    return malloc(nr * len);
}

void *realloc(void *piece, size_t len)
{
    void *other = malloc(len);
    size_t old = piece != NULL ? *(size_t *)(void *)((char *)piece - HEAD) : 0;

    if (other != NULL && old > 0)
        memcpy(other, piece, old < len ? old : len);
    if (other != NULL)
        free(piece);
    return other;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * map.c - the guest's address space drawn as text, lowest address first: a box for each region, dots for
 * holes, and in the box of a shared memory region a bar that shows where something is mapped, by a letter for
 * how.
 */
#include "ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"

#define WIDTH      56 /* between the sides of a box */
#define NO_ADDRESS "              "

static const struct {
    const char *placement;
    char letter;
} letters[] = {{"foreign", 'f'}, {"device", 'd'}, {"copy", 'c'}, {"trap", 't'}};

static char letter_of(const char *placement)
{
    for (size_t i = 0; i < ARRAY_SIZE(letters); i++)
        if (strcmp(letters[i].placement, placement) == 0)
            return letters[i].letter;
    return '?';
}

static void draw_edge(uint64_t gpa)
{
    char line[WIDTH + 1];

    memset(line, '-', WIDTH);
    line[WIDTH] = '\0';
    printf("0x%012" PRIx64 " +%s+\n", gpa, line);
}

/* A line of a box: what at the left, size at the right. */
static void draw_line(const char *side, const char *what, const char *size)
{
    ctl_print("%s %s %-*s%*s %s\n", NO_ADDRESS, side, WIDTH - 12, what, 10, size, side);
}

static void draw_hole(uint64_t from, uint64_t to)
{
    if (to > from)
        draw_line(":", "nothing of the guest's memory or of ours", ctl_size(to - from));
}

/* One mapping into the bar of its window. Where several share a place, the last one is shown. */
static void bar_mark(char *bar, struct json_object *window, struct json_object *mapping)
{
    uint64_t len = ctl_number(window, "bytes"), offset = ctl_hex(mapping, "gpa") - ctl_hex(window, "gpa");
    uint64_t unit = len / WIDTH > 0 ? len / WIDTH : 1;
    uint64_t first = offset / unit, last = (offset + ctl_number(mapping, "bytes") - 1) / unit;

    for (uint64_t i = first; i <= last && i < WIDTH; i++)
        bar[i] = letter_of(ctl_string(mapping, "placement"));
}

/* Draws what is mapped in the window at position at; returns how many entries that took. */
static size_t draw_mappings(struct json_object *regions, size_t at)
{
    struct json_object *window = json_object_array_get_idx(regions, at);
    uint64_t nr[ARRAY_SIZE(letters)] = {0}, bytes[ARRAY_SIZE(letters)] = {0};
    char bar[WIDTH + 1], what[64];
    size_t i;

    memset(bar, '.', WIDTH);
    bar[WIDTH] = '\0';
    for (i = at + 1; i < json_object_array_length(regions); i++) {
        struct json_object *m = json_object_array_get_idx(regions, i);

        if (strcmp(ctl_string(m, "kind"), "mapping") != 0)
            break;
        bar_mark(bar, window, m);
        for (size_t l = 0; l < ARRAY_SIZE(letters); l++)
            if (strcmp(letters[l].placement, ctl_string(m, "placement")) == 0) {
                nr[l]++;
                bytes[l] += ctl_number(m, "bytes");
            }
    }
    printf("%s |%s|\n", NO_ADDRESS, bar);
    for (size_t l = 0; l < ARRAY_SIZE(letters); l++) {
        if (nr[l] == 0)
            continue;
        snprintf(what, sizeof(what), "  %c: %" PRIu64 " mapped as %s", letters[l].letter, nr[l],
                 letters[l].placement);
        draw_line("|", what, ctl_size(bytes[l]));
    }
    return i - at - 1;
}

static void name_of(struct json_object *r, char *what, size_t len)
{
    const char *kind = ctl_string(r, "kind");

    if (strcmp(kind, "ram") == 0)
        snprintf(what, len, "RAM");
    else if (strcmp(kind, "registers") == 0)
        snprintf(what, len, "registers of %.20s", ctl_string(r, "device"));
    else if (strcmp(kind, "pci-configuration") == 0)
        snprintf(what, len, "PCI configuration space (ECAM)");
    else if (strcmp(kind, "hot-plug") == 0)
        snprintf(what, len, "what is new, for the guest's ACPI");
    else
        snprintf(what, len, "shared memory %" PRIu64 " of %.20s", ctl_number(r, "shmid"),
                 ctl_string(r, "device"));
}

void ctl_map(struct json_object *regions)
{
    uint64_t end = 0;
    char what[64];

    for (size_t i = 0; i < json_object_array_length(regions); i++) {
        struct json_object *r = json_object_array_get_idx(regions, i);
        uint64_t gpa = ctl_hex(r, "gpa");

        if (gpa > end) {
            draw_edge(end);
            draw_hole(end, gpa);
        }
        draw_edge(gpa);
        name_of(r, what, sizeof(what));
        draw_line("|", what, ctl_size(ctl_number(r, "bytes")));
        end = gpa + ctl_number(r, "bytes");
        if (strcmp(ctl_string(r, "kind"), "window") == 0)
            i += draw_mappings(regions, i);
    }
    if (end > 0)
        draw_edge(end);
}

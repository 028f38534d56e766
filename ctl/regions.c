// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * regions.c - "vhost-dmctl regions": what is where in the guest's address space, as vhost-dm sees it.
 */
#include "ctl/ctl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"

#define ANSWER_SECONDS 30

/* Answers come in parts. NULL: said why. */
static struct json_object *ask_regions(struct ctl_connection *c)
{
    struct json_object *all = json_object_new_array(), *answer;
    bool more = true;
    char *from = NULL;

    while (more) {
        struct json_object *request = ctl_request("regions"), *next;

        if (from != NULL)
            json_object_object_add(request, "from", json_object_new_string(from));
        answer = ctl_ask(c, request, ANSWER_SECONDS);
        free(from);
        from = NULL;
        if (answer == NULL) {
            json_object_put(all);
            return NULL;
        }
        for (size_t i = 0; i < ctl_nr(answer, "regions"); i++)
            json_object_array_add(all, json_object_get(ctl_at(answer, "regions", i)));
        more = json_object_object_get_ex(answer, "next", &next) &&
               (from = strdup(ctl_string(answer, "next"))) != NULL;
        json_object_put(answer);
    }
    return all;
}

static void print_table(struct json_object *all)
{
    static const char *const headings[] = {"<FIRST",  "<LAST", "SIZE",      "<WHAT",
                                           "<DEVICE", "SHMID", "<PLACEMENT"};
    struct ctl_table *table = ctl_table_new(ARRAY_SIZE(headings), headings);

    for (size_t i = 0; i < json_object_array_length(all); i++) {
        struct json_object *r = json_object_array_get_idx(all, i);
        uint64_t gpa = ctl_hex(r, "gpa"), bytes = ctl_number(r, "bytes");
        bool mapping = ctl_string(r, "placement")[0] != '\0';

        ctl_table_add(table, "0x%012" PRIx64, gpa);
        ctl_table_add(table, "0x%012" PRIx64, gpa + (bytes - 1));
        ctl_table_add(table, "%s", ctl_size(bytes));
        ctl_table_add(table, "%s%s", mapping ? "  " : "", ctl_string(r, "kind"));
        ctl_table_add(table, "%s", ctl_string(r, "device"));
        if (json_object_object_get_ex(r, "shmid", NULL))
            ctl_table_add(table, "%" PRIu64, ctl_number(r, "shmid"));
        else
            ctl_table_add(table, "%s", "");
        ctl_table_add(table, "%s%s", ctl_string(r, "placement"),
                      mapping && !ctl_bool(r, "writable") ? ", read-only" : "");
    }
    ctl_table_print(table, "");
}

int ctl_regions(const struct ctl_options *options)
{
    struct ctl_connection *c = ctl_connect(options);
    struct json_object *all = c != NULL ? ask_regions(c) : NULL;

    ctl_close(c);
    if (all == NULL)
        return EXIT_FAILURE;
    if (options->json)
        ctl_print_json(all);
    else if (options->map)
        ctl_map(all);
    else
        print_table(all);
    json_object_put(all);
    return EXIT_SUCCESS;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * list.c - "vhost-dmctl list": of all guests a line for each device, of one guest all that is known.
 */
#include "ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"

#define ANSWER_SECONDS 30

/* ---- all guests --------------------------------------------------------------------------------- */

static uint64_t queues_sum(struct json_object *device, const char *key)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < ctl_nr(device, "queues"); i++)
        sum += ctl_number(ctl_at(device, "queues", i), key);
    return sum;
}

/* What the guest's driver makes of it, in a word. */
static const char *driver_word(struct json_object *device)
{
    struct json_object *driver = ctl_object(device, "driver");
    uint64_t status = ctl_number(driver, "status");

    return driver == NULL                    ? "-"
           : ctl_bool(driver, "needs_reset") ? "needs reset"
           : ctl_bool(driver, "resetting")   ? "resetting"
           : status & 0x80 /* FAILED */      ? "failed"
           : status & 0x04 /* DRIVER_OK */   ? "up"
           : status != 0                     ? "starting"
                                             : "none";
}

/* Nobody counts what goes by, where the back-end serves the driver's own rings. */
static bool is_counted(struct json_object *queue)
{
    return json_object_object_get_ex(queue, "requests", NULL);
}

static void add_number(struct ctl_table *table, bool counted, uint64_t number)
{
    if (counted)
        ctl_table_add(table, "%" PRIu64, number);
    else
        ctl_table_add(table, "-");
}

static void add_row(struct ctl_table *table, struct json_object *guest, struct json_object *device)
{
    struct json_object *backend = ctl_object(device, "backend");
    bool counted = ctl_nr(device, "queues") == 0 || is_counted(ctl_at(device, "queues", 0));

    ctl_table_add(table, "%s", ctl_string(guest, "name"));
    ctl_table_add(table, "%" PRIu64, ctl_number(guest, "domid"));
    ctl_table_add(table, "%s", ctl_string(device, "name"));
    ctl_table_add(table, "%s", ctl_string(device, "place")[0] != '\0' ? ctl_string(device, "place") : "-");
    ctl_table_add(table, "%s", driver_word(device));
    if (ctl_string(backend, "command")[0] != '\0')
        ctl_table_add(table, "%s %" PRIu64, ctl_string(backend, "command"), ctl_number(backend, "pid"));
    else
        ctl_table_add(table, "%s", ctl_string(backend, "connection"));
    add_number(table, counted, queues_sum(device, "requests"));
    ctl_table_add(table, "%s", counted ? ctl_size(queues_sum(device, "bytes_from_guest")) : "-");
    ctl_table_add(table, "%s", counted ? ctl_size(queues_sum(device, "bytes_to_guest")) : "-");
    add_number(table, counted, queues_sum(device, "in_flight"));
    ctl_table_add(table, "%s", ctl_string(backend, "socket"));
}

static void print_table(struct json_object *all)
{
    static const char *const headings[] = {"<GUEST",   "DOM",       "<DEVICE",  "<PLACE",
                                           "<DRIVER",  "<BACK-END", "REQUESTS", "FROM GUEST",
                                           "TO GUEST", "IN FLIGHT", "<SOCKET"};
    struct ctl_table *table = ctl_table_new(ARRAY_SIZE(headings), headings);

    for (size_t i = 0; i < json_object_array_length(all); i++) {
        struct json_object *answer = json_object_array_get_idx(all, i);

        for (size_t d = 0; d < ctl_nr(answer, "devices"); d++)
            add_row(table, ctl_object(answer, "guest"), ctl_at(answer, "devices", d));
    }
    ctl_table_print(table, "");
}

/* ---- one guest ---------------------------------------------------------------------------------- */

#define LABEL "  %-15s "

static void print_names(const char *label, struct json_object *o, const char *key)
{
    printf(LABEL, label);
    for (size_t i = 0; i < ctl_nr(o, key); i++)
        ctl_print("%s%s", i > 0 ? " " : "", json_object_get_string(ctl_at(o, key, i)));
    puts(ctl_nr(o, key) == 0 ? "none" : "");
}

static void print_backend(struct json_object *device)
{
    struct json_object *backend = ctl_object(device, "backend");

    ctl_print(LABEL, "back-end");
    if (ctl_number(backend, "pid") != 0)
        ctl_print("%s (process %" PRIu64 ") at ", ctl_string(backend, "command"), ctl_number(backend, "pid"));
    ctl_print("%s: %s\n", ctl_string(backend, "socket"), ctl_string(backend, "connection"));
    if (ctl_string(backend, "last_trouble")[0] != '\0')
        ctl_print(LABEL "%s\n", "last trouble", ctl_string(backend, "last_trouble"));
}

static void print_queues(struct json_object *device)
{
    static const char *const headings[] = {"queue",         "size",      "<enabled",   "requests",
                                           "refused",       "in flight", "from guest", "to guest",
                                           "notifications", "interrupts"};
    struct ctl_table *table = ctl_table_new(ARRAY_SIZE(headings), headings);

    for (size_t i = 0; i < ctl_nr(device, "queues"); i++) {
        struct json_object *q = ctl_at(device, "queues", i);

        ctl_table_add(table, "%" PRIu64, ctl_number(q, "index"));
        ctl_table_add(table, "%" PRIu64, ctl_number(q, "size"));
        ctl_table_add(table, "%s", ctl_bool(q, "enabled") ? "yes" : "no");
        add_number(table, is_counted(q), ctl_number(q, "requests"));
        add_number(table, is_counted(q), ctl_number(q, "refused"));
        add_number(table, is_counted(q), ctl_number(q, "in_flight"));
        ctl_table_add(table, "%s", is_counted(q) ? ctl_size(ctl_number(q, "bytes_from_guest")) : "-");
        ctl_table_add(table, "%s", is_counted(q) ? ctl_size(ctl_number(q, "bytes_to_guest")) : "-");
        ctl_table_add(table, "%" PRIu64, ctl_number(q, "notifications"));
        ctl_table_add(table, "%" PRIu64, ctl_number(q, "interrupts"));
    }
    ctl_table_print(table, "  ");
}

static void print_region(struct json_object *region)
{
    ctl_print("  shared memory %" PRIu64 " %s at %s\n", ctl_number(region, "shmid"),
              ctl_size(ctl_number(region, "bytes")),
              ctl_string(region, "gpa")[0] != '\0' ? ctl_string(region, "gpa") : "no address yet");
    for (size_t i = 0; i < ctl_nr(region, "mapped"); i++) {
        struct json_object *mapped = ctl_at(region, "mapped", i);
        const char *why = ctl_string(mapped, "why_no_better");

        ctl_print("    %" PRIu64 " mappings, %s, placed as %s%s%s%s\n", ctl_number(mapped, "mappings"),
                  ctl_size(ctl_number(mapped, "bytes")), ctl_string(mapped, "placement"),
                  why[0] != '\0' ? " (" : "", why, why[0] != '\0' ? ")" : "");
    }
}

static void print_shmem(struct json_object *device)
{
    struct json_object *shared = ctl_object(device, "shared_memory");

    if (shared == NULL)
        return;
    for (size_t i = 0; i < ctl_nr(shared, "regions"); i++)
        print_region(ctl_at(shared, "regions", i));
    ctl_print("    so far %" PRIu64 " maps, %" PRIu64 " unmaps, %" PRIu64
              " refused; the guest touched %" PRIu64 " times what is not mapped, %" PRIu64
              " times what the file no longer has\n",
              ctl_number(shared, "maps"), ctl_number(shared, "unmaps"), ctl_number(shared, "refused"),
              ctl_number(shared, "accesses_where_nothing_is_mapped"),
              ctl_number(shared, "accesses_where_the_file_has_shrunk"));
}

static void print_device(struct json_object *device)
{
    struct json_object *memory = ctl_object(device, "memory");

    ctl_print("\n%s: %s, %s %s, %s%s\n", ctl_string(device, "name"), ctl_string(device, "type"),
              ctl_string(device, "transport"), ctl_string(device, "place"), ctl_string(device, "state"),
              ctl_bool(device, "added_while_running") ? ", added while the guest ran" : "");
    print_backend(device);
    if (ctl_object(device, "driver") == NULL)
        return;
    ctl_print(LABEL "%s\n", "driver", driver_word(device));
    print_names("status", ctl_object(device, "driver"), "status_names");
    print_names("features", ctl_object(device, "features_used"), "names");
    print_names("of those offered", ctl_object(device, "features_offered"), "names");
    ctl_print(LABEL "%s (%s); data path %s\n", "memory", ctl_string(memory, "mode"),
              ctl_string(memory, "why"), ctl_string(device, "data_path"));
    if (json_object_object_get_ex(memory, "regions", NULL))
        ctl_print(LABEL "%" PRIu64 " regions; %" PRIu64 " mappings of other devices not among them\n",
                  "the back-end's", ctl_number(memory, "regions"), ctl_number(memory, "mappings_not_told"));
    print_queues(device);
    print_shmem(device);
}

static void print_guest(struct json_object *answer)
{
    struct json_object *guest = ctl_object(answer, "guest");

    ctl_print("%s: dom %" PRIu64 ", %s; %" PRIu64 " accesses, of them %" PRIu64 " where nothing is\n",
              ctl_string(guest, "name"), ctl_number(guest, "domid"), ctl_string(guest, "type"),
              ctl_number(guest, "accesses"), ctl_number(guest, "stray_accesses"));
    for (size_t d = 0; d < ctl_nr(answer, "devices"); d++)
        print_device(ctl_at(answer, "devices", d));
}

/* ---- the command -------------------------------------------------------------------------------- */

static struct json_object *ask_list(const struct ctl_options *options)
{
    struct ctl_connection *c = ctl_connect(options);
    struct json_object *answer = c != NULL ? ctl_ask(c, ctl_request("list"), ANSWER_SECONDS) : NULL;

    ctl_close(c);
    if (answer != NULL)
        json_object_object_del(answer, "ok");
    return answer;
}

/* Names alone, a line each: what shells complete with. */
static void print_only_names(struct json_object *all, bool devices)
{
    for (size_t i = 0; i < json_object_array_length(all); i++) {
        struct json_object *answer = json_object_array_get_idx(all, i);

        if (!devices)
            ctl_print("%s\n", ctl_string(ctl_object(answer, "guest"), "name"));
        for (size_t d = 0; devices && d < ctl_nr(answer, "devices"); d++)
            ctl_print("%s\n", ctl_string(ctl_at(answer, "devices", d), "name"));
    }
}

/* Asks all; one that does not answer has been complained of and does not hide the others. */
static int ask_all(const struct ctl_options *options, struct json_object *all)
{
    unsigned *domids;
    int nr = ctl_guests(options, &domids), failed = nr < 0;

    for (int i = 0; i < nr; i++) {
        struct ctl_options one = *options;
        struct json_object *answer;
        char number[16];

        snprintf(number, sizeof(number), "%u", domids[i]);
        one.guest = number;
        answer = ask_list(&one);
        if (answer != NULL)
            json_object_array_add(all, answer);
        else
            failed = 1;
    }
    free(domids);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int ctl_list(const struct ctl_options *options)
{
    struct json_object *all = json_object_new_array();
    int status = EXIT_FAILURE;

    if (options->guest == NULL) {
        status = ask_all(options, all);
    } else {
        struct json_object *answer = ask_list(options);

        if (answer != NULL) {
            json_object_array_add(all, answer);
            status = EXIT_SUCCESS;
        }
    }
    if (options->json && (options->guest == NULL || status == EXIT_SUCCESS))
        ctl_print_json(options->guest != NULL ? json_object_array_get_idx(all, 0) : all);
    else if (options->names)
        print_only_names(all, options->guest != NULL);
    else if (options->guest == NULL && json_object_array_length(all) > 0)
        print_table(all);
    else if (options->guest != NULL && status == EXIT_SUCCESS)
        print_guest(json_object_array_get_idx(all, 0));
    json_object_put(all);
    return status;
}

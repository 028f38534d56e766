// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * change.c - "vhost-dmctl add", "remove" and "trace".
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REMOVE_SECONDS 60

static int finish(const struct ctl_options *options, struct json_object *answer)
{
    if (answer == NULL)
        return EXIT_FAILURE;
    if (options->json) {
        json_object_object_del(answer, "ok");
        ctl_print_json(answer);
    }
    return EXIT_SUCCESS;
}

int ctl_add(const struct ctl_options *options)
{
    struct ctl_connection *c = ctl_connect(options);
    struct json_object *request = ctl_request("add"), *answer = NULL;
    int status;

    json_object_object_add(request, "device", json_object_new_string(options->argument));
    if (c != NULL && ctl_grant(options, c, options->argument))
        answer = ctl_ask(c, request, 0); /* its back-end may be waited for: wait= */
    else
        json_object_put(request);
    ctl_close(c);
    status = finish(options, answer);
    if (status == EXIT_SUCCESS && !options->json)
        ctl_print("%s is at %s; %s%s\n", ctl_string(answer, "name"), ctl_string(answer, "place"),
                  ctl_bool(answer, "guest_is_told")
                      ? "the guest is told; if it does not look by itself, type there: "
                      : "so that the guest sees it, type there: ",
                  ctl_string(answer, "in_the_guest"));
    json_object_put(answer);
    return status;
}

int ctl_remove(const struct ctl_options *options)
{
    struct ctl_connection *c = ctl_connect(options);
    struct json_object *request = ctl_request("remove"), *answer = NULL;
    int status;

    json_object_object_add(request, "name", json_object_new_string(options->argument));
    json_object_object_add(request, "force", json_object_new_boolean(options->force));
    json_object_object_add(request, "now", json_object_new_boolean(options->now));
    if (c != NULL)
        answer = ctl_ask(c, request, REMOVE_SECONDS);
    else
        json_object_put(request);
    ctl_close(c);
    status = finish(options, answer);
    if (status == EXIT_SUCCESS && !options->json && ctl_bool(answer, "waits_for_driver"))
        ctl_print("%s has no back-end any more, and goes when the guest's driver lets go of it%s%s\n",
                  ctl_string(answer, "name"),
                  ctl_bool(answer, "guest_is_told") ? ", as it is asked to; if it does not, type there: "
                                                    : "; type there: ",
                  ctl_string(answer, "in_the_guest"));
    else if (status == EXIT_SUCCESS && !options->json)
        ctl_print("%s is removed\n", ctl_string(answer, "name"));
    json_object_put(answer);
    return status;
}

/* ---- trace -------------------------------------------------------------------------------------- */

static void print_message(struct json_object *message)
{
    struct json_object *value;
    double when;
    time_t seconds;
    struct tm tm;
    char text[32];

    if (json_object_object_get_ex(message, "dropped", NULL)) {
        ctl_print("(%" PRIu64 " messages were left out: they came faster than they were read)\n",
                  ctl_number(message, "dropped"));
        return;
    }
    when = json_object_object_get_ex(message, "time", &value) ? json_object_get_double(value) : 0;
    seconds = (time_t)when;
    if (localtime_r(&seconds, &tm) == NULL || strftime(text, sizeof(text), "%H:%M:%S", &tm) == 0)
        text[0] = '\0';
    ctl_print("%s.%06u %-7s %s\n", text, (unsigned)((when - (double)seconds) * 1e6),
              ctl_string(message, "level"), ctl_string(message, "text"));
}

int ctl_trace(const struct ctl_options *options)
{
    struct ctl_connection *c = ctl_connect(options);
    struct json_object *request = ctl_request("trace"), *answer = NULL, *message;

    json_object_object_add(request, "level", json_object_new_string(options->level));
    if (c != NULL)
        answer = ctl_ask(c, request, REMOVE_SECONDS);
    else
        json_object_put(request);
    if (answer == NULL) {
        ctl_close(c);
        return EXIT_FAILURE;
    }
    json_object_put(answer);
    while ((message = ctl_next(c)) != NULL) {
        if (options->json)
            puts(json_object_to_json_string_ext(message,
                                                JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
        else
            print_message(message);
        json_object_put(message);
        if (fflush(stdout) != 0) /* whoever reads us has enough */
            break;
    }
    ctl_close(c);
    return EXIT_SUCCESS;
}

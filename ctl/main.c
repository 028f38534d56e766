// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - vhost-dmctl: looks at the vhost-dm of guests and changes which devices they have, by their control
 * sockets. The command line; the commands are in the other files (ctl.h).
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "config.h"
#include "ctl/ctl.h"

#define EXIT_USAGE        2
#define DEFAULT_STATE_DIR "/run/vhost-dm"

static const char usage[] =
    "usage: vhost-dmctl list [GUEST] [--json | --names]\n"
    "       vhost-dmctl regions GUEST [--map | --json]\n"
    "       vhost-dmctl add GUEST KEY=VALUE,... [--json]\n"
    "       vhost-dmctl remove GUEST DEVICE [--force | --now] [--json]\n"
    "       vhost-dmctl trace GUEST [--level LEVEL] [--json]\n"
    "Shows and changes the devices that vhost-dm gives to Xen guests. GUEST is a number or a name.\n"
    "\n"
    "  list      all guests' devices, a line each; of one guest: back-ends, drivers, queues, counters\n"
    "  regions   what is where in the guest's address space\n"
    "  add       gives a running guest another PCI device, described as for vhost-dm --device\n"
    "  remove    takes one away (blk0: list shows the names), which the guest must not use\n"
    "  trace     shows what vhost-dm says, as it says it, until interrupted\n"
    "\n"
    "  -j, --json             for programs\n"
    "  -n, --names            of list: names of guests, or of the devices of one, a line each\n"
    "  -m, --map              of regions: draws it\n"
    "  -f, --force            of remove: requests fail from now on; it goes when the guest's driver lets go\n"
    "  -N, --now              of remove: does not wait for the driver, and Linux may never get over that\n"
    "  -l, --level LEVEL      of trace: error, warning, info (default), debug, or trace: every vhost-user "
    "message\n"
    "                         and every access\n"
    "  -s, --state-dir DIR    vhost-dm's (default: " DEFAULT_STATE_DIR ")\n"
    "  -h, --help             this text\n"
    "  -V, --version          the version\n"
    "\n"
    "Exit status: 0; 1: it was refused, or there is no such guest; 2: the command line is wrong.\n";

static const struct option long_options[] = {
    {"json", no_argument, NULL, 'j'},
    {"names", no_argument, NULL, 'n'},
    {"map", no_argument, NULL, 'm'},
    {"force", no_argument, NULL, 'f'},
    {"now", no_argument, NULL, 'N'},
    {"level", required_argument, NULL, 'l'},
    {"state-dir", required_argument, NULL, 's'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static const struct command {
    const char *name;
    int min_args, max_args;
    const char *options; /* letters that it takes, besides s */
    int (*run)(const struct ctl_options *options);
} commands[] = {
    {"list", 0, 1, "jn", ctl_list},      {"regions", 1, 1, "jm", ctl_regions}, {"add", 2, 2, "j", ctl_add},
    {"remove", 2, 2, "jfN", ctl_remove}, {"trace", 1, 1, "jl", ctl_trace},
};

static int usage_error(const char *what, const char *value)
{
    ctl_error("%s%s%s; see vhost-dmctl --help", what, value != NULL ? ": " : "", value != NULL ? value : "");
    return EXIT_USAGE;
}

/* Sets one option; its letter is noted in seen. -1: go on; otherwise the exit status. */
static int option_set(struct ctl_options *options, int opt, char *seen, char *const *argv)
{
    size_t len = strlen(seen);

    switch (opt) {
    case 'j':
        options->json = true;
        break;
    case 'n':
        options->names = true;
        break;
    case 'm':
        options->map = true;
        break;
    case 'f':
        options->force = true;
        break;
    case 'N':
        options->now = true;
        break;
    case 'l':
        options->level = optarg;
        break;
    case 's':
        options->state_dir = optarg;
        return -1;
    case 'h':
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    case 'V':
        puts("vhost-dmctl " PACKAGE_VERSION);
        return EXIT_SUCCESS;
    default:
        return usage_error(opt == ':' ? "an option needs a value" : "unknown option", argv[optind - 1]);
    }
    if (strchr(seen, opt) == NULL) {
        seen[len] = (char)opt;
        seen[len + 1] = '\0';
    }
    return -1;
}

static int command_run(struct ctl_options *options, const char *seen, int nr_args, char *const *args)
{
    const struct command *command = NULL;

    if (nr_args == 0)
        return usage_error("which command? list, regions, add, remove or trace", NULL);
    for (size_t i = 0; i < ARRAY_SIZE(commands) && command == NULL; i++)
        if (strcmp(commands[i].name, args[0]) == 0)
            command = &commands[i];
    if (command == NULL)
        return usage_error("unknown command", args[0]);
    if (nr_args - 1 < command->min_args)
        return usage_error("something is missing behind", args[0]);
    if (nr_args - 1 > command->max_args)
        return usage_error("unexpected argument", args[command->max_args + 1]);
    for (; *seen != '\0'; seen++)
        if (strchr(command->options, *seen) == NULL)
            return usage_error("an option is not for this command", (char[]){'-', *seen, '\0'});
    if (options->json && (options->names || options->map))
        return usage_error("--json goes with neither --names nor --map", NULL);
    options->guest = nr_args > 1 ? args[1] : NULL;
    options->argument = nr_args > 2 ? args[2] : NULL;
    return command->run(options);
}

int main(int argc, char **argv)
{
    struct ctl_options options = {.state_dir = DEFAULT_STATE_DIR, .level = "info"};
    char seen[ARRAY_SIZE(long_options) + 1] = "";
    int opt, status;

    opterr = 0;
    while ((opt = getopt_long(argc, argv, ":jnmfNl:s:hV", long_options, NULL)) != -1) {
        status = option_set(&options, opt, seen, argv);
        if (status >= 0)
            return status;
    }
    status = command_run(&options, seen, argc - optind, argv + optind);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        ctl_error("the output cannot be written");
        status = EXIT_FAILURE;
    }
    return status;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * takeover.c - see takeover.h. The linker puts the functions here before those of the program (--wrap).
 */
#include "tests/takeover/takeover.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/notify.h"
#include "dm/confine.h"
#include "xen/privileged.h"

static struct takeover taken = {.broker = -1};

/* ---- what the process opens ------------------------------------------------------------------------ */

xendevicemodel_handle *__real_xendevicemodel_open(xentoollog_logger *logger, unsigned flags);
xendevicemodel_handle *__wrap_xendevicemodel_open(xentoollog_logger *logger, unsigned flags);
xenforeignmemory_handle *__real_xenforeignmemory_open(xentoollog_logger *logger, unsigned flags);
xenforeignmemory_handle *__wrap_xenforeignmemory_open(xentoollog_logger *logger, unsigned flags);
xenevtchn_handle *__real_xenevtchn_open(xentoollog_logger *logger, unsigned flags);
xenevtchn_handle *__wrap_xenevtchn_open(xentoollog_logger *logger, unsigned flags);
int __real_confine(const struct confine_options *options, char *why, size_t why_len);
int __wrap_confine(const struct confine_options *options, char *why, size_t why_len);
int __real_fd_message_send(int sock, const void *data, size_t len, int fd, int flags);
int __wrap_fd_message_send(int sock, const void *data, size_t len, int fd, int flags);
void __wrap_notify_service_manager(const char *message);

xendevicemodel_handle *__wrap_xendevicemodel_open(xentoollog_logger *logger, unsigned flags)
{
    return taken.dmod = __real_xendevicemodel_open(logger, flags);
}

/* The first is vhost-dm's own; without a broker there is another. */
xenforeignmemory_handle *__wrap_xenforeignmemory_open(xentoollog_logger *logger, unsigned flags)
{
    xenforeignmemory_handle *fmem = __real_xenforeignmemory_open(logger, flags);

    if (taken.fmem == NULL)
        taken.fmem = fmem;
    return fmem;
}

xenevtchn_handle *__wrap_xenevtchn_open(xentoollog_logger *logger, unsigned flags)
{
    return taken.events = __real_xenevtchn_open(logger, flags);
}

int __wrap_confine(const struct confine_options *options, char *why, size_t why_len)
{
    int rc = __real_confine(options, why, why_len);

    taken.confined = rc == 0;
    return rc;
}

int __wrap_fd_message_send(int sock, const void *data, size_t len, int fd, int flags)
{
    if (len == sizeof(struct privileged_request))
        taken.broker = sock;
    return __real_fd_message_send(sock, data, len, fd, flags);
}

/* ---- what it says ---------------------------------------------------------------------------------- */

void takeover_say(const char *name, long result)
{
    if (result < 0)
        dprintf(STDERR_FILENO, "TAKEOVER %s refused %ld\n", name, -result);
    else
        dprintf(STDERR_FILENO, "TAKEOVER %s done\n", name);
}

void takeover_say_refusal(const char *name, long result, long expected)
{
    if (result == expected)
        takeover_say(name, result);
    else
        dprintf(STDERR_FILENO, "TAKEOVER %s done (%ld instead of %ld)\n", name, result, expected);
}

/* ---- the moment ------------------------------------------------------------------------------------ */

static unsigned long number(const char *name)
{
    const char *text = getenv(name);

    return text != NULL ? strtoul(text, NULL, 10) : 0;
}

static void told(struct takeover *t)
{
    char *others = getenv("TAKEOVER_OTHERS"), *end;

    t->process = (pid_t)number("TAKEOVER_PROCESS");
    t->domain = (uint16_t)number("TAKEOVER_DOMAIN");
    t->socket = getenv("TAKEOVER_SOCKET");
    t->flood = number("TAKEOVER_FLOOD") != 0;
    while (others != NULL && *others != '\0' && t->nr_others < sizeof(t->others) / sizeof(t->others[0])) {
        t->others[t->nr_others++] = (uint16_t)strtoul(others, &end, 10);
        others = *end == ' ' ? end + 1 : NULL;
    }
}

/* It says that it is ready, after all that is given up has been. */
void __wrap_notify_service_manager(const char *message)
{
    (void)message;
    told(&taken);
    if (taken.process == 0 || taken.socket == NULL || taken.nr_others == 0) {
        dprintf(STDERR_FILENO, "TAKEOVER is not told what to do\n");
        _exit(99);
    }
    takeover_calls(&taken);
    takeover_xen(&taken);
    if (taken.confined)
        takeover_broker(&taken);
    dprintf(STDERR_FILENO, "TAKEOVER end\n");
    if (taken.confined)
        takeover_calls_last(&taken);
    _exit(0);
}

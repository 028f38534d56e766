// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * domain_find.c - from what the administrator wrote, a number or a name, to a domain; also waits for one that
 * is yet to be created. Called by main() before anything else of Xen is used, so it is also where "this is
 * not a Xen dom0" is found out and explained.
 */
#include "xen/xen_hypervisor.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenstore.h>

#include "common/log.h"
#include "common/util.h"
#include "xen/domain.h"
#include "xen/xen_errors.h"
#include "xen/xen_logger.h"
#include "xen/xenstore_open.h"

#define DOMAIN_FIRST 1      /* dom0 cannot be its own guest */
#define DOMAIN_LAST  0x7fef /* below DOMID_FIRST_RESERVED */

struct search {
    xc_interface *xch;
    struct xs_handle *xs;
};

/* The name of the domain in xenstore, or "". */
static void name_read(struct xs_handle *xs, uint16_t domid, char *name, size_t len)
{
    char path[64], *value;

    snprintf(path, sizeof(path), "/local/domain/%u/name", domid);
    value = xs_read(xs, XBT_NULL, path, NULL);
    snprintf(name, len, "%s", value ? value : "");
    free(value);
}

/* Fills *domain in with what is known of a living domain. 0, or -ENOENT, or another error of Xen. */
static int domain_describe(struct search *search, uint16_t domid, struct xen_domain *domain)
{
    struct domain_info info;
    int rc = domain_info_get(search->xch, domid, &info);

    if (rc < 0)
        return rc == -ESRCH ? -ENOENT : rc;
    if (info.dying)
        return -ENOENT;
    memset(domain, 0, sizeof(*domain));
    domain->domid = domid;
    memcpy(domain->uuid, info.uuid, sizeof(domain->uuid));
    name_read(search->xs, domid, domain->name, sizeof(domain->name));
    return 0;
}

static bool number_parse(const char *text, uint16_t *domid)
{
    char *end;
    unsigned long value;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || *end || value < DOMAIN_FIRST || value > DOMAIN_LAST)
        return false;
    *domid = (uint16_t)value;
    return true;
}

/* Its building is finished, and it has not ended: a guest that reboots is there, ended, until xl has made its
 * successor of the same name. */
static bool is_beginning(struct search *search, uint16_t domid)
{
    struct domain_info info;

    return xs_is_domain_introduced(search->xs, domid) && domain_info_get(search->xch, domid, &info) == 0 &&
           domain_end_reason(&info) == NULL;
}

/* Looks through all domains that xenstore knows. introduced: only those whose building is finished. */
static int name_find(struct search *search, const char *name, bool introduced, struct xen_domain *domain)
{
    unsigned n = 0;
    char **ids = xs_directory(search->xs, XBT_NULL, "/local/domain", &n);
    int rc = -ENOENT;

    if (!ids)
        return errno == ENOENT ? -ENOENT : -errno;
    for (unsigned i = 0; i < n && rc == -ENOENT; i++) {
        char found[sizeof(domain->name)];
        uint16_t domid;

        if (!number_parse(ids[i], &domid))
            continue;
        name_read(search->xs, domid, found, sizeof(found));
        if (strcmp(found, name) != 0)
            continue;
        if (introduced && !is_beginning(search, domid))
            continue;
        rc = domain_describe(search, domid, domain);
    }
    free(ids);
    return rc;
}

/* Waits for the domain, pauses it and describes it. Nothing else is going on in the process yet, so it may
 * block; a signal that is not handled ends it. */
static int name_wait(struct search *search, const char *name, struct xen_domain *domain)
{
    struct pollfd pfd = {.fd = xs_fileno(search->xs), .events = POLLIN};

    if (!xs_watch(search->xs, "@introduceDomain", "introduce"))
        return -errno;
    for (;;) {
        int rc = name_find(search, name, true, domain);
        char **event;

        if (rc == 0) {
            rc = domain_pause(search->xch, domain->domid);
            domain->held = rc == 0;
        }
        if (rc != -ENOENT && rc != -ESRCH)
            return rc;
        if (poll(&pfd, 1, -1) < 0)
            return -errno;
        while ((event = xs_check_watch(search->xs)))
            free(event);
        if (errno != EAGAIN)
            return -errno;
    }
}

static int search_run(struct search *search, const char *id_or_name, bool wait, struct xen_domain *domain,
                      char *why, size_t why_len)
{
    uint16_t domid;
    int rc;

    if (number_parse(id_or_name, &domid))
        rc = domain_describe(search, domid, domain);
    else if (wait)
        rc = name_wait(search, id_or_name, domain);
    else
        rc = name_find(search, id_or_name, false, domain);
    if (rc == -ENOENT)
        snprintf(why, why_len, "there is no domain %s (xl list shows those there are)", id_or_name);
    else if (rc < 0)
        snprintf(why, why_len, "looking for domain %s: %s", id_or_name, strerror(-rc));
    return rc;
}

int xen_domain_find(const char *id_or_name, bool wait, struct xen_domain *domain, char *why, size_t why_len)
{
    struct search search = {0};
    int rc;

    memset(domain, 0, sizeof(*domain));
    search.xch = xc_interface_open(xen_logger(), xen_logger(), 0);
    if (!search.xch)
        return xen_explain_open(errno, why, why_len);
    search.xs = xenstore_open(NULL);
    if (!search.xs) {
        rc = -errno;
        snprintf(why, why_len, "xenstore does not answer (%s): is xenstored running?", strerror(-rc));
    } else {
        rc = search_run(&search, id_or_name, wait, domain, why, why_len);
    }
    xs_close(search.xs);
    xc_interface_close(search.xch);
    return rc;
}

void xen_domain_release(struct xen_domain *domain)
{
    xc_interface *xch;

    if (!domain->held)
        return;
    domain->held = false;
    xch = xc_interface_open(xen_logger(), xen_logger(), 0);
    if (!xch)
        return;
    domain_unpause(xch, domain->domid);
    xc_interface_close(xch);
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * domain.c - see domain.h. Plain libxenctrl calls, usable as long as the process is not restricted to its
 * domain.
 */
#include "xen/domain.h"

#include <errno.h>
#include <string.h>

/* shutdown reasons */
#include <xen/sched.h>

int domain_info_get(xc_interface *xch, uint16_t domid, struct domain_info *info)
{
    xc_domaininfo_t raw;
    int n;

    /* This one exists in every libxenctrl; its single-domain relatives came and went. It answers with the
     * first domain at or above the number. */
    n = xc_domain_getinfolist(xch, domid, 1, &raw);
    if (n < 0)
        return -errno;
    if (n == 0 || raw.domain != domid)
        return -ESRCH;

    memset(info, 0, sizeof(*info));
    info->domid = domid;
    if (!(raw.flags & XEN_DOMINF_hvm_guest))
        info->kind = DOMAIN_PV;
    else if (raw.arch_config.emulation_flags & (XEN_X86_EMU_PIC | XEN_X86_EMU_IOAPIC))
        info->kind = DOMAIN_HVM;
    else
        info->kind = DOMAIN_PVH;
    info->dying = raw.flags & XEN_DOMINF_dying;
    info->shutdown = raw.flags & XEN_DOMINF_shutdown;
    info->shutdown_reason = (raw.flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask;
    info->paused = raw.flags & XEN_DOMINF_paused;
    info->never_ran = raw.cpu_time == 0;
    info->nr_vcpus = raw.max_vcpu_id == XEN_INVALID_MAX_VCPU_ID ? 0 : raw.max_vcpu_id + 1;
    info->max_memkb = raw.max_pages << (XC_PAGE_SHIFT - 10);
    memcpy(info->uuid, raw.handle, sizeof(info->uuid));
    return 0;
}

int domain_pause(xc_interface *xch, uint16_t domid)
{
    return xc_domain_pause(xch, domid) < 0 ? -errno : 0;
}

int domain_unpause(xc_interface *xch, uint16_t domid)
{
    return xc_domain_unpause(xch, domid) < 0 ? -errno : 0;
}

const char *domain_end_reason(const struct domain_info *info)
{
    if (info->dying)
        return "the domain is being destroyed";
    if (!info->shutdown)
        return NULL;
    switch (info->shutdown_reason) {
    case SHUTDOWN_suspend:
        return NULL;
    case SHUTDOWN_poweroff:
        return "the guest has powered off";
    case SHUTDOWN_reboot:
        return "the guest reboots (as a new domain)";
    case SHUTDOWN_crash:
        return "the guest has crashed";
    case SHUTDOWN_watchdog:
        return "the guest's watchdog has ended it";
    default:
        return "the guest has shut down";
    }
}

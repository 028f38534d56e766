/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * holder.h - the holder of a guest: a domain that never runs and owns the pages that the guest shares with
 * processes of this host. Xen lets dom0 put pages of a third domain into a guest whose target that domain is,
 * and counts references to them, so that a killed device model leaves nobody a window into memory that is
 * used for something else.
 *
 * A guest's target can be set once in its life. So its holder is made on first need, its UUID is derived from
 * the guest's, by which every vhost-dm finds it, and it lives as long as the guest: holder_keeper.h ends it.
 * Nothing is put into it that the guest may not read and write, as being its target gives the guest all of
 * it.
 *
 * Used by xen_pages.c.
 */
#ifndef VHOST_DM_XEN_HOLDER_H
#define VHOST_DM_XEN_HOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

#define HOLDER_UUID_LEN 16 /* bytes */

/* Page n of the holder is gfn HOLDER_FIRST_GFN + n: above all that Xen itself puts into such a domain. */
#define HOLDER_FIRST_GFN ((uint64_t)1 << 20)

struct holder;

/*
 * For the guest of that domid and UUID. Makes no domain yet; finds one that is there: holder_exists. xch and
 * fmem are borrowed; name is of the guest, copied, for people. max_pages: its size. 0 or negative errno.
 */
int holder_new(struct holder **out, xc_interface *xch, xenforeignmemory_handle *fmem, uint16_t guest,
               const uint8_t guest_uuid[HOLDER_UUID_LEN], const char *guest_name, uint64_t max_pages);
/* Frees what we have of it; the domain stays. NULL is allowed. */
void holder_free(struct holder *holder);

bool holder_exists(const struct holder *holder);
/* Makes the domain and the guest's target of it, unless it is. 0; -EPERM: this Xen does not let the guest
 * have its pages (before 4.19, or with altp2m or nested virtualisation), or it was destroyed before the
 * guest; or another errno. */
int holder_ensure(struct holder *holder);
/* Only when it exists. */
uint16_t holder_domid(const struct holder *holder);

/* Gives it zeroed pages that it has not / takes away what it has of a range, zeroed before. */
int holder_populate(struct holder *holder, uint64_t page, uint64_t nr_pages);
void holder_release(struct holder *holder, uint64_t page, uint64_t nr_pages);
/* Takes away all pages, whoever left them. */
void holder_release_all(struct holder *holder);

/* The UUID of the holder of a guest. */
void holder_uuid(uint8_t uuid[HOLDER_UUID_LEN], uint16_t guest, const uint8_t guest_uuid[HOLDER_UUID_LEN]);
/* The domain of that UUID, dying or not. 0 and *info; -ESRCH: there is none; or another errno. */
int holder_find(xc_interface *xch, const uint8_t uuid[HOLDER_UUID_LEN], xc_domaininfo_t *info);

#endif

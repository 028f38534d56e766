/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * holder_keeper.h - the keeper of a holder: a small process that waits for the guest's end, destroys the
 * holder and ends. It is not ended with vhost-dm, so that nothing is left behind when vhost-dm is killed and
 * never started again. There is one for each holder; its pid is in xenstore, under the holder's domain.
 *
 * Used by holder.c; and by main(), as it is our own program under another name.
 */
#ifndef VHOST_DM_XEN_HOLDER_KEEPER_H
#define VHOST_DM_XEN_HOLDER_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

/* One that was started and has not been told its holder yet. */
struct holder_keeper {
    int fd;
};

/* Starts one for the guest. Until it is told which domain the holder is, it destroys that if we end. 0 or
 * negative errno. */
int holder_keeper_start(struct holder_keeper *keeper, uint16_t guest, const uint8_t guest_uuid[16]);
/* The holder is there. 0: the keeper has taken it on; or negative errno, and the keeper has ended with the
 * holder. */
int holder_keeper_tell(struct holder_keeper *keeper, uint16_t holder);
/* It is not needed: it ends. */
void holder_keeper_drop(struct holder_keeper *keeper);
/* Whether that holder has one. */
bool holder_keeper_alive(uint16_t holder);

#endif

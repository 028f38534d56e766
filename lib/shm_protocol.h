/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * shm_protocol.h - what libvhost-dm-shm and vhost-dm say to each other. A SOCK_SEQPACKET socket: each message
 * is one struct, in the byte order of the machine, with at most one fd. The client asks, one request at a
 * time, and gets one reply to each.
 */
#ifndef VHOST_DM_SHM_PROTOCOL_H
#define VHOST_DM_SHM_PROTOCOL_H

#include <assert.h>
#include <stdint.h>

/* Names of tokens begin so: what /proc shows of them is "/memfd:vhost-dm-shm...". */
#define SHM_TOKEN_PREFIX "vhost-dm-shm"

#define SHM_PROTOCOL_VERSION 1

enum shm_op {
    SHM_ATTACH,   /* reply: how to map (access, domid, first_gfn) and an fd for it */
    SHM_ALLOCATE, /* fd: a memfd, opened for writing, that becomes the token of as many pages as it is long;
                     the client uses it. Reply: id, page, nr_pages */
    SHM_OPEN,     /* fd: a token; the client uses the allocation, too. Reply as to SHM_ALLOCATE */
    SHM_CLOSE,    /* id: ends one SHM_ALLOCATE or SHM_OPEN of this client */
};

struct shm_request {
    uint32_t version, op;
    uint64_t id;
};
static_assert(sizeof(struct shm_request) == 16, "shm_request is on the wire");

/* access: how shared pages are mapped. */
enum {
    SHM_ACCESS_MMAP,   /* page n is at n * 4096 of the fd */
    SHM_ACCESS_DOMAIN, /* page n is gfn first_gfn + n of domain domid, through the fd, which is of
                          /dev/xen/privcmd */
};

struct shm_reply {
    uint32_t version;
    int32_t error;          /* 0, or a negative errno; then the rest is 0 and there is no fd */
    uint32_t access, domid; /* these two and first_gfn: SHM_ATTACH */
    uint64_t first_gfn;
    uint64_t id, page, nr_pages;
};
static_assert(sizeof(struct shm_reply) == 48, "shm_reply is on the wire");

#endif

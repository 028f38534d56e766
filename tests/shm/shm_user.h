/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shm_user.h - how a test talks to the program shm_user: one request, one answer, over a SOCK_SEQPACKET
 * socket that is its standard input.
 */
#ifndef VHOST_DM_TESTS_SHM_USER_H
#define VHOST_DM_TESTS_SHM_USER_H

#include <stdint.h>

enum shm_user_op {
    USER_ALLOC, /* a: bytes; answer: an fd, value: whether it is shared */
    USER_MAP,   /* with an fd, a: offset, b: bytes, c: prot; takes the place of what was mapped */
    USER_MAP_PRIVATE,
    USER_WRITE,       /* a: offset in the mapping, b: a byte */
    USER_READ,        /* a: offset; value: the byte */
    USER_UNMAP,       /* a: offset, b: bytes; 0: all */
    USER_REMAP,       /* a: new bytes */
    USER_MAP_OVER,    /* memory of its own takes the place of all of it */
    USER_PROTECT,     /* a: prot of all of it */
    USER_CLOSE,       /* the fd of USER_ALLOC or USER_MAP */
    USER_TRUNCATE,    /* a: bytes */
    USER_PUNCH,       /* a: offset, b: bytes */
    USER_PWRITE,      /* a: offset in the file, b: a byte */
    USER_PREAD,       /* a: offset in the file; value: the byte */
    USER_FORK_READ,   /* a: offset; value: the byte as a child sees it, which then writes b there */
    USER_FORK_ON,     /* the child of a fork goes on in our place, we end; value: its pid */
    USER_VFORK_CLOSE, /* the child of a vfork closes the fd, which is its own copy */
    USER_VFORK_DUP,   /* ... puts another one into its place */
    USER_COPY,        /* goes on with a copy of the fd, by fcntl */
    USER_CLOSE_ALL,   /* closes all fds but the socket, as daemons do when they start */
};

struct shm_user_request {
    uint32_t op, pad;
    uint64_t a, b, c;
};

struct shm_user_answer {
    int64_t error; /* 0 or a negative errno */
    uint64_t value;
};

#endif

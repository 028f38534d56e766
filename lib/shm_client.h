/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * shm_client.h - what the library and its preloaded form are made of: the connection to vhost-dm, the
 * allocations that this process uses, and its mappings of them. Locked inside; everything works in the child
 * of a fork, too, which gets the mappings of its parent. Errors are negative errno.
 */
#ifndef VHOST_DM_SHM_CLIENT_H
#define VHOST_DM_SHM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SHM_PAGE_SIZE ((size_t)4096)

/* Whether the environment names a vhost-dm, and it is not this client itself that calls. */
bool shm_client_enabled(void);
/* A new, empty memfd of that name (which is prefixed) that can become a token, or a negative errno. */
int shm_client_memfd(const char *name, unsigned flags);
/* Makes fd, as long as it is now, a token: -ENOTCONN: there is no vhost-dm; or as it answers. */
int shm_client_allocate(int fd);
/* Whether fd is a token, of whatever process; and whether it is at least named as one. */
bool shm_client_is_token(int fd);
bool shm_client_is_named(int fd);
/* As mmap(2), of a token. */
int shm_client_map(int fd, void *addr, size_t len, int prot, int flags, off_t offset, void **out);

/* What of ours lies in [addr, addr + len). */
enum shm_overlap {
    SHM_OVERLAP_NONE,
    SHM_OVERLAP_WHOLE, /* only whole mappings */
    SHM_OVERLAP_PART,  /* a piece of one: the kernel cannot split them */
};
enum shm_overlap shm_client_overlap(const void *addr, size_t len);
/* munmap(2) of a range in which mappings of ours lie. Pieces of one stay until all of it is unmapped. */
int shm_client_unmap(void *addr, size_t len);
/* mremap(2) of one whole mapping of ours. */
int shm_client_remap(void *addr, size_t old_len, size_t new_len, int flags, void **out);
/* mprotect(2) of a range in which mappings of ours lie: -ENOMEM for a piece of one. */
int shm_client_protect(void *addr, size_t len, int prot);
/* pread(2) and pwrite(2) of a token; buf NULL: writes zeros. Bytes or a negative errno. */
ssize_t shm_client_copy(int fd, off_t offset, void *buf, size_t len, bool to_file);
/* Whether the data of this library is the calling process's own: the child of a vfork runs in its parent's,
 * and has other fds. */
bool shm_client_is_owner(void);
/* An fd was closed: what nobody in this process has any more is given back. */
void shm_client_closed(void);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vhost-dm-shm.h - memory that a vhost-user back-end shares with a Xen guest without copies; see
 * libvhost-dm-shm(3). All functions may be called from several threads at once. They are about the guest
 * whose vhost-dm listens at the socket that the environment variable VHOST_DM_SHM names.
 */
#ifndef VHOST_DM_SHM_H
#define VHOST_DM_SHM_H

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* flags of vhost_dm_shm_alloc */
#define VHOST_DM_SHM_STRICT 1u /* fail where ordinary memory would be given */

/*
 * Allocates len bytes (rounded up to whole pages), zeroed, and maps them for reading and writing. Returns an
 * fd to send in VHOST_USER_BACKEND_SHMEM_MAP and to pass to other processes; vhost_dm_shm_free gives both
 * back. Without a vhost-dm, or if it refuses, the memory is an ordinary memfd, unless flags say otherwise. -1
 * with errno on failure.
 */
int vhost_dm_shm_alloc(size_t len, unsigned flags, void **ptr);

/*
 * Maps [offset, offset + len) of an fd that vhost_dm_shm_alloc returned, in this process or another, shared;
 * prot as for mmap(2). offset is a multiple of pages. Of any other fd it does what mmap(2) does. MAP_FAILED
 * with errno on failure.
 */
void *vhost_dm_shm_map(int fd, off_t offset, size_t len, int prot);

/* Unmaps what one of the above mapped: all of it, so that ptr and len are as they were. 0, or -1 with errno.
 */
int vhost_dm_shm_unmap(void *ptr, size_t len);

/*
 * Closes fd and, unless ptr is NULL, unmaps [ptr, ptr + len) first. What no process has any more, by fd or
 * mapping, nor the guest, is freed; an fd that is closed with close(2) alone holds it until the next call or
 * the end of the process. 0, or -1 with errno.
 */
int vhost_dm_shm_free(int fd, void *ptr, size_t len);

/* 1: fd is memory that reaches the guest without copies; 0: it is not. */
int vhost_dm_shm_is_shared(int fd);

#ifdef __cplusplus
}
#endif

#endif

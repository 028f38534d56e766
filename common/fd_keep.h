/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fd_keep.h - keeps fds that others have sent, or that their requests cost, without ever taking the last
 * ones: what is needed to go on serving has a quarter of all for itself. Used by shmem_file.c, shm_pool.c and
 * shm_server.c.
 */
#ifndef VHOST_DM_COMMON_FD_KEEP_H
#define VHOST_DM_COMMON_FD_KEEP_H

/* A duplicate of fd, the caller's, close-on-exec; or -EMFILE: there are too many by now. */
int fd_keep(int fd);
/* fd itself, the caller's, if it may be kept; or -EMFILE, and it is closed; a negative one is given back. */
int fd_keep_own(int fd);

#endif

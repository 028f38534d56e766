/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shm_server.h - hands out shared pages (shm_pool.h) to processes of this host, over a socket: the other end
 * of libvhost-dm-shm (lib/shm_protocol.h). Made by main() for each guest, served on the event loop.
 *
 * What a process uses is given back when it ends, however it ends. A process whose connection is lost keeps
 * what it has, as does one that used a predecessor of ours.
 */
#ifndef VHOST_DM_SHM_SERVER_H
#define VHOST_DM_SHM_SERVER_H

#define SHM_SERVER_MAX_CONNECTIONS 256

struct ev_loop;
struct shm_pool;
struct shm_server;

/*
 * Listens at path (copied; what is there is replaced, and may be used by our own user alone), and takes up
 * the users that a predecessor left. loop, pool and name (for messages) are borrowed. 0; -ENAMETOOLONG;
 * -ENOMEM; or what socket, bind or listen said.
 */
int shm_server_new(struct shm_server **out, struct ev_loop *loop, struct shm_pool *pool, const char *path,
                   const char *name);
/* Ends all connections and removes the socket. What processes use is left as it is: see shm_pool_free. NULL
 * is allowed. */
void shm_server_free(struct shm_server *server);

/* How many processes use something or are connected: for status and tests. */
unsigned shm_server_nr_processes(const struct shm_server *server);

#endif

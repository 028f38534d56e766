/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * privileged.h - the few things that serving a guest needs and that a process which may act on that guest
 * alone cannot do: hypercalls of a toolstack (pauses, the guest's physmap, its holder) and looks at other
 * processes of this host. Each is a request that names no domain: for which guest it is was settled when the
 * server was made, and every argument is checked there.
 *
 * A server carries requests out: in this process (no confinement), or in one of its own (xen/broker.h) to
 * which a client sends them. The other functions are what the rest of xen/ calls, and are the same for both.
 */
#ifndef VHOST_DM_XEN_PRIVILEGED_H
#define VHOST_DM_XEN_PRIVILEGED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/device_grant.h"

#define PRIVILEGED_BATCH 1024 /* pages of one request to place */
/* Pages of one request that goes through them one by one: between two the asker's end is noticed, and the
 * guest's. */
#define PRIVILEGED_RUN      ((uint64_t)1 << 18)
#define PRIVILEGED_NAME_LEN 64 /* bytes with the final NUL: of an open file */

enum privileged_op {
    PRIVILEGED_PAUSE,
    PRIVILEGED_UNPAUSE,
    PRIVILEGED_TABLES_GROW,     /* nr_pages */
    PRIVILEGED_LIMIT_RAISE,     /* nr_pages */
    PRIVILEGED_LIMIT_LOWER,     /* nr_pages */
    PRIVILEGED_OWN_POPULATE,    /* gfn, nr_pages */
    PRIVILEGED_OWN_REMOVE,      /* gfn, nr_pages */
    PRIVILEGED_SHARED_PLACE,    /* page, gfn, nr_pages; value: how many were placed */
    PRIVILEGED_SHARED_REMOVE,   /* gfn, nr_pages */
    PRIVILEGED_HOLDER_INIT,     /* nr_pages: the most; value: whether there is one already */
    PRIVILEGED_HOLDER_OPEN,     /* fd: privcmd for the holder's domain alone; value: that domain */
    PRIVILEGED_HOLDER_POPULATE, /* page, nr_pages */
    PRIVILEGED_HOLDER_RELEASE,  /* page, nr_pages */
    PRIVILEGED_HOLDER_RELEASE_ALL,
    PRIVILEGED_DEVICE_FIND,    /* fd, page: of the file, nr_pages; value: frame */
    PRIVILEGED_DEVICE_MAP,     /* fd, page: of the file, gfn, nr_pages; value: frame */
    PRIVILEGED_DEVICE_UNMAP,   /* page: frame, gfn, nr_pages: as it was mapped */
    PRIVILEGED_PROCESS_START,  /* fd: a socket; value: when the process at its other end was started */
    PRIVILEGED_PROCESS_NAME,   /* fd: a socket; name */
    PRIVILEGED_FILE_NAME,      /* fd; name */
    PRIVILEGED_FILES_REMOVE,   /* nr_pages: how many */
    PRIVILEGED_SOCKET_KNOWN,   /* text */
    PRIVILEGED_SOCKET_CONNECT, /* text; fd: connected */
    PRIVILEGED_LIST_BEGIN,
    PRIVILEGED_LIST_DEVICE, /* text: as for --device */
    PRIVILEGED_LIST_END,
    PRIVILEGED_GUEST_OPEN, /* fd: privcmd for the guest's domain alone */
    PRIVILEGED_NR_OPS,
};

struct privileged_request {
    uint32_t op, padding;
    uint64_t page, gfn, nr_pages;
    char text[DEVICE_GRANT_LEN]; /* a socket's path, or a device */
};

struct privileged_reply {
    int32_t rc; /* 0 or negative errno */
    uint32_t padding;
    uint64_t value;
    char text[PRIVILEGED_NAME_LEN]; /* a name */
};

struct privileged;

/* A way to have requests carried out. fd in: what goes with the request, borrowed, or -1; *fd_out: what comes
 * with the reply, the caller's, or -1. */
typedef void privileged_call_fn(struct privileged *p, const struct privileged_request *request, int fd,
                                struct privileged_reply *reply, int *fd_out);

/* The first member of a server or a client. */
struct privileged {
    privileged_call_fn *call;
    /* privileged_device_grant */
    int (*grant)(struct privileged *p, const char *text);
    void (*free)(struct privileged *p);
};

/* What a server is for. */
struct privileged_scope {
    uint16_t domid;
    uint8_t uuid[16];
    char name[64];             /* of the guest, for people */
    uint64_t max_shared_pages; /* the most that its holder may have */
    unsigned nr_files;
    const char *const *files; /* absolute paths: FILES_REMOVE; borrowed, as all that follows */
    unsigned nr_devices;
    const char *const *devices; /* that vhost-dm was started with, as for --device */
    const char *grants_path;    /* where those that are added are remembered (device_grants.h) */
    const char *list_path;      /* dm/devices_list.h */
    const char *grant_socket;   /* where root tells a broker of more (common/device_grant.h) */
    const char *kept_path;      /* where it is kept what was done to the guest (kept.h) */
};

/* A server in this process. Opens its own interfaces to Xen, takes back what the server before it has left,
 * and holds the guest: of all pauses that servers have made one is left. 0, or negative errno, and the guest
 * is as it was. */
int privileged_server_new(struct privileged **out, const struct privileged_scope *scope);
/* NULL is allowed. */
void privileged_free(struct privileged *p);

/* The guest is paused (counted) and let go. The server begins with one pause; what is not one of its own is
 * not undone (-EINVAL). */
int privileged_pause(struct privileged *p);
int privileged_unpause(struct privileged *p);

/* A way to the kernel for whoever is to map the guest's memory, and can reach no other domain by it: the fd
 * is the caller's. */
int privileged_guest_open(struct privileged *p, int *fd);

/* More room in Xen for the guest's tables. */
int privileged_tables_grow(struct privileged *p, uint64_t nr_pages);
/* Raises (nr_pages > 0) or lowers the limit of the guest's memory, the latter by no more than it was raised,
 * and not at all where somebody else has set it since. */
int privileged_limit_change(struct privileged *p, int64_t nr_pages);
/* Gives the guest pages of its own, with contents of the past / takes such away, whichever are there. */
int privileged_own_populate(struct privileged *p, uint64_t gfn, unsigned nr_pages);
void privileged_own_remove(struct privileged *p, uint64_t gfn, uint64_t nr_pages);

/* Puts pages of the holder where nothing is, at most PRIVILEGED_BATCH; *done: how many of them, from the
 * first on, are there after all. / Takes them away, whichever are there. */
int privileged_shared_place(struct privileged *p, uint64_t page, uint64_t gfn, unsigned nr_pages,
                            unsigned *done);
void privileged_shared_remove(struct privileged *p, uint64_t gfn, uint64_t nr_pages);

/* The holder, see holder.h. The fd of holder_open is the caller's. */
int privileged_holder_init(struct privileged *p, uint64_t max_pages, bool *exists);
int privileged_holder_open(struct privileged *p, uint16_t *domid, int *fd);
int privileged_holder_populate(struct privileged *p, uint64_t page, uint64_t nr_pages);
void privileged_holder_release(struct privileged *p, uint64_t page, uint64_t nr_pages);
void privileged_holder_release_all(struct privileged *p);

/* Device memory behind a file (dm/device_memory.h, errors as there): where it is / into the guest where
 * nothing is / out of it, all of what was mapped at once. */
int privileged_device_find(struct privileged *p, int fd, uint64_t offset, uint64_t nr_pages, uint64_t *frame);
int privileged_device_map(struct privileged *p, int fd, uint64_t offset, uint64_t gfn, uint64_t nr_pages);
void privileged_device_unmap(struct privileged *p, uint64_t frame, uint64_t gfn, uint64_t nr_pages);

/* dm/host.h */
uint64_t privileged_process_start(struct privileged *p, int fd);
bool privileged_process_name(struct privileged *p, int fd, char *name, size_t len);
bool privileged_file_name(struct privileged *p, int fd, char *name, size_t len);

/* Whether the guest may have a device with that socket: 0 or -EPERM / connects to it, and does not wait: the
 * fd, the caller's, or a negative errno as vhost_user_channel_connect. */
int privileged_socket_known(struct privileged *p, const char *socket);
int privileged_socket_connect(struct privileged *p, const char *socket);
/* The guest is to have one more. 0; -EPERM: a confined process is not believed, but must have been told by
 * root before; or another negative errno. */
int privileged_device_grant(struct privileged *p, const char *text);
/* Brings the list of the guest's devices up to date, which are these, each as for --device; only what the
 * guest may have is believed of them. 0, -ENOENT: there is no list; or another negative errno. */
int privileged_devices_list(struct privileged *p, const char *const *devices, size_t nr);

/* Removes the first nr files of its scope, as the last of all requests. */
void privileged_files_remove(struct privileged *p, unsigned nr);

#endif

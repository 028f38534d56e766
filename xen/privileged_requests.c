// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * privileged_requests.c - see privileged.h: the functions that make requests, whoever carries them out.
 */
#include "xen/privileged.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"

void privileged_free(struct privileged *p)
{
    if (p)
        p->free(p);
}

static int ask(struct privileged *p, enum privileged_op op, uint64_t page, uint64_t gfn, uint64_t nr_pages)
{
    struct privileged_request q = {.op = op, .page = page, .gfn = gfn, .nr_pages = nr_pages};
    struct privileged_reply reply;
    int fd;

    p->call(p, &q, -1, &reply, &fd);
    if (fd >= 0)
        close(fd);
    return reply.rc;
}

/* In parts, each short enough for one request. */
static void ask_parts(struct privileged *p, enum privileged_op op, uint64_t page, uint64_t gfn,
                      uint64_t nr_pages)
{
    for (uint64_t done = 0; done < nr_pages; done += PRIVILEGED_RUN)
        ask(p, op, page + done, gfn + done, MIN(nr_pages - done, PRIVILEGED_RUN));
}

int privileged_pause(struct privileged *p)
{
    return ask(p, PRIVILEGED_PAUSE, 0, 0, 0);
}

int privileged_unpause(struct privileged *p)
{
    return ask(p, PRIVILEGED_UNPAUSE, 0, 0, 0);
}

int privileged_tables_grow(struct privileged *p, uint64_t nr_pages)
{
    return ask(p, PRIVILEGED_TABLES_GROW, 0, 0, nr_pages);
}

int privileged_limit_change(struct privileged *p, int64_t nr_pages)
{
    return nr_pages < 0 ? ask(p, PRIVILEGED_LIMIT_LOWER, 0, 0, (uint64_t)-nr_pages)
                        : ask(p, PRIVILEGED_LIMIT_RAISE, 0, 0, (uint64_t)nr_pages);
}

int privileged_own_populate(struct privileged *p, uint64_t gfn, unsigned nr_pages)
{
    return ask(p, PRIVILEGED_OWN_POPULATE, 0, gfn, nr_pages);
}

void privileged_own_remove(struct privileged *p, uint64_t gfn, uint64_t nr_pages)
{
    ask_parts(p, PRIVILEGED_OWN_REMOVE, 0, gfn, nr_pages);
}

int privileged_shared_place(struct privileged *p, uint64_t page, uint64_t gfn, unsigned nr_pages,
                            unsigned *done)
{
    struct privileged_request q = {
        .op = PRIVILEGED_SHARED_PLACE, .page = page, .gfn = gfn, .nr_pages = nr_pages};
    struct privileged_reply reply;
    int fd;

    p->call(p, &q, -1, &reply, &fd);
    *done = (unsigned)MIN(reply.value, nr_pages);
    return reply.rc;
}

void privileged_shared_remove(struct privileged *p, uint64_t gfn, uint64_t nr_pages)
{
    ask_parts(p, PRIVILEGED_SHARED_REMOVE, 0, gfn, nr_pages);
}

int privileged_holder_init(struct privileged *p, uint64_t max_pages, bool *exists)
{
    struct privileged_request q = {.op = PRIVILEGED_HOLDER_INIT, .nr_pages = max_pages};
    struct privileged_reply reply;
    int fd;

    p->call(p, &q, -1, &reply, &fd);
    *exists = reply.rc == 0 && reply.value;
    return reply.rc;
}

int privileged_holder_open(struct privileged *p, uint16_t *domid, int *fd)
{
    struct privileged_request q = {.op = PRIVILEGED_HOLDER_OPEN};
    struct privileged_reply reply;

    p->call(p, &q, -1, &reply, fd);
    *domid = (uint16_t)reply.value;
    return reply.rc == 0 && *fd < 0 ? -EBADF : reply.rc;
}

int privileged_guest_open(struct privileged *p, int *fd)
{
    struct privileged_request q = {.op = PRIVILEGED_GUEST_OPEN};
    struct privileged_reply reply;

    p->call(p, &q, -1, &reply, fd);
    return reply.rc == 0 && *fd < 0 ? -EBADF : reply.rc;
}

int privileged_holder_populate(struct privileged *p, uint64_t page, uint64_t nr_pages)
{
    return ask(p, PRIVILEGED_HOLDER_POPULATE, page, 0, nr_pages);
}

void privileged_holder_release(struct privileged *p, uint64_t page, uint64_t nr_pages)
{
    ask(p, PRIVILEGED_HOLDER_RELEASE, page, 0, nr_pages);
}

void privileged_holder_release_all(struct privileged *p)
{
    ask(p, PRIVILEGED_HOLDER_RELEASE_ALL, 0, 0, 0);
}

static int ask_device(struct privileged *p, enum privileged_op op, int file, uint64_t offset, uint64_t gfn,
                      uint64_t nr_pages, uint64_t *frame)
{
    struct privileged_request q = {
        .op = op, .page = offset >> GUEST_PAGE_SHIFT, .gfn = gfn, .nr_pages = nr_pages};
    struct privileged_reply reply;
    int fd;

    p->call(p, &q, file, &reply, &fd);
    *frame = reply.value;
    return reply.rc;
}

int privileged_device_find(struct privileged *p, int fd, uint64_t offset, uint64_t nr_pages, uint64_t *frame)
{
    return ask_device(p, PRIVILEGED_DEVICE_FIND, fd, offset, 0, nr_pages, frame);
}

int privileged_device_map(struct privileged *p, int fd, uint64_t offset, uint64_t gfn, uint64_t nr_pages)
{
    uint64_t frame;

    return ask_device(p, PRIVILEGED_DEVICE_MAP, fd, offset, gfn, nr_pages, &frame);
}

void privileged_device_unmap(struct privileged *p, uint64_t frame, uint64_t gfn, uint64_t nr_pages)
{
    ask(p, PRIVILEGED_DEVICE_UNMAP, frame, gfn, nr_pages);
}

uint64_t privileged_process_start(struct privileged *p, int socket)
{
    struct privileged_request q = {.op = PRIVILEGED_PROCESS_START};
    struct privileged_reply reply;
    int fd;

    p->call(p, &q, socket, &reply, &fd);
    return reply.rc == 0 ? reply.value : 0;
}

/* The name of what is behind a file; "" and false: there is none. */
static bool ask_name(struct privileged *p, enum privileged_op op, int file, char *name, size_t len)
{
    struct privileged_request q = {.op = op};
    struct privileged_reply reply;
    int fd;

    p->call(p, &q, file, &reply, &fd);
    reply.text[sizeof(reply.text) - 1] = '\0';
    snprintf(name, len, "%s", reply.rc == 0 ? reply.text : "");
    return reply.rc == 0;
}

bool privileged_process_name(struct privileged *p, int socket, char *name, size_t len)
{
    return ask_name(p, PRIVILEGED_PROCESS_NAME, socket, name, len);
}

bool privileged_file_name(struct privileged *p, int file, char *name, size_t len)
{
    return ask_name(p, PRIVILEGED_FILE_NAME, file, name, len);
}

/* Something about a socket; *fd: what came with the answer. */
static int ask_socket(struct privileged *p, enum privileged_op op, const char *socket, int *fd)
{
    struct privileged_request q = {.op = op};
    struct privileged_reply reply;
    int rc;

    *fd = -1;
    if (strlen(socket) >= sizeof(q.text))
        return -ENAMETOOLONG;
    memcpy(q.text, socket, strlen(socket));
    p->call(p, &q, -1, &reply, fd);
    rc = reply.rc;
    if (rc < 0 && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

int privileged_socket_known(struct privileged *p, const char *socket)
{
    int fd;

    return ask_socket(p, PRIVILEGED_SOCKET_KNOWN, socket, &fd);
}

int privileged_socket_connect(struct privileged *p, const char *socket)
{
    int fd, rc = ask_socket(p, PRIVILEGED_SOCKET_CONNECT, socket, &fd);

    return rc < 0 ? rc : fd < 0 ? -EBADF : fd;
}

int privileged_device_grant(struct privileged *p, const char *text)
{
    return p->grant(p, text);
}

int privileged_devices_list(struct privileged *p, const char *const *devices, size_t nr)
{
    int rc = ask(p, PRIVILEGED_LIST_BEGIN, 0, 0, 0), fd;

    for (size_t i = 0; rc == 0 && i < nr; i++)
        rc = ask_socket(p, PRIVILEGED_LIST_DEVICE, devices[i], &fd);
    return rc == 0 ? ask(p, PRIVILEGED_LIST_END, 0, 0, 0) : rc;
}

void privileged_files_remove(struct privileged *p, unsigned nr)
{
    ask(p, PRIVILEGED_FILES_REMOVE, 0, 0, nr);
}

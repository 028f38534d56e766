// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * takeover_broker.c - requests of a process that has been taken over to the privileged process
 * (xen/broker.h): every kind of them with numbers of others, beyond every end, out of order, with descriptors
 * of the wrong kind, of the wrong length, and more than are answered. See takeover.h.
 */
#include "tests/takeover/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xen/xen.h>

#include <xen/sys/privcmd.h>

#include "common/fd_message.h"
#include "common/util.h"
#include "xen/privileged.h"

#define ANSWER_MS 60000
#define RAM_GFN   0x100 /* 1 MiB: RAM in every guest */
#define FAR       (UINT64_MAX >> 1)

static long answer_take(const struct takeover *t, struct privileged_reply *reply, int *fd_out)
{
    struct pollfd pfd = {.fd = t->broker, .events = POLLIN};
    int rc = poll(&pfd, 1, ANSWER_MS);

    if (rc <= 0)
        return rc == 0 ? -ETIMEDOUT : -errno;
    return fd_message_receive(t->broker, reply, sizeof(*reply), fd_out, 0);
}

static long ask_all(const struct takeover *t, struct privileged_request q, int fd,
                    struct privileged_reply *reply)
{
    int fd_out = -1, rc = fd_message_send(t->broker, &q, sizeof(q), fd, 0);

    if (rc == 0)
        rc = (int)answer_take(t, reply, &fd_out);
    if (fd_out >= 0)
        close(fd_out);
    return rc < 0 ? rc : reply->rc;
}

static long ask(const struct takeover *t, uint32_t op, uint64_t page, uint64_t gfn, uint64_t nr_pages)
{
    struct privileged_reply reply = {0};

    return ask_all(t, (struct privileged_request){.op = op, .page = page, .gfn = gfn, .nr_pages = nr_pages},
                   -1, &reply);
}

/* ---- numbers --------------------------------------------------------------------------------------- */

static void numbers(const struct takeover *t)
{
    const struct {
        const char *name;
        uint32_t op;
        uint64_t page, gfn, nr_pages;
        int expected;
    } tries[] = {
        {"broker-unknown", PRIVILEGED_NR_OPS, 0, 0, 0, -ENOSYS},
        {"broker-unknown-last", UINT32_MAX, 0, 0, 0, -ENOSYS},
        /* the guest's pauses are not all ours */
        {"broker-unpause", PRIVILEGED_UNPAUSE, 0, 0, 0, -EINVAL},
        {"broker-tables", PRIVILEGED_TABLES_GROW, 0, 0, UINT32_MAX, -EDQUOT},
        {"broker-tables-all", PRIVILEGED_TABLES_GROW, 0, 0, UINT64_MAX, -EINVAL},
        {"broker-limit", PRIVILEGED_LIMIT_RAISE, 0, 0, (1u << 18) + 1, -EDQUOT},
        {"broker-limit-all", PRIVILEGED_LIMIT_RAISE, 0, 0, FAR, -EINVAL},
        {"broker-limit-none", PRIVILEGED_LIMIT_LOWER, 0, 0, FAR, -EINVAL},
        /* the guest's RAM */
        {"broker-populate-ram", PRIVILEGED_OWN_POPULATE, 0, RAM_GFN, 1, -EEXIST},
        {"broker-populate-behind", PRIVILEGED_OWN_POPULATE, 0, FAR, 1, -EINVAL},
        {"broker-populate-wrap", PRIVILEGED_OWN_POPULATE, 0, UINT64_MAX, 2, -EINVAL},
        {"broker-populate-many", PRIVILEGED_OWN_POPULATE, 0, 1ULL << 30, PRIVILEGED_BATCH + 1, -EINVAL},
        {"broker-remove-behind", PRIVILEGED_OWN_REMOVE, 0, FAR, 1, -EINVAL},
        {"broker-remove-all", PRIVILEGED_OWN_REMOVE, 0, 0, 1ULL << 32, -EINVAL},
        {"broker-share-remove-all", PRIVILEGED_SHARED_REMOVE, 0, 0, 1ULL << 32, -EINVAL},
        {"broker-share-remove-behind", PRIVILEGED_SHARED_REMOVE, 0, UINT64_MAX, UINT64_MAX, -EINVAL},
        /* a second holder, or a larger one */
        {"broker-holder-again", PRIVILEGED_HOLDER_INIT, t->others[0], t->others[0], 1, -EBUSY},
        {"broker-holder-populate-behind", PRIVILEGED_HOLDER_POPULATE, FAR, 0, 1, -EINVAL},
        {"broker-holder-populate-many", PRIVILEGED_HOLDER_POPULATE, 0, 0, 1u << 31, -EINVAL},
        {"broker-holder-release-before", PRIVILEGED_HOLDER_RELEASE, UINT64_MAX, 0, 1, -EINVAL},
        {"broker-holder-release-many", PRIVILEGED_HOLDER_RELEASE, 1, 0, 1u << 31, -EINVAL},
        /* other pages than the holder's shared ones */
        {"broker-share-behind", PRIVILEGED_SHARED_PLACE, FAR, 1ULL << 30, 1, -EINVAL},
        {"broker-share-before", PRIVILEGED_SHARED_PLACE, UINT64_MAX, 1ULL << 30, 1, -EINVAL},
        {"broker-share-many", PRIVILEGED_SHARED_PLACE, 0, 1ULL << 30, PRIVILEGED_BATCH + 1, -EINVAL},
        {"broker-device-unmap-behind", PRIVILEGED_DEVICE_UNMAP, FAR, 1ULL << 30, 1, -EINVAL},
        /* what may be another device that was given to the guest */
        {"broker-device-unmap-foreign", PRIVILEGED_DEVICE_UNMAP, 0xfe000, 0xf0000, 16, -EINVAL},
        {"broker-device-unmap-many", PRIVILEGED_DEVICE_UNMAP, 0, 0, 1ULL << 32, -EINVAL},
        {"broker-process-start", PRIVILEGED_PROCESS_START, 1, 0, 0, -EINVAL},
        {"broker-process-name", PRIVILEGED_PROCESS_NAME, 1, 0, 0, -EINVAL},
        {"broker-file-name", PRIVILEGED_FILE_NAME, 0, 0, 0, -EBADF},
    };

    for (size_t i = 0; i < ARRAY_SIZE(tries); i++)
        takeover_say_refusal(tries[i].name,
                             ask(t, tries[i].op, tries[i].page, tries[i].gfn, tries[i].nr_pages),
                             tries[i].expected);
}

/* Little by little. */
static void limits(const struct takeover *t)
{
    long rc = 0;

    for (int i = 0; i < 10000 && rc == 0; i++)
        rc = ask(t, PRIVILEGED_TABLES_GROW, 0, 0, 1u << 20);
    takeover_say_refusal("broker-tables-by-and-by", rc, -EDQUOT);
    rc = 0;
    for (int i = 0; i < 10 && rc == 0; i++)
        rc = ask(t, PRIVILEGED_LIMIT_RAISE, 0, 0, 1u << 17);
    takeover_say_refusal("broker-limit-by-and-by", rc, -EDQUOT);
    rc = 0;
    for (int i = 0; i < 10 && rc == 0; i++)
        rc = ask(t, PRIVILEGED_PAUSE, 0, 0, 0);
    takeover_say_refusal("broker-pause-again", rc, -EBUSY);
    while (ask(t, PRIVILEGED_UNPAUSE, 0, 0, 0) == 0)
        continue;
}

/* Pages of the holder, of which it may have some, where the guest has RAM. */
static void holder(const struct takeover *t)
{
    struct privileged_request place = {.op = PRIVILEGED_SHARED_PLACE, .gfn = RAM_GFN, .nr_pages = 1};
    struct privileged_reply reply = {0};
    long rc = ask(t, PRIVILEGED_HOLDER_OPEN, t->others[0], 0, 0);

    takeover_say("own-holder", rc);
    takeover_say("own-holder-pages", ask(t, PRIVILEGED_HOLDER_POPULATE, 0, 0, 2));
    takeover_say_refusal("broker-share-ram", ask_all(t, place, -1, &reply), -EEXIST);
    /* In the middle of a range that begins where nothing is. */
    place.gfn = 0xbf; /* an HVM guest has nothing there */
    place.nr_pages = 2;
    takeover_say_refusal("broker-share-ram-too", ask_all(t, place, -1, &reply), -EEXIST);
    ask(t, PRIVILEGED_HOLDER_RELEASE, 0, 0, 2);
}

/* ---- sockets --------------------------------------------------------------------------------------- */

static void sockets(const struct takeover *t)
{
    static const uint32_t ops[] = {PRIVILEGED_SOCKET_KNOWN, PRIVILEGED_SOCKET_CONNECT,
                                   PRIVILEGED_LIST_DEVICE};
    static const char *const names[] = {"known", "connect", "list"};
    const char *const paths[] = {t->socket, "", "/", "/run/xenstored/socket", "/dev/log", "@", "a,socket=b"};
    struct privileged_reply reply = {0};
    struct privileged_request q;
    char name[64];

    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(paths); j++) {
            q = (struct privileged_request){.op = ops[i]};
            snprintf(q.text, sizeof(q.text), "%s", paths[j]);
            snprintf(name, sizeof(name), "broker-socket-%s-%zu", names[i], j);
            takeover_say_refusal(name, ask_all(t, q, -1, &reply), -EPERM);
        }
        memset(q.text, '/', sizeof(q.text)); /* without an end */
        snprintf(name, sizeof(name), "broker-socket-%s-endless", names[i]);
        takeover_say_refusal(name, ask_all(t, q, -1, &reply), -EPERM);
    }
}

/* ---- descriptors ----------------------------------------------------------------------------------- */

/* The descriptor that is good for the holder's pages, or the guest's. */
static int privcmd_fd(const struct takeover *t, uint32_t op)
{
    struct privileged_request q = {.op = op};
    struct privileged_reply reply = {0};
    int fd = -1;

    if (fd_message_send(t->broker, &q, sizeof(q), -1, 0) == 0)
        answer_take(t, &reply, &fd);
    return fd;
}

/* Maps a page of a domain. */
static long page_map(int fd, uint16_t domid)
{
    void *map = mmap(NULL, GUEST_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    xen_pfn_t gfn = RAM_GFN;
    int error = 0;
    privcmd_mmapbatch_v2_t batch = {
        .num = 1, .dom = domid, .addr = (uintptr_t)map, .arr = &gfn, .err = &error};
    long rc = map == MAP_FAILED || ioctl(fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &batch) != 0 ? -errno : error;

    if (map != MAP_FAILED)
        munmap(map, GUEST_PAGE_SIZE);
    return rc;
}

/* What back-ends get that map the guest's memory: good for that, and not to be made good for more. */
static void guest_memory(const struct takeover *t)
{
    int fd = privcmd_fd(t, PRIVILEGED_GUEST_OPEN);
    domid_t other = t->others[0];

    takeover_say("own-guest-memory", page_map(fd, t->domain));
    takeover_say_refusal("broker-guest-memory-other", page_map(fd, other), -EPERM);
    takeover_say_refusal("broker-guest-memory-restrict",
                         ioctl(fd, IOCTL_PRIVCMD_RESTRICT, &other) != 0 ? -errno : 0, -EINVAL);
    takeover_say_refusal("broker-guest-memory-still-other", page_map(fd, other), -EPERM);
    close(fd);
}

static void devices(const struct takeover *t)
{
    struct privileged_reply reply = {0};
    const struct {
        const char *name;
        int fd;
        int expected;
    } fds[] = {
        {"none", -1, -EINVAL},
        {"memfd", memfd_create("taken", 0), -ENODEV},
        {"eventfd", eventfd(0, 0), -ENODEV},
        {"epoll", epoll_create1(0), -ENODEV},
        {"socket", t->broker, -ENODEV},
        {"privcmd", privcmd_fd(t, PRIVILEGED_HOLDER_OPEN), -ENODEV},
        {"evtchn", xenevtchn_fd(t->events), -ENODEV},
        {"log", STDERR_FILENO, -ENODEV},
    };
    char name[64];

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        struct privileged_request q = {.op = PRIVILEGED_DEVICE_FIND, .nr_pages = 1};

        snprintf(name, sizeof(name), "broker-device-find-%s", fds[i].name);
        takeover_say_refusal(name, ask_all(t, q, fds[i].fd, &reply), fds[i].expected);
        q.op = PRIVILEGED_DEVICE_MAP;
        q.gfn = 1ULL << 30;
        snprintf(name, sizeof(name), "broker-device-map-%s", fds[i].name);
        takeover_say_refusal(name, ask_all(t, q, fds[i].fd, &reply), fds[i].expected);
    }
    takeover_say_refusal(
        "broker-device-map-behind",
        ask_all(t,
                (struct privileged_request){.op = PRIVILEGED_DEVICE_MAP, .page = UINT64_MAX, .nr_pages = 1},
                STDERR_FILENO, &reply),
        -EINVAL);
}

/* ---- messages -------------------------------------------------------------------------------------- */

/* A message of any length with any number of descriptors. */
static long message(const struct takeover *t, size_t len, unsigned nr_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(64 * sizeof(int))];
    } control = {.bytes = {0}};
    char bytes[4096] = {0};
    struct iovec iov = {bytes, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct privileged_reply reply = {0};
    int fd_out = -1, rc;

    if (nr_fds > 0) {
        struct cmsghdr *cmsg;
        int fds[64];

        for (unsigned i = 0; i < nr_fds; i++)
            fds[i] = STDERR_FILENO;
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, nr_fds * sizeof(int));
    }
    if (sendmsg(t->broker, &msg, MSG_NOSIGNAL) < 0)
        return -errno;
    rc = (int)answer_take(t, &reply, &fd_out);
    if (fd_out >= 0)
        close(fd_out);
    return rc < 0 ? rc : reply.rc;
}

static void messages(const struct takeover *t)
{
    size_t len = sizeof(struct privileged_request);

    takeover_say_refusal("broker-message-short", message(t, 1, 0), -EPROTO);
    takeover_say_refusal("broker-message-cut", message(t, len - 1, 0), -EPROTO);
    takeover_say_refusal("broker-message-long", message(t, len + 1, 0), -EPROTO);
    takeover_say_refusal("broker-message-longest", message(t, 4096, 1), -EPROTO);
    takeover_say_refusal("broker-message-fds", message(t, len, 2), -EPROTO);
    takeover_say_refusal("broker-message-many-fds", message(t, len, 64), -EPROTO);
    takeover_say("own-message", message(t, len, 0)); /* a pause, which is understood after all this */
    ask(t, PRIVILEGED_UNPAUSE, 0, 0, 0);
}

/* Requests whose answers nobody takes: the broker ends us, or at least itself. */
static void flood(const struct takeover *t)
{
    struct privileged_request q = {.op = PRIVILEGED_NR_OPS};
    struct pollfd pfd = {.fd = t->broker, .events = POLLOUT};
    int rc = 0;

    dprintf(STDERR_FILENO, "TAKEOVER flood begins\n");
    while (rc == 0 || rc == -EAGAIN) {
        if (rc == -EAGAIN && poll(&pfd, 1, ANSWER_MS) == 0)
            break;
        rc = fd_message_send(t->broker, &q, sizeof(q), -1, MSG_DONTWAIT);
    }
    takeover_say("broker-flood", rc == -EPIPE || rc == -ECONNRESET ? rc : 0);
}

void takeover_broker(const struct takeover *t)
{
    numbers(t);
    holder(t);
    sockets(t);
    guest_memory(t);
    devices(t);
    messages(t);
    limits(t);
    if (t->flood)
        flood(t);
}

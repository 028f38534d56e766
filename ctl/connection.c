// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * connection.c - finding the vhost-dm of a guest and asking it, see ctl.h. A vhost-dm listens at NUMBER.ctl
 * in the folder of run-time state; what the guest's name is, it is asked.
 */
#include "ctl/ctl.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/device_grant.h"
#include "common/utf8.h"
#include "common/util.h"

#define MAX_ANSWER    MIB(64) /* bytes: more than any vhost-dm says */
#define NAME_SECONDS  10      /* in which one must say its guest's name */
#define GRANT_SECONDS 30      /* in which a grant must be answered */

struct ctl_connection {
    int fd; /* owned */
    unsigned domid;
    char *buf; /* owned: what has arrived, from start on */
    size_t start, len, capacity;
};

/* ---- folders and sockets ------------------------------------------------------------------------ */

static int by_number(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return x < y ? -1 : x > y;
}

/* "12.ctl" */
static bool number_of(const char *name, unsigned *domid)
{
    char *end;
    unsigned long value = strtoul(name, &end, 10);

    *domid = (unsigned)value;
    return name[0] >= '0' && name[0] <= '9' && value <= USHRT_MAX && strcmp(end, ".ctl") == 0;
}

static int folder_error(const struct ctl_options *options, int err)
{
    if (err == EACCES || err == EPERM)
        ctl_error("%s: only root may look there: run it as root", options->state_dir);
    else
        ctl_error("%s: %s", options->state_dir, strerror(err));
    return -1;
}

int ctl_guests(const struct ctl_options *options, unsigned **domids)
{
    DIR *dir = opendir(options->state_dir);
    struct dirent *entry;
    size_t nr = 0, capacity = 0;

    *domids = NULL;
    if (dir == NULL) /* no vhost-dm ever ran */
        return errno == ENOENT ? 0 : folder_error(options, errno);
    while ((entry = readdir(dir)) != NULL) {
        unsigned domid;

        if (!number_of(entry->d_name, &domid))
            continue;
        if (nr == capacity) {
            unsigned *more = realloc(*domids, (capacity = capacity * 2 + 64) * sizeof(*more));

            if (more == NULL)
                break;
            *domids = more;
        }
        (*domids)[nr++] = domid;
    }
    closedir(dir);
    if (nr > 0)
        qsort(*domids, nr, sizeof(**domids), by_number);
    return (int)nr;
}

/* A connected socket of a vhost-dm, or a negative errno. */
static int socket_connect(const struct ctl_options *options, unsigned domid, int type, const char *suffix)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd, rc;

    if ((size_t)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%u.%s", options->state_dir, domid,
                         suffix) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
        return fd;
    rc = -errno;
    close(fd);
    return rc;
}

static struct ctl_connection *connection_new(const struct ctl_options *options, unsigned domid, int *err)
{
    struct ctl_connection *c = calloc(1, sizeof(*c));

    *err = -ENOMEM;
    if (c == NULL)
        return NULL;
    c->domid = domid;
    c->fd = socket_connect(options, domid, SOCK_STREAM, "ctl");
    *err = c->fd;
    if (c->fd >= 0)
        return c;
    free(c);
    return NULL;
}

void ctl_close(struct ctl_connection *c)
{
    if (c == NULL)
        return;
    close(c->fd);
    free(c->buf);
    free(c);
}

/* ---- lines -------------------------------------------------------------------------------------- */

static bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return true;
}

/* Makes room for more behind what is there. */
static bool room_make(struct ctl_connection *c)
{
    size_t capacity = c->capacity > 0 ? c->capacity : KIB(16);
    char *buf;

    if (c->start > 0)
        memmove(c->buf, c->buf + c->start, c->len);
    c->start = 0;
    if (c->len < c->capacity)
        return true;
    capacity = c->capacity > 0 ? capacity * 2 : capacity;
    buf = capacity <= MAX_ANSWER ? realloc(c->buf, capacity) : NULL;
    if (buf == NULL)
        return false;
    c->buf = buf;
    c->capacity = capacity;
    return true;
}

/* The next line, NUL-terminated, good until the next call. NULL with errno; ENODATA: the end. */
static char *line_read(struct ctl_connection *c, int seconds)
{
    size_t searched = 0;

    for (;;) {
        struct pollfd pfd = {.fd = c->fd, .events = POLLIN};
        char *end = c->len > searched ? memchr(c->buf + c->start + searched, '\n', c->len - searched) : NULL;
        ssize_t n;

        if (end != NULL) {
            char *line = c->buf + c->start;
            size_t used = (size_t)(end - line) + 1;

            *end = '\0';
            c->start += used;
            c->len -= used;
            return line;
        }
        searched = c->len;
        errno = ENOMEM;
        if (!room_make(c))
            return NULL;
        n = poll(&pfd, 1, seconds > 0 ? seconds * 1000 : -1);
        if (n == 0)
            errno = ETIMEDOUT;
        else if (n > 0)
            n = recv(c->fd, c->buf + c->len, c->capacity - c->len, 0);
        if (n == 0 && errno != ETIMEDOUT)
            errno = ENODATA;
        if (n <= 0)
            return NULL;
        c->len += (size_t)n;
    }
}

struct json_object *ctl_next(struct ctl_connection *c)
{
    char *line = line_read(c, 0);

    return line != NULL ? json_tokener_parse(line) : NULL;
}

struct json_object *ctl_request(const char *command)
{
    struct json_object *request = json_object_new_object();

    json_object_object_add(request, "command", json_object_new_string(command));
    return request;
}

/* As ctl_ask, but says nothing. *why: what is wrong, if it was not refused. */
static struct json_object *ask(struct ctl_connection *c, struct json_object *request, int seconds,
                               const char **why)
{
    const char *text = json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN);
    struct json_object *answer;
    bool sent = send_all(c->fd, text, strlen(text)) && send_all(c->fd, "\n", 1);
    char *line;

    json_object_put(request);
    /* One that refuses us may have closed before it read what we ask. */
    line = line_read(c, seconds);
    *why = line != NULL         ? "its answer makes no sense: is it of another version?"
           : errno == ETIMEDOUT ? "it does not answer: does the process hang?"
           : !sent || errno == ENODATA || errno == ECONNRESET ? "it has ended"
                                                              : strerror(errno);
    answer = line != NULL ? json_tokener_parse(line) : NULL;
    if (answer != NULL && !json_object_is_type(answer, json_type_object)) {
        json_object_put(answer);
        answer = NULL;
    }
    return answer;
}

struct json_object *ctl_ask(struct ctl_connection *c, struct json_object *request, int seconds)
{
    const char *why;
    struct json_object *answer = ask(c, request, seconds, &why);

    if (answer == NULL) {
        ctl_error("the vhost-dm of dom %u: %s", c->domid, why);
    } else if (!ctl_bool(answer, "ok")) {
        ctl_error("%s", ctl_string(answer, "error"));
        json_object_put(answer);
        answer = NULL;
    }
    return answer;
}

bool ctl_grant(const struct ctl_options *options, struct ctl_connection *c, const char *device)
{
    int fd = socket_connect(options, c->domid, SOCK_SEQPACKET, "grant");
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    size_t len = strlen(device);
    int32_t rc = -EMSGSIZE;

    /* It has all rights, and needs nobody's word. (A killed one leaves its socket.) */
    if (fd == -ENOENT || fd == -ECONNREFUSED)
        return true;
    if (fd >= 0 && len < DEVICE_GRANT_LEN) {
        rc = -ETIMEDOUT;
        if (send(fd, device, len, MSG_NOSIGNAL) < 0)
            rc = -errno;
        else if (poll(&pfd, 1, GRANT_SECONDS * 1000) > 0 && recv(fd, &rc, sizeof(rc), 0) != sizeof(rc))
            rc = -ECONNRESET;
    } else if (fd < 0) {
        rc = fd;
    }
    if (fd >= 0)
        close(fd);
    /* What is wrong with its text vhost-dm says better. */
    if (rc == 0 || rc == -EINVAL || rc == -EMSGSIZE)
        return true;
    ctl_error("dom %u: the process that acts for its vhost-dm cannot be told of the device: %s", c->domid,
              strerror(-rc));
    return false;
}

/* ---- guests by name ----------------------------------------------------------------------------- */

static void connect_error(const struct ctl_options *options, const char *guest, int err)
{
    if (err == -ECONNREFUSED)
        ctl_error("guest %s: its vhost-dm has been killed; the guest goes on when it is started again with "
                  "the same "
                  "arguments",
                  guest);
    else if (err == -EACCES || err == -EPERM)
        ctl_error("guest %s: only root may ask: run it as root", guest);
    else if (err == -ENOENT)
        ctl_error(
            "no vhost-dm serves a guest %s ('vhost-dmctl list' shows those that are served, 'xl list' all "
            "guests)",
            guest);
    else
        ctl_error("guest %s: %s: %s", guest, options->state_dir, strerror(-err));
}

/* Whether the vhost-dm at the other end says that its guest has that name. */
static bool has_name(struct ctl_connection *c, const char *name)
{
    const char *why;
    struct json_object *answer = ask(c, ctl_request("list"), NAME_SECONDS, &why);
    char *as_told = strdup(name);
    bool is;

    if (as_told != NULL)
        utf8_clean(as_told);
    is = as_told != NULL && strcmp(ctl_string(ctl_object(answer, "guest"), "name"), as_told) == 0;
    free(as_told);
    json_object_put(answer);
    return is;
}

static struct ctl_connection *connect_by_name(const struct ctl_options *options)
{
    struct ctl_connection *found = NULL;
    unsigned *domids;
    int nr = ctl_guests(options, &domids), err = -ENOENT;

    for (int i = 0; i < nr && found == NULL; i++) {
        int rc;

        found = connection_new(options, domids[i], &rc);
        if (found != NULL && !has_name(found, options->guest)) {
            ctl_close(found);
            found = NULL;
        }
        if (rc == -EACCES)
            err = rc;
    }
    free(domids);
    if (found == NULL && nr >= 0)
        connect_error(options, options->guest, err);
    return found;
}

struct ctl_connection *ctl_connect(const struct ctl_options *options)
{
    struct ctl_connection *c;
    char *end;
    unsigned long domid = strtoul(options->guest, &end, 10);
    int err;

    if (options->guest[0] < '0' || options->guest[0] > '9' || *end != '\0' || domid > USHRT_MAX)
        return connect_by_name(options);
    c = connection_new(options, (unsigned)domid, &err);
    if (c == NULL)
        connect_error(options, options->guest, err);
    return c;
}

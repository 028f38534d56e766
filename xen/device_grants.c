// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * device_grants.c - see device_grants.h. The file: "# uuid HEX" of the guest, then one device a line. It only
 * grows, by whole lines.
 */
#include "xen/device_grants.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/device_grant.h"

#define MAX_GRANTS 256 /* of a guest in its life: nobody adds so many different devices */

struct device_grants {
    char *path;              /* owned */
    char head[64];           /* the first line of the file */
    char *texts[MAX_GRANTS]; /* owned */
    size_t nr;
};

static const char socket_key[] = "socket=";

const char *device_grants_socket(const char *text, size_t *len)
{
    for (const char *at = text; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, socket_key, strlen(socket_key)) == 0) {
            at += strlen(socket_key);
            *len = strcspn(at, ",");
            return *len > 0 ? at : NULL;
        }
    }
    return NULL;
}

static bool text_good(const char *text)
{
    size_t len;

    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
    return strlen(text) < DEVICE_GRANT_LEN && device_grants_socket(text, &len) != NULL;
}

/* Puts it behind all others. */
int device_grants_add(struct device_grants *grants, const char *text)
{
    char *copy;
    size_t i = 0;

    if (!text_good(text))
        return -EINVAL;
    while (i < grants->nr && strcmp(grants->texts[i], text) != 0)
        i++;
    if (i == MAX_GRANTS)
        return -ENOSPC;
    copy = i < grants->nr ? grants->texts[i] : strdup(text);
    if (copy == NULL)
        return -ENOMEM;
    if (i < grants->nr)
        memmove(&grants->texts[i], &grants->texts[i + 1], (--grants->nr - i) * sizeof(grants->texts[0]));
    grants->texts[grants->nr++] = copy;
    return 0;
}

static int line_append(const struct device_grants *grants, const char *text)
{
    char lines[sizeof(grants->head) + DEVICE_GRANT_LEN + 1];
    int fd = open(grants->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600), rc = 0, n;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0) {
        rc = -errno;
    } else {
        n = snprintf(lines, sizeof(lines), "%s%s\n", st.st_size == 0 ? grants->head : "", text);
        rc = write(fd, lines, (size_t)n) == n ? 0 : -EIO;
        /* Half a line would begin the next one. */
        if (rc < 0 && ftruncate(fd, st.st_size) != 0)
            unlink(grants->path);
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

int device_grants_add_kept(struct device_grants *grants, const char *text)
{
    const char *last = grants->nr > 0 ? grants->texts[grants->nr - 1] : "";
    bool known = strcmp(last, text) == 0;
    int rc = device_grants_add(grants, text);

    return rc == 0 && !known ? line_append(grants, text) : rc;
}

static const char *find(const struct device_grants *grants, const char *socket, size_t socket_len)
{
    for (size_t i = grants->nr; i-- > 0;) {
        size_t len = 0;
        const char *its = device_grants_socket(grants->texts[i], &len);

        if (its != NULL && socket_len == len && memcmp(its, socket, len) == 0)
            return grants->texts[i];
    }
    return NULL;
}

const char *device_grants_find(const struct device_grants *grants, const char *socket)
{
    return find(grants, socket, strlen(socket));
}

const char *device_grants_find_text(const struct device_grants *grants, const char *text)
{
    size_t len = 0;
    const char *socket = device_grants_socket(text, &len);

    for (size_t i = 0; i < grants->nr; i++)
        if (strcmp(grants->texts[i], text) == 0)
            return grants->texts[i];
    return socket != NULL ? find(grants, socket, len) : NULL;
}

static void file_read(struct device_grants *grants)
{
    FILE *f = fopen(grants->path, "re");
    char line[DEVICE_GRANT_LEN + 2];
    long good = (long)strlen(grants->head);
    bool ours = f != NULL && fgets(line, sizeof(line), f) != NULL && strcmp(line, grants->head) == 0;

    while (ours && fgets(line, sizeof(line), f) != NULL) {
        size_t len = strcspn(line, "\n");

        /* One without its end is all that was written of it before a kill: the next one is not to follow on
         * it. */
        if (line[len] != '\n') {
            if (truncate(grants->path, good) != 0)
                unlink(grants->path);
            break;
        }
        line[len] = '\0';
        device_grants_add(grants, line);
        good = ftell(f);
    }
    if (f != NULL)
        fclose(f);
    if (!ours)
        unlink(grants->path);
}

int device_grants_new(struct device_grants **out, const char *path, const uint8_t uuid[16])
{
    struct device_grants *grants = calloc(1, sizeof(*grants));
    char *at;

    if (grants == NULL || (grants->path = strdup(path)) == NULL) {
        free(grants);
        return -ENOMEM;
    }
    at = stpcpy(grants->head, "# uuid ");
    for (int i = 0; i < 16; i++)
        at += sprintf(at, "%02x", uuid[i]);
    strcpy(at, "\n");
    file_read(grants);
    *out = grants;
    return 0;
}

void device_grants_free(struct device_grants *grants)
{
    if (grants == NULL)
        return;
    for (size_t i = 0; i < grants->nr; i++)
        free(grants->texts[i]);
    free(grants->path);
    free(grants);
}

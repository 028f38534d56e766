// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * record.c - see record.h. DOMID.guest has a line for each thing, a word and its value, in a fixed order:
 *
 *   vhost-dmd 1                   the format
 *   uuid HEX
 *   name NAME
 *   settings keep|release SECONDS SHM-LIMIT|-
 *   vhost-dm PID START
 *   device NAME virtio|virtio_disk|- DEVID     for each that it was started with; and of this one:
 *   socket PATH
 *   back-end PID START
 *   arg WORD                                   as often as its back-end's command has words
 *
 * DOMID.devices is brought up to date by vhost-dm when devices are added or removed while the guest runs.
 */
#include "dmd/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/saved_state.h"
#include "common/util.h"
#include "dmd/devices_file.h"
#include "xen/device_grants.h"

#define FORMAT   "vhost-dmd 1"
#define LINE_LEN 4200 /* a word of a command is the longest */

void record_path(char path[RECORD_PATH_LEN], const char *dir, unsigned domid, const char *kind)
{
    snprintf(path, RECORD_PATH_LEN, "%s/%u.%s", dir, domid, kind);
}

static void uuid_text(char text[33], const uint8_t uuid[16])
{
    for (int i = 0; i < 16; i++)
        snprintf(text + 2 * i, 3, "%02x", uuid[i]);
}

/* ---- writing --------------------------------------------------------------------------------- */

static FILE *write_begin(const char *dir, unsigned domid, const char *kind)
{
    char path[RECORD_PATH_LEN];
    int fd;

    record_path(path, dir, domid, kind);
    strcat(path, ".new"); /* there is room: state-dir is a fraction of it */
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd >= 0 ? fdopen(fd, "w") : NULL;
}

static int write_end(FILE *file, const char *dir, unsigned domid, const char *kind)
{
    char path[RECORD_PATH_LEN], from[RECORD_PATH_LEN + 8];
    bool bad = ferror(file) != 0;

    record_path(path, dir, domid, kind);
    snprintf(from, sizeof(from), "%s.new", path);
    if (fclose(file) != 0 || bad || rename(from, path) != 0) {
        int rc = errno != 0 ? -errno : -EIO;

        unlink(from);
        return rc;
    }
    return 0;
}

int record_devices_write(const char *dir, unsigned domid, const uint8_t uuid[16], const struct plan *plan)
{
    const char *texts[CONFIG_MAX_DEVICES];

    for (size_t i = 0; i < plan->nr_devices; i++)
        texts[i] = plan->devices[i].text;
    return devices_file_write(dir, (uint16_t)domid, uuid, texts, plan->nr_devices, NULL);
}

static const char *kind_name(const struct plan_device *device)
{
    return !device->from_xl ? "-" : device->kind == TOOLSTACK_VIRTIO ? "virtio" : "virtio_disk";
}

int record_guest_write(const char *dir, unsigned domid, const struct record *record)
{
    const struct config_guest_settings *settings = &record->plan.settings;
    FILE *file = write_begin(dir, domid, "guest");
    char text[33];

    if (file == NULL)
        return -errno;
    uuid_text(text, record->uuid);
    fprintf(file, FORMAT "\nuuid %s\nname %s\n", text, record->name);
    fprintf(file, "settings %s %u %s %s\n", settings->on_failure == ON_FAILURE_KEEP ? "keep" : "release",
            settings->start_timeout, settings->shm_limit[0] != '\0' ? settings->shm_limit : "-",
            settings->confine[0] != '\0' ? settings->confine : "-");
    fprintf(file, "vhost-dm %d %llu\n", (int)record->vhost_dm.pid, record->vhost_dm.start);
    for (size_t i = 0; i < record->plan.nr_devices; i++) {
        const struct plan_device *device = &record->plan.devices[i];

        fprintf(file, "device %s %s %u\nsocket %s\nback-end %d %llu\n", device->name, kind_name(device),
                device->devid, device->socket, (int)record->back_ends[i].pid, record->back_ends[i].start);
        for (size_t j = 0; j < device->back_end.n; j++)
            fprintf(file, "arg %s\n", device->back_end.word[j]);
    }
    return write_end(file, dir, domid, "guest");
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A line without its end. 0; 1: no more; -EINVAL: too long, or cut. */
static int line_next(FILE *file, char line[LINE_LEN])
{
    size_t len;

    if (fgets(line, LINE_LEN, file) == NULL)
        return 1;
    len = strlen(line);
    if (len == 0 || line[len - 1] != '\n')
        return -EINVAL;
    line[len - 1] = '\0';
    return 0;
}

/* The value of the next line, which must begin with the word; NULL: it does not. */
static const char *value_next(FILE *file, char line[LINE_LEN], const char *word)
{
    size_t len = strlen(word);

    if (line_next(file, line) != 0 || strncmp(line, word, len) != 0 || line[len] != ' ')
        return NULL;
    return line + len + 1;
}

static bool copy(char *to, size_t len, const char *text)
{
    return text != NULL && (size_t)snprintf(to, len, "%s", text) < len;
}

static bool uuid_read(const char *text, uint8_t uuid[16])
{
    if (text == NULL || strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32)
        return false;
    for (int i = 0; i < 16; i++) {
        unsigned byte = 0;

        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        uuid[i] = (uint8_t)byte;
    }
    return true;
}

static bool process_read(const char *text, struct record_process *process)
{
    int pid, end = 0;

    if (text == NULL || sscanf(text, "%9d %19llu%n", &pid, &process->start, &end) != 2 || text[end] != '\0' ||
        pid < 0)
        return false;
    process->pid = pid;
    return true;
}

static bool settings_read(const char *text, struct config_guest_settings *settings)
{
    char on_failure[16], limit[24], confine[4] = "-";
    int end = 0;

    /* (A vhost-dmd that is older than confinement has not written its word.) */
    if (text == NULL ||
        sscanf(text, "%15s %4u %23s%n %3s%n", on_failure, &settings->start_timeout, limit, &end, confine,
               &end) < 3 ||
        text[end] != '\0')
        return false;
    settings->on_failure = strcmp(on_failure, "keep") == 0 ? ON_FAILURE_KEEP : ON_FAILURE_RELEASE;
    snprintf(settings->shm_limit, sizeof(settings->shm_limit), "%s", strcmp(limit, "-") == 0 ? "" : limit);
    snprintf(settings->confine, sizeof(settings->confine), "%s", strcmp(confine, "-") == 0 ? "" : confine);
    return true;
}

static bool device_read(const char *text, struct plan_device *device)
{
    char kind[16];
    int end = 0;

    if (sscanf(text, "%31s %15s %9u%n", device->name, kind, &device->devid, &end) != 3 || text[end] != '\0')
        return false;
    device->from_xl = strcmp(kind, "-") != 0;
    device->kind = strcmp(kind, "virtio_disk") == 0 ? TOOLSTACK_VIRTIO_DISK : TOOLSTACK_VIRTIO;
    return true;
}

/* From the first "device" on. */
static int devices_read(FILE *file, struct record *record)
{
    struct plan *plan = &record->plan;
    char line[LINE_LEN];
    int rc;

    while ((rc = line_next(file, line)) == 0) {
        struct plan_device *device = plan->nr_devices > 0 ? &plan->devices[plan->nr_devices - 1] : NULL;

        if (strncmp(line, "arg ", 4) == 0) {
            if (device == NULL || words_add(&device->back_end, line + 4) != 0)
                return -EINVAL;
            continue;
        }
        if (strncmp(line, "device ", 7) != 0 || plan->nr_devices == CONFIG_MAX_DEVICES)
            return -EINVAL;
        device = &plan->devices[plan->nr_devices];
        if (!device_read(line + 7, device) ||
            !copy(device->socket, sizeof(device->socket), value_next(file, line, "socket")) ||
            !process_read(value_next(file, line, "back-end"), &record->back_ends[plan->nr_devices]))
            return -EINVAL;
        plan->nr_devices++;
    }
    return rc == 1 ? 0 : rc;
}

static int guest_read(FILE *file, const uint8_t uuid[16], struct record *record)
{
    char line[LINE_LEN];
    const char *its;

    if (line_next(file, line) != 0 || strcmp(line, FORMAT) != 0)
        return -EINVAL;
    its = value_next(file, line, "uuid");
    if (!uuid_read(its, record->uuid))
        return -EINVAL;
    if (uuid != NULL && memcmp(uuid, record->uuid, 16) != 0)
        return -ENOENT;
    if (!copy(record->name, sizeof(record->name), value_next(file, line, "name")) ||
        !settings_read(value_next(file, line, "settings"), &record->plan.settings) ||
        !process_read(value_next(file, line, "vhost-dm"), &record->vhost_dm))
        return -EINVAL;
    return devices_read(file, record);
}

static FILE *file_open(const char *dir, unsigned domid, const char *kind)
{
    char path[RECORD_PATH_LEN];
    int fd;

    record_path(path, dir, domid, kind);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return fd >= 0 ? fdopen(fd, "r") : NULL;
}

/* The first line of DOMID.devices. 0; -EINVAL; -ENOENT: it is of another guest. */
static int texts_head_read(FILE *file, const uint8_t uuid[16])
{
    char line[LINE_LEN], head[DEVICES_FILE_HEAD_LEN];

    devices_file_head(head, uuid);
    if (line_next(file, line) != 0)
        return -EINVAL;
    return strcmp(line, head) == 0 ? 0 : -ENOENT;
}

/* A line of DOMID.devices that is no device: may say how vhost-dm was started by another program. */
static void comment_read(const char *line, struct config_guest_settings *settings)
{
    const char *confine = line + strlen(DEVICES_FILE_CONFINE);

    if (strncmp(line, DEVICES_FILE_CONFINE, strlen(DEVICES_FILE_CONFINE)) == 0 &&
        (strcmp(confine, "on") == 0 || strcmp(confine, "off") == 0))
        strcpy(settings->confine, confine);
}

/* The next device of DOMID.devices, and its socket; settings, if not NULL: what is said before it. 0; 1: no
 * more; -EINVAL. */
static int text_next(FILE *file, char text[PLAN_TEXT_LEN], char socket[PLAN_SOCKET_LEN],
                     struct config_guest_settings *settings)
{
    char line[LINE_LEN];
    const char *its;
    size_t len;
    int rc;

    while ((rc = line_next(file, line)) == 0 && line[0] == '#')
        if (settings != NULL)
            comment_read(line, settings);
    if (rc != 0)
        return rc;
    its = device_grants_socket(line, &len);
    if (its == NULL || len >= PLAN_SOCKET_LEN || !copy(text, PLAN_TEXT_LEN, line))
        return -EINVAL;
    snprintf(socket, PLAN_SOCKET_LEN, "%.*s", (int)len, its);
    return 0;
}

/* All of them, in their order. Their number, or -EINVAL; -ENOENT: of another guest. */
static int texts_read(FILE *file, const uint8_t uuid[16], struct plan *plan)
{
    char text[PLAN_TEXT_LEN], socket[PLAN_SOCKET_LEN];
    int n = 0, rc = texts_head_read(file, uuid);

    while (rc == 0 && (rc = text_next(file, text, socket, &plan->settings)) == 0) {
        if (n == CONFIG_MAX_DEVICES)
            return -EINVAL;
        memcpy(plan->devices[n].text, text, sizeof(text));
        memcpy(plan->devices[n].socket, socket, sizeof(socket));
        n++;
    }
    return rc == 1 ? n : rc;
}

/* Gives each device its line, known by the socket. One that was removed since has none; one that was added is
 * only vhost-dm's to know. (An older vhost-dmd has not noted the sockets of another program's devices: these
 * take the lines as they come.) */
static int texts_match(FILE *file, const uint8_t uuid[16], struct plan *plan)
{
    char text[PLAN_TEXT_LEN], socket[PLAN_SOCKET_LEN];
    int rc = texts_head_read(file, uuid);

    while (rc == 0 && (rc = text_next(file, text, socket, NULL)) == 0)
        for (size_t i = 0; i < plan->nr_devices; i++) {
            struct plan_device *device = &plan->devices[i];

            if (device->text[0] == '\0' &&
                (device->socket[0] == '\0' || strcmp(device->socket, socket) == 0)) {
                memcpy(device->text, text, sizeof(text));
                break;
            }
        }
    return rc == 1 ? 0 : -EINVAL;
}

int record_devices_read(const char *dir, unsigned domid, const uint8_t uuid[16], struct plan *plan)
{
    FILE *file = file_open(dir, domid, "devices");
    int n;

    plan->settings = (struct config_guest_settings){0};
    if (file == NULL)
        return -ENOENT;
    n = texts_read(file, uuid, plan);
    fclose(file);
    for (int i = 0; i < n; i++) {
        const char *type = strstr(plan->devices[i].text, "type=");
        unsigned ordinal = 0;

        for (int j = 0; j < i; j++)
            ordinal += type != NULL && strstr(plan->devices[j].text, "type=") != NULL &&
                       strncmp(strstr(plan->devices[j].text, "type="), type, strcspn(type, ",")) == 0;
        snprintf(plan->devices[i].name, sizeof(plan->devices[i].name), "%.*s%u",
                 type != NULL ? (int)MIN(strcspn(type + 5, ","), 16) : 6, type != NULL ? type + 5 : "device",
                 ordinal);
    }
    plan->nr_devices = n > 0 ? (size_t)n : 0;
    return n > 0 ? 0 : n < 0 ? n : -EINVAL;
}

/* proc_locks(5): "1: FLOCK  ADVISORY  WRITE 1234 00:2a:567 0 EOF" */
pid_t record_state_holder(const char *dir, unsigned domid)
{
    char path[RECORD_PATH_LEN], line[256];
    struct stat st;
    pid_t found = 0;
    FILE *locks;

    record_path(path, dir, domid, "state");
    if (stat(path, &st) != 0)
        return 0;
    locks = fopen("/proc/locks", "re");
    while (locks != NULL && found == 0 && fgets(line, sizeof(line), locks) != NULL) {
        unsigned major, minor;
        unsigned long long inode;
        int pid;

        if (sscanf(line, "%*s FLOCK ADVISORY WRITE %d %x:%x:%llu", &pid, &major, &minor, &inode) == 4 &&
            pid > 0 && inode == st.st_ino && major == gnu_dev_major(st.st_dev) &&
            minor == gnu_dev_minor(st.st_dev))
            found = pid;
    }
    if (locks != NULL)
        fclose(locks);
    return found;
}

bool record_state_left(const char *dir, unsigned domid, const uint8_t uuid[16])
{
    char path[RECORD_PATH_LEN];

    record_path(path, dir, domid, "state");
    return saved_state_there(path, uuid) && record_state_holder(dir, domid) == 0;
}

int record_read(const char *dir, unsigned domid, const uint8_t uuid[16], struct record *record)
{
    FILE *file = file_open(dir, domid, "guest");
    int rc;

    if (file == NULL)
        return -ENOENT;
    rc = guest_read(file, uuid, record);
    fclose(file);
    if (rc != 0)
        return rc;
    file = file_open(dir, domid, "devices");
    if (file == NULL) {
        record->no_texts = errno == ENOENT;
        return record->no_texts ? 0 : -EINVAL;
    }
    rc = texts_match(file, record->uuid, &record->plan);
    fclose(file);
    return rc;
}

bool record_there(const char *dir, unsigned domid)
{
    char path[RECORD_PATH_LEN];

    record_path(path, dir, domid, "guest");
    return access(path, F_OK) == 0;
}

/* ---- the small ones -------------------------------------------------------------------------- */

int record_held_write(const char *dir, unsigned domid, const uint8_t uuid[16])
{
    FILE *file = write_begin(dir, domid, "held");
    char text[33];

    if (file == NULL)
        return -errno;
    uuid_text(text, uuid);
    fprintf(file, "uuid %s\n", text);
    return write_end(file, dir, domid, "held");
}

bool record_held(const char *dir, unsigned domid, const uint8_t uuid[16])
{
    FILE *file = file_open(dir, domid, "held");
    char line[LINE_LEN], text[33];
    const char *its;
    bool held;

    if (file == NULL)
        return false;
    uuid_text(text, uuid);
    its = value_next(file, line, "uuid");
    held = its != NULL && strcmp(its, text) == 0;
    fclose(file);
    return held;
}

bool record_ready(const char *dir, unsigned domid)
{
    FILE *file = file_open(dir, domid, "ready");
    char line[LINE_LEN];
    bool ready;

    if (file == NULL)
        return false;
    ready = line_next(file, line) == 0 && strcmp(line, "ready") == 0;
    fclose(file);
    return ready;
}

void record_remove(const char *dir, unsigned domid, const char *kind)
{
    char path[RECORD_PATH_LEN];

    record_path(path, dir, domid, kind);
    unlink(path);
}

void record_remove_begun(const char *dir, unsigned domid)
{
    static const char *const kinds[] = {"guest", "devices", "ready", "guest.new", "devices.new"};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        record_remove(dir, domid, kinds[i]);
}

void record_remove_all(const char *dir, unsigned domid)
{
    static const char *const kinds[] = {"guest",     "devices",     "held",     "ready",    "state",
                                        "shm",       "ctl",         "grant",    "added",    "kept",
                                        "guest.new", "devices.new", "held.new", "state.new"};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        record_remove(dir, domid, kinds[i]);
}

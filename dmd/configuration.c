// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * configuration.c - see configuration.h. Which keys of a device there are, and their values, is the business
 * of vhost-dm's command line (dm/options.c), which is asked for each.
 */
#include "dmd/configuration.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "config.h"
#include "dm/options.h"
#include "dm/shm_pool.h"
#include "dmd/ini_file.h"

#define START_TIMEOUT     30
#define START_TIMEOUT_MAX 3600

/* ---- settings -------------------------------------------------------------------------------- */

static bool text_set(char *to, size_t len, const char *value)
{
    if (value[0] == '\0' || strlen(value) >= len)
        return false;
    memcpy(to, value, strlen(value) + 1);
    return true;
}

static bool path_set(char *to, size_t len, const char *value)
{
    return value[0] == '/' && text_set(to, len, value);
}

static bool set_on_failure(struct config_guest_settings *settings, const char *value)
{
    if (strcmp(value, "release") == 0)
        settings->on_failure = ON_FAILURE_RELEASE;
    else if (strcmp(value, "keep") == 0)
        settings->on_failure = ON_FAILURE_KEEP;
    else
        return false;
    return true;
}

static bool set_start_timeout(struct config_guest_settings *settings, const char *value)
{
    char *end;
    unsigned long n = strtoul(value, &end, 10);

    if (value[0] < '0' || value[0] > '9' || *end != '\0' || n < 1 || n > START_TIMEOUT_MAX)
        return false;
    settings->start_timeout = (unsigned)n;
    return true;
}

/* As vhost-dm takes it. */
static bool set_shm_limit(struct config_guest_settings *settings, const char *value)
{
    unsigned long long bytes;

    return options_number(value, true, SHM_POOL_MAX_LIMIT, &bytes) && bytes % GUEST_PAGE_SIZE == 0 &&
           text_set(settings->shm_limit, sizeof(settings->shm_limit), value);
}

static bool set_confine(struct config_guest_settings *settings, const char *value)
{
    return (strcmp(value, "on") == 0 || strcmp(value, "off") == 0) &&
           text_set(settings->confine, sizeof(settings->confine), value);
}

static const struct setting {
    const char *name, *allowed;
    bool (*set)(struct config_guest_settings *settings, const char *value);
} settings_known[] = {
    {"on-failure", "release or keep", set_on_failure},
    {"start-timeout", "seconds from 1 to 3600", set_start_timeout},
    {"shm-limit", "a multiple of 4K to 1024G, as 512M", set_shm_limit},
    {"confine", "on or off", set_confine},
};

/* 0; -ENOENT: not one of these; -EINVAL and why. */
static int setting_read(struct config_guest_settings *settings, const struct ini_line *line, char *why,
                        size_t why_len)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings_known); i++) {
        if (strcmp(settings_known[i].name, line->key) != 0)
            continue;
        if (settings_known[i].set(settings, line->value))
            return 0;
        snprintf(why, why_len, "%s=%.60s: must be %s", line->key, line->value, settings_known[i].allowed);
        return -EINVAL;
    }
    return -ENOENT;
}

static int not_continued(const struct ini_line *line, char *why, size_t why_len)
{
    if (!line->more)
        return 0;
    snprintf(why, why_len, "begins with a blank, as if '%.60s' went on: only command= can", line->key);
    return -EINVAL;
}

/* ---- the daemon's file ----------------------------------------------------------------------- */

static int daemon_line(void *ctx, const struct ini_line *line, char *why, size_t why_len)
{
    struct config_daemon *config = ctx;
    bool good = false;
    const char *allowed = "an absolute path";
    int rc;

    if (strcmp(line->section, "vhost-dmd") != 0) {
        snprintf(why, why_len, "[%.60s]: the only section here is [vhost-dmd]", line->section);
        return -EINVAL;
    }
    if (line->key == NULL)
        return 0;
    rc = not_continued(line, why, why_len);
    if (rc == 0)
        rc = setting_read(&config->defaults, line, why, why_len);
    if (rc != -ENOENT)
        return rc;
    if (strcmp(line->key, "state-dir") == 0) {
        good = path_set(config->state_dir, sizeof(config->state_dir), line->value);
    } else if (strcmp(line->key, "vhost-dm") == 0) {
        good = path_set(config->vhost_dm, sizeof(config->vhost_dm), line->value);
    } else if (strcmp(line->key, "virtio-disk") == 0) {
        good = text_set(config->virtio_disk, sizeof(config->virtio_disk), line->value);
        allowed = "a back-end's name and its values, as in back-end=";
    } else {
        snprintf(why, why_len,
                 "unknown key '%.60s'; known are: state-dir vhost-dm virtio-disk on-failure start-timeout "
                 "shm-limit confine",
                 line->key);
        return -EINVAL;
    }
    if (!good)
        snprintf(why, why_len, "%s=%.60s: must be %s", line->key, line->value, allowed);
    return good ? 0 : -EINVAL;
}

int config_daemon_read(struct config_daemon *config, const char *path, char *why, size_t why_len)
{
    int rc;

    *config = (struct config_daemon){
        .state_dir = OPTIONS_DEFAULT_STATE_DIR,
        .vhost_dm = VHOST_DM_PROGRAM,
        .defaults = {.on_failure = ON_FAILURE_RELEASE, .start_timeout = START_TIMEOUT},
    };
    rc = ini_file_read(path, daemon_line, config, why, why_len);
    return rc == -ENOENT ? 0 : rc;
}

/* ---- a guest's file -------------------------------------------------------------------------- */

static bool device_name_good(const char *name)
{
    if (!isalpha((unsigned char)name[0]) || strlen(name) >= CONFIG_DEVICE_NAME_LEN)
        return false;
    for (; *name != '\0'; name++)
        if (!isalnum((unsigned char)*name) && strchr("-_.", *name) == NULL)
            return false;
    return true;
}

static int section_begin(struct config_guest *config, const struct ini_line *line, char *why, size_t why_len)
{
    struct config_device *device;

    if (strcmp(line->section, "guest") == 0)
        return 0;
    if (!device_name_good(line->section)) {
        snprintf(why, why_len,
                 "[%.60s]: must be [guest] or the name of a device, as [fs0]: letters, digits, '-', '_', '.'",
                 line->section);
        return -EINVAL;
    }
    for (size_t i = 0; i < config->nr_devices; i++)
        if (strcmp(config->devices[i].name, line->section) == 0) {
            snprintf(why, why_len, "[%s]: is there already in line %d", line->section,
                     config->devices[i].line);
            return -EINVAL;
        }
    if (config->nr_devices == CONFIG_MAX_DEVICES) {
        snprintf(why, why_len, "[%s]: more than %d devices", line->section, CONFIG_MAX_DEVICES);
        return -EINVAL;
    }
    device = &config->devices[config->nr_devices++];
    device->line = line->number;
    snprintf(device->name, sizeof(device->name), "%s", line->section);
    return 0;
}

/* A key of --device. */
static int option_add(struct config_device *device, const struct ini_line *line, char *why, size_t why_len)
{
    size_t len = strlen(device->options);
    char *to = device->options;
    char begin[64];

    snprintf(begin, sizeof(begin), ",%s=", line->key);
    if (strstr(device->options, begin) != NULL ||
        (strcmp(line->key, "type") == 0 && device->type[0] != '\0') ||
        (strcmp(line->key, "socket") == 0 && device->socket[0] != '\0')) {
        snprintf(why, why_len, "%s= is there twice", line->key);
        return -EINVAL;
    }
    if (options_check_pair(line->key, line->value, why, why_len) != 0) {
        len = strlen(why);
        if (strncmp(why, "unknown key", 11) == 0 && len < why_len)
            snprintf(why + len, why_len - len, " back-end");
        return -EINVAL;
    }
    if (strcmp(line->key, "type") == 0)
        return text_set(device->type, sizeof(device->type), line->value) ? 0 : -EINVAL;
    if (strcmp(line->key, "socket") == 0) {
        if (path_set(device->socket, sizeof(device->socket), line->value))
            return 0;
        snprintf(why, why_len, "socket=%.60s: must be an absolute path", line->value);
        return -EINVAL;
    }
    device->has_wait |= strcmp(line->key, "wait") == 0;
    if ((size_t)snprintf(to + len, sizeof(device->options) - len, "%s%s", begin, line->value) <
        sizeof(device->options) - len)
        return 0;
    snprintf(why, why_len, "%s: more than %d bytes of options for one device", line->key, CONFIG_OPTIONS_LEN);
    return -EINVAL;
}

static int guest_line(void *ctx, const struct ini_line *line, char *why, size_t why_len)
{
    struct config_guest *config = ctx;
    struct config_device *device;
    int rc;

    if (line->section[0] == '\0') {
        snprintf(why, why_len, "'%.60s' stands before the first [SECTION], which names a device", line->key);
        return -EINVAL;
    }
    if (line->key == NULL)
        return section_begin(config, line, why, why_len);
    rc = not_continued(line, why, why_len);
    if (rc != 0)
        return rc;
    if (strcmp(line->section, "guest") == 0) {
        rc = setting_read(&config->settings, line, why, why_len);
        if (rc == -ENOENT)
            snprintf(why, why_len,
                     "unknown key '%.60s'; known in [guest] are: on-failure start-timeout shm-limit confine",
                     line->key);
        return rc;
    }
    device = &config->devices[config->nr_devices - 1];
    if (strcmp(line->key, "back-end") != 0)
        return option_add(device, line, why, why_len);
    if (device->back_end[0] == '\0' && text_set(device->back_end, sizeof(device->back_end), line->value))
        return 0;
    snprintf(why, why_len, "back-end=%.60s: must be there once, a name and KEY=VALUE for it", line->value);
    return -EINVAL;
}

/* Of a file with mistakes: what is to become of the guest then may stand behind the first one. */
static int guest_setting_line(void *ctx, const struct ini_line *line, char *why, size_t why_len)
{
    struct config_guest *config = ctx;

    if (line->key == NULL || line->more || strcmp(line->section, "guest") != 0)
        return 0;
    return setting_read(&config->settings, line, why, why_len);
}

bool config_guest_name_good(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len >= CONFIG_GUEST_NAME_LEN || name[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++)
        if (name[i] == '/' || (unsigned char)name[i] < ' ' || name[i] == 0x7f)
            return false;
    return true;
}

int config_guest_read(struct config_guest *config, const char *dir, const char *name,
                      const struct config_daemon *daemon, char *why, size_t why_len)
{
    int rc;

    *config = (struct config_guest){.settings = daemon->defaults};
    if (!config_guest_name_good(name)) {
        snprintf(why, why_len,
                 "its name cannot be a file's: 1 to %d bytes, no '/', no '.' in front, are needed",
                 CONFIG_GUEST_NAME_LEN - 1);
        return -EINVAL;
    }
    if ((size_t)snprintf(config->path, sizeof(config->path), "%s/%s.conf", dir, name) >=
        sizeof(config->path)) {
        snprintf(why, why_len, "%.60s/...: the path is too long", dir);
        return -ENAMETOOLONG;
    }
    /* The daemon's own file is no guest's. */
    if (strcmp(name, "vhost-dmd") == 0 || strcmp(name, "back-ends") == 0)
        return 0;
    rc = ini_file_read(config->path, guest_line, config, why, why_len);
    config->there = rc != -ENOENT;
    if (rc == -EINVAL)
        ini_file_skim(config->path, guest_setting_line, config);
    return rc == -ENOENT ? 0 : rc;
}

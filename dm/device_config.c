// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * device_config.c - see device_config.h.
 */
#include "dm/device_config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"

#define MAC_LEN 6

uint64_t device_config_get(const uint8_t *bytes, size_t offset, size_t len)
{
    uint64_t value = 0;

    while (len-- > 0)
        value = value << 8 | bytes[offset + len];
    return value;
}

void device_config_put(uint8_t *bytes, size_t offset, size_t len, uint64_t value)
{
    for (size_t i = 0; i < len; i++, value >>= 8)
        bytes[offset + i] = (uint8_t)value;
}

/* ---- values of keys ------------------------------------------------------------------------------------ */

static bool hex_byte(const char *text, uint8_t *byte)
{
    const char digits[3] = {text[0], text[0] != '\0' ? text[1] : '\0', '\0'};

    if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]))
        return false;
    *byte = (uint8_t)strtoul(digits, NULL, 16);
    return true;
}

static bool mac_parse(const char *text, uint8_t mac[MAC_LEN])
{
    for (unsigned i = 0; i < MAC_LEN; i++, text += 3)
        if (!hex_byte(text, &mac[i]) || text[2] != (i + 1 < MAC_LEN ? ':' : '\0'))
            return false;
    /* A card's own address is no group's, and not nothing (IEEE 802, 8.2). */
    return !(mac[0] & 1) && memcmp(mac, (const uint8_t[MAC_LEN]){0}, MAC_LEN) != 0;
}

static bool number_set(uint8_t *bytes, const struct device_field *field, const char *text)
{
    unsigned long long n;
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    n = strtoull(text, &end, 0);
    if (errno != 0 || *end != '\0' || n < field->min || n > field->max)
        return false;
    device_config_put(bytes, field->offset, field->len, n);
    return true;
}

/* How many bytes the digits are; 0: they are not allowed. */
static size_t hex_parse(uint8_t *bytes, size_t max, const char *text)
{
    size_t len = strlen(text) / 2;

    if (strlen(text) % 2 != 0 || len > max)
        return 0;
    for (size_t i = 0; i < len; i++)
        if (!hex_byte(text + 2 * i, &bytes[i]))
            return 0;
    return len;
}

bool device_config_key_set(struct device_config_keys *keys, const struct device_field *field,
                           const char *value)
{
    uint8_t *at = keys->bytes + field->offset;
    size_t len = field->len;
    bool good = false;

    switch (field->kind) {
    case FIELD_TEXT:
        good = value[0] != '\0' && strlen(value) <= len;
        if (good)
            memcpy(at, value, strlen(value));
        break;
    case FIELD_NUMBER:
        good = number_set(keys->bytes, field, value);
        break;
    case FIELD_MAC:
        good = mac_parse(value, at);
        break;
    case FIELD_HEX:
        len = hex_parse(at, len, value);
        good = len > 0;
        break;
    }
    /* (Zeros behind a text are of it.) */
    for (size_t i = 0; good && i < len; i++)
        keys->given[field->offset + i] = true;
    return good;
}

/* ---- the config space -------------------------------------------------------------------------- */

/* The same for the same guest, whenever it is created: FNV-1a of its name and the device's number, made a
 * locally administered address of a single card. */
static void stable_mac(uint8_t mac[MAC_LEN], const char *guest, unsigned index)
{
    char text[128];
    uint64_t hash = 0xcbf29ce484222325;

    snprintf(text, sizeof(text), "%u %s", index, guest);
    for (const char *c = text; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3;
    hash ^= hash >> 48;
    device_config_put(mac, 0, MAC_LEN, hash);
    mac[0] = (uint8_t)((mac[0] & 0xfc) | 2);
}

static bool backend_serves(const struct device_config_input *in, const struct device_field *field)
{
    return in->backend_len >= (size_t)field->offset + field->len &&
           (field->feature == DEVICE_FEATURE_ALWAYS || in->features >> field->feature & 1);
}

static bool is_given(const struct device_config_input *in, const struct device_field *field)
{
    return field->key != NULL && in->keys->given[field->offset];
}

/* Fills a field that the back-end does not serve. 0: done; 1: it is not there; -ENODATA: its key is missing.
 */
static int field_make(struct device_config *config, const struct device_config_input *in,
                      const struct device_field *field)
{
    switch (field->source) {
    case FIELD_OPTIONAL:
        return 1;
    case FIELD_NEEDED:
        return -ENODATA;
    case FIELD_STABLE_MAC:
        stable_mac(config->bytes + field->offset, in->guest, in->index);
        return 0;
    case FIELD_FIXED:
        device_config_put(config->bytes, field->offset, field->len, field->min);
        return 0;
    }
    return 1;
}

int device_config_make(struct device_config *config, const struct device_config_input *in,
                       const char **missing)
{
    const struct device_type *type = in->type;

    *config = (struct device_config){0};
    *missing = NULL;
    if (in->backend_len < type->config_min)
        return -ENODATA;
    if (in->backend_len > 0)
        memcpy(config->bytes, in->backend, MIN(in->backend_len, type->config_len));
    for (const struct device_field *f = type->fields; f < type->fields + DEVICE_MAX_FIELDS && f->len > 0;
         f++) {
        uint64_t bit = f->feature == DEVICE_FEATURE_ALWAYS ? 0 : (uint64_t)1 << f->feature;
        int rc = 0;

        if (is_given(in, f)) {
            for (size_t i = f->offset; i < (size_t)f->offset + f->len; i++)
                config->bytes[i] = in->keys->given[i] ? in->keys->bytes[i] : config->bytes[i];
        } else if (backend_serves(in, f)) {
            continue;
        } else {
            rc = field_make(config, in, f);
        }
        if (rc < 0) {
            *missing = f->key;
            return rc;
        }
        *(rc == 0 ? &config->own : &config->not_served) |= bit;
    }
    return 0;
}

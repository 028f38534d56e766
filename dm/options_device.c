// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * options_device.c - one --device of the command line (options.h): the keys that are for all types, and by
 * device_types.c those that are not.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "dm/bounce.h"
#include "dm/options.h"
#include "dm/pci.h"
#include "dm/placement.h"

#define MAX_IRQ 1019 /* of Arm's shared interrupts (Arm GIC architecture, IHI 0069, 2.2.1) */

bool options_number(const char *text, bool suffixes, unsigned long long max, unsigned long long *value)
{
    char *end;
    unsigned shift = 0;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *value = strtoull(text, &end, 0);
    if (errno != 0 || end == text)
        return false;
    if (suffixes && *end != '\0') {
        const char *units = "KMG", *unit = strchr(units, *end);

        if (unit == NULL)
            return false;
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
    }
    if (*end != '\0' || *value > max >> shift)
        return false;
    *value <<= shift;
    return true;
}

static bool set_socket(struct device_options *device, const char *value)
{
    if (value[0] == '\0' || strlen(value) >= sizeof(device->socket))
        return false;
    snprintf(device->socket, sizeof(device->socket), "%s", value);
    return true;
}

static bool set_virtio_id(struct device_options *device, const char *value)
{
    unsigned long long n;

    /* As many as there are PCI device ids for (virtio 1.2, 4.1.2). */
    if (!options_number(value, false, 63, &n) || n == 0)
        return false;
    device->virtio_id = (uint16_t)n;
    return true;
}

static bool set_config_size(struct device_options *device, const char *value)
{
    unsigned long long n;

    if (!options_number(value, false, VIRTIO_MAX_CONFIG, &n))
        return false;
    device->config_size = (size_t)n;
    device->config_size_given = true;
    return true;
}

static bool set_pci_class(struct device_options *device, const char *value)
{
    unsigned long long n;

    if (!options_number(value, false, 0xffffff, &n) || n == 0)
        return false;
    device->pci_class = (uint32_t)n;
    return true;
}

static bool set_slot(struct device_options *device, const char *value)
{
    unsigned long long n;

    if (!options_number(value, false, 31, &n) || n == 0)
        return false;
    device->slot = (uint8_t)n;
    return true;
}

static bool set_transport(struct device_options *device, const char *value)
{
    if (strcmp(value, "pci") == 0)
        device->transport = TRANSPORT_PCI;
    else if (strcmp(value, "mmio") == 0)
        device->transport = TRANSPORT_MMIO;
    else
        return false;
    return true;
}

/* A guest-physical address, not 0: room for len bytes in the 52 bits that addresses have at the most. */
static bool set_gpa(uint64_t *gpa, const char *value, uint64_t align, uint64_t len)
{
    unsigned long long n;

    if (!options_number(value, true, ((uint64_t)1 << 52) - len, &n) || n == 0 || n % align != 0)
        return false;
    *gpa = n;
    return true;
}

static bool set_base(struct device_options *device, const char *value)
{
    return set_gpa(&device->place.base, value, VIRTIO_MMIO_LEN, VIRTIO_MMIO_LEN);
}

static bool set_shm_base(struct device_options *device, const char *value)
{
    return set_gpa(&device->place.shm_base, value, GUEST_PAGE_SIZE, GUEST_PAGE_SIZE);
}

static bool set_irq(struct device_options *device, const char *value)
{
    unsigned long long n;

    if (!options_number(value, false, MAX_IRQ, &n) || n == 0)
        return false;
    device->place.irq = (uint32_t)n;
    return true;
}

static bool set_memory(struct device_options *device, const char *value)
{
    if (strcmp(value, "auto") == 0)
        device->memory = MEMORY_AUTO;
    else if (strcmp(value, "bounce") == 0)
        device->memory = MEMORY_BOUNCE;
    else if (strcmp(value, "xen-mmap") == 0)
        device->memory = MEMORY_XEN_MMAP;
    else
        return false;
    return true;
}

static bool set_queues(struct device_options *device, const char *value)
{
    unsigned long long n;

    if (!options_number(value, false, VIRTIO_MAX_QUEUES, &n) || n == 0)
        return false;
    device->nr_queues = (unsigned)n;
    return true;
}

static bool set_queue_size(struct device_options *device, const char *value)
{
    unsigned long long n;

    if (!options_number(value, false, VIRTIO_MAX_QUEUE_SIZE, &n) || n < 2 || (n & (n - 1)) != 0)
        return false;
    device->queue_size = (uint16_t)n;
    return true;
}

static bool set_bounce_pool(struct device_options *device, const char *value)
{
    unsigned long long n;

    if (!options_number(value, true, BOUNCE_POOL_MAX, &n) || n < BOUNCE_POOL_MIN)
        return false;
    device->bounce_pool = (size_t)n;
    return true;
}

static bool set_placement(struct device_options *device, const char *value)
{
    return placement_by_name(value, &device->shmem.placement);
}

static bool set_max_mappings(struct device_options *device, const char *value)
{
    unsigned long long n;

    if (!options_number(value, true, UINT32_MAX, &n) || n == 0)
        return false;
    device->shmem.max_mappings = n;
    return true;
}

static bool set_max_mapped(struct device_options *device, const char *value)
{
    unsigned long long n;

    if (!options_number(value, true, SHMEM_MAX_WINDOW, &n) || n == 0)
        return false;
    device->shmem.max_bytes = n;
    return true;
}

static bool set_shmem_bit(struct device_options *device, const char *value)
{
    unsigned long long n;

    /* The numbers that drafts of the protocol used. */
    if (!options_number(value, false, 22, &n) || n < 20)
        return false;
    device->shmem_bit = (unsigned)n;
    return true;
}

static bool set_shmem_ack(struct device_options *device, const char *value)
{
    if (strcmp(value, "always") != 0 && strcmp(value, "asked") != 0)
        return false;
    device->shmem_ack_always = strcmp(value, "always") == 0;
    return true;
}

static bool set_wait(struct device_options *device, const char *value)
{
    unsigned long long n;

    if (!options_number(value, false, 3600, &n))
        return false;
    device->wait_limit = (double)n;
    return true;
}

static bool set_timeout(struct device_options *device, const char *value)
{
    unsigned long long n;

    if (!options_number(value, false, 3600, &n) || n == 0)
        return false;
    device->reply_limit = (double)n;
    return true;
}

/* Keys that have no type are for all; those of the types' fields of config space are in device_types.c. */
static const struct device_key {
    const char *name, *allowed;
    bool (*set)(struct device_options *device, const char *value);
    const char *type;
} device_keys[] = {
    {"type", NULL, NULL, NULL},
    {"socket", "the path of a back-end's socket, at most 107 bytes", set_socket, NULL},
    {"virtio-id", "1 to 63", set_virtio_id, "generic"},
    {"config-size", "0 to 256 bytes", set_config_size, "generic"},
    {"pci-class", "class, subclass and interface, as 0x020000", set_pci_class, "generic"},
    {"transport", "pci or mmio", set_transport, NULL},
    {"slot", "a PCI device number from 1 to 31 (0x1f)", set_slot, NULL},
    {"base", "an address that is a multiple of 0x200", set_base, NULL},
    {"irq", "1 to 1019; of x86 guests at most 15", set_irq, NULL},
    {"shm-base", "an address that is a multiple of 4K", set_shm_base, NULL},
    {"memory", "auto, bounce or xen-mmap", set_memory, NULL},
    {"queues", "1 to 64", set_queues, NULL},
    {"queue-size", "a power of two from 2 to 1024", set_queue_size, NULL},
    {"bounce-pool", "1M to 2G", set_bounce_pool, NULL},
    {"timeout", "seconds from 1 to 3600", set_timeout, NULL},
    {"wait", "seconds to 3600", set_wait, NULL},
    {"placement", "auto, foreign, device, copy or trap", set_placement, NULL},
    {"max-mappings", "1 to 4294967295", set_max_mappings, NULL},
    {"max-mapped", "a number of bytes up to 1024G", set_max_mapped, NULL},
    {"shmem-bit", "20, 21 or 22", set_shmem_bit, NULL},
    {"shmem-ack", "asked or always", set_shmem_ack, NULL},
};

/* One key with its value, and where to say what is wrong. */
struct device_pair {
    const char *key, *value;
    char *why;
    size_t why_len;
};

static int pair_wrong(const struct device_pair *pair, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static int pair_wrong(const struct device_pair *pair, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(pair->why, pair->why_len, fmt, args);
    va_end(args);
    return -EINVAL;
}

static int type_refused(const struct device_pair *pair, const struct device_type *type)
{
    if (type->no_way != NULL)
        return pair_wrong(pair, "%s=%s: type %s cannot be had: %s", pair->key, pair->value, type->name,
                          type->no_way);
    return pair_wrong(
        pair,
        "%s=%s: requests of %s carry guest addresses, which cannot be copied: with a back-end that "
        "maps the guest's memory itself (XEN_MMAP) use type=generic,virtio-id=%u,memory=xen-mmap",
        pair->key, pair->value, type->name, type->virtio_id);
}

static int type_set(struct device_options *device, const struct device_pair *pair)
{
    char names[160] = "";
    const struct device_type *type;

    device->type = device_type_find(pair->value);
    if (device->type != NULL)
        return device->type->no_bounce || device->type->no_way != NULL ? type_refused(pair, device->type) : 0;
    for (size_t i = 0; (type = device_type_at(i)) != NULL; i++)
        if (!type->no_bounce && type->no_way == NULL)
            snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i > 0 ? ", " : "",
                     type->name);
    return pair_wrong(pair, "type=%.60s: must be one of %s", pair->value, names);
}

static int key_of_another(const struct device_pair *pair, const char *type)
{
    pair_wrong(pair, "%s= is for type=%s", pair->key, type);
    return -ENOENT;
}

/* Says which keys there are for a type; NULL: for any. */
static int key_unknown(const struct device_pair *pair, const struct device_type *only)
{
    const struct device_type *type;
    int n = snprintf(pair->why, pair->why_len, "unknown key '%.60s'; known are:", pair->key);

    for (size_t i = 0; i < ARRAY_SIZE(device_keys) && n > 0 && (size_t)n < pair->why_len; i++)
        if (only == NULL || device_keys[i].type == NULL || strcmp(device_keys[i].type, only->name) == 0)
            n += snprintf(pair->why + n, pair->why_len - (size_t)n, " %s", device_keys[i].name);
    for (size_t t = 0; (type = device_type_at(t)) != NULL; t++)
        for (size_t i = 0; i < DEVICE_MAX_FIELDS && n > 0 && (size_t)n < pair->why_len; i++)
            if ((only == NULL || only == type) && type->fields[i].key != NULL)
                n += snprintf(pair->why + n, pair->why_len - (size_t)n, " %s", type->fields[i].key);
    return -ENOENT;
}

/* A key that is not in the table: of the type's config space, or wrong. */
static int field_set(struct device_options *device, const struct device_pair *pair)
{
    const struct device_field *field = device_type_field(device->type, pair->key);
    const struct device_type *type;

    if (field != NULL && device->keys.given[field->offset])
        return pair_wrong(pair, "%s= is there twice", pair->key);
    if (field != NULL && device_config_key_set(&device->keys, field, pair->value))
        return 0;
    if (field != NULL)
        return pair_wrong(pair, "%s=%.60s: must be %s", pair->key, pair->value, field->allowed);
    for (size_t i = 0; (type = device_type_at(i)) != NULL; i++)
        if (device_type_field(type, pair->key) != NULL)
            return key_of_another(pair, type->name);
    return key_unknown(pair, device->type);
}

/* 0, or -EINVAL; -ENOENT: the type has no such key. */
static int pair_set(struct device_options *device, const struct device_pair *pair, unsigned *seen)
{
    for (size_t i = 0; i < ARRAY_SIZE(device_keys); i++) {
        const struct device_key *key = &device_keys[i];

        if (strcmp(key->name, pair->key) != 0)
            continue;
        if (*seen >> i & 1)
            return pair_wrong(pair, "%s= is there twice", pair->key);
        *seen |= 1u << i;
        if (key->set == NULL) /* type=, which came before all others */
            return 0;
        if (key->type != NULL && strcmp(key->type, device->type->name) != 0)
            return key_of_another(pair, key->type);
        if (!key->set(device, pair->value))
            return pair_wrong(pair, "%s=%.60s: must be %s", pair->key, pair->value, key->allowed);
        return 0;
    }
    return field_set(device, pair);
}

/* What goes with which type. */
static int type_check(const struct device_options *device, const struct device_pair *pair)
{
    const struct device_type *type = device->type, *known = device_type_by_id(device->virtio_id);

    if (type->virtio_id != 0) {
        if (device->nr_queues > 0 && !device_type_has_queues_key(type))
            return pair_wrong(pair, "queues= is not for type=%s, which has %u", type->name, type->nr_queues);
        if (device->nr_queues + type->nr_extra > VIRTIO_MAX_QUEUES)
            return pair_wrong(pair, "queues=%u: must be 1 to %u for type=%s", device->nr_queues,
                              VIRTIO_MAX_QUEUES - type->nr_extra, type->name);
        return 0;
    }
    if (device->virtio_id == 0 || device->nr_queues == 0 || !device->config_size_given)
        return pair_wrong(pair, "type=%s needs virtio-id=, queues= and config-size=", type->name);
    if (known != NULL && (known->no_way != NULL || (known->no_bounce && device->memory == MEMORY_BOUNCE))) {
        char id[8];

        snprintf(id, sizeof(id), "%u", device->virtio_id);
        return type_refused(&(struct device_pair){"virtio-id", id, pair->why, pair->why_len}, known);
    }
    if (known != NULL && known->needs_shmem)
        return pair_wrong(pair, "virtio-id=%u: that is type=%s", device->virtio_id, known->name);
    for (size_t i = device->config_size; i < VIRTIO_MAX_CONFIG; i++)
        if (device->keys.given[i])
            return pair_wrong(pair, "config= is longer than config-size=%zu", device->config_size);
    return 0;
}

/* What goes with which transport. 0, or -EINVAL and why. */
static int transport_check(const struct device_options *device, char *why, size_t why_len)
{
    const struct virtio_mmio_place *place = &device->place;
    const char *wrong = NULL;

    if (device->transport == TRANSPORT_PCI && (place->base != 0 || place->irq != 0 || place->shm_base != 0))
        wrong = "base=, irq= and shm-base= are for transport=mmio";
    else if (device->transport == TRANSPORT_MMIO && device->slot != PCI_SLOT_ANY)
        wrong = "slot= is for transport=pci";
    else if (device->transport == TRANSPORT_MMIO && (place->base == 0 || place->irq == 0))
        wrong = "transport=mmio needs base= and irq=, which the guest must be told of too";
    if (wrong == NULL)
        return 0;
    snprintf(why, why_len, "%s", wrong);
    return -EINVAL;
}

/* Takes the list apart in place: an array of at most max pairs. How many, or -EINVAL. */
static int pairs_split(char *text, struct device_pair *pairs, size_t max, char *why, size_t why_len)
{
    size_t nr = 0;
    char *pair;

    while ((pair = strsep(&text, ",")) != NULL) {
        char *value = strchr(pair, '=');

        if (value == NULL) {
            snprintf(why, why_len, "'%.60s' is not KEY=VALUE", pair);
            return -EINVAL;
        }
        if (nr == max) {
            snprintf(why, why_len, "more than %zu keys", max);
            return -EINVAL;
        }
        *value++ = '\0';
        pairs[nr++] = (struct device_pair){pair, value, why, why_len};
    }
    return (int)nr;
}

int options_parse_device(struct device_options *device, const char *text, char *why, size_t why_len)
{
    struct device_pair pairs[ARRAY_SIZE(device_keys) + DEVICE_MAX_FIELDS];
    struct device_pair all = {"", "", why, why_len};
    char copy[OPTIONS_DEVICE_LEN];
    unsigned seen = 0;
    int nr;

    *device = (struct device_options){.slot = PCI_SLOT_ANY};
    if (strlen(text) >= sizeof(copy))
        return pair_wrong(&all, "longer than %zu bytes", sizeof(copy) - 1);
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' ||
            *c == 0x7f) /* a line's end would be that of its line in DOMID.devices */
            return pair_wrong(&all, "a control character (0x%02x)", (unsigned char)*c);
    memcpy(copy, text, strlen(text) + 1);
    nr = pairs_split(copy, pairs, ARRAY_SIZE(pairs), why, why_len);
    /* What the other keys mean depends on the type. */
    for (int i = 0; i < nr && device->type == NULL; i++)
        if (strcmp(pairs[i].key, "type") == 0 && type_set(device, &pairs[i]) != 0)
            return -EINVAL;
    if (nr < 0)
        return nr;
    if (device->type == NULL)
        return pair_wrong(&all, "type= is missing");
    for (int i = 0; i < nr; i++)
        if (pair_set(device, &pairs[i], &seen) != 0)
            return -EINVAL;
    if (device->socket[0] == '\0')
        return pair_wrong(&all, "socket= is missing");
    return type_check(device, &all) != 0 ? -EINVAL : transport_check(device, why, why_len);
}

int options_check_pair(const char *key, const char *value, char *why, size_t why_len)
{
    const struct device_type *type;
    char copy[OPTIONS_DEVICE_LEN], *copied_value, other[1] = "";
    int rc = -ENOENT;

    snprintf(why, why_len, "%.60s=%.60s: too long, or with a comma in it", key, value);
    if (strchr(value, ',') != NULL || strchr(key, ',') != NULL ||
        (size_t)snprintf(copy, sizeof(copy), "%s=%s", key, value) >= sizeof(copy))
        return -EINVAL;
    copied_value = copy + strlen(key);
    *copied_value++ = '\0';
    /* Which type it is going to be of is not known here: right for one is right, and what is wrong is said by
     * one that has the key. */
    for (size_t i = 0; rc != 0 && (type = device_type_at(i)) != NULL; i++) {
        struct device_pair one = {copy, copied_value, rc == -ENOENT ? why : other,
                                  rc == -ENOENT ? why_len : 1};
        struct device_options device = {.slot = PCI_SLOT_ANY, .type = type};
        unsigned seen = 0;
        int its = strcmp(key, "type") == 0 ? type_set(&device, &one) : pair_set(&device, &one, &seen);

        rc = its == -ENOENT ? rc : its;
    }
    if (rc == -ENOENT)
        key_unknown(&(struct device_pair){key, value, why, why_len}, NULL);
    return rc == 0 ? 0 : -EINVAL;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * devices.c - see devices.h. What is in the saved state is written so that a kill at any moment leaves either
 * the device or its absence: an entry is there before its device is, and is gone before it goes.
 */
#include "dm/devices_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/saved_state.h"
#include "dm/devices_list.h"
#include "dm/host.h"
#include "dm/hotplug.h"
#include "dm/pci.h"

/* ---- the saved entries -----------------------------------------------------------------------------------
 */

/* Stores must be seen in order by whoever comes after a kill. */
static void saved_order(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void entry_write(struct entry *entry, const struct item *item)
{
    if (entry->state != ENTRY_PRESENT || strcmp(entry->text, item->text) != 0) {
        entry->state = ENTRY_FREE;
        saved_order();
        snprintf(entry->text, sizeof(entry->text), "%s", item->text);
    }
    entry->added = item->public.added;
    entry->ordinal = item->ordinal;
    saved_order();
    entry->state = ENTRY_PRESENT;
}

static bool same_device(const struct device_options *a, const struct device_options *b)
{
    return a->type == b->type && strcmp(a->socket, b->socket) == 0;
}

/* The device of an entry of a predecessor; false: it is free, or makes no sense. */
static bool entry_read(struct entry *entry, struct device_options *options)
{
    char why[256];

    if (entry->state != ENTRY_PRESENT && entry->state != ENTRY_REMOVED)
        return false;
    entry->text[sizeof(entry->text) - 1] = '\0';
    return entry->ordinal < MAX_ENTRIES && options_parse_device(options, entry->text, why, sizeof(why)) == 0;
}

/* ---- numbers and names -----------------------------------------------------------------------------------
 */

bool item_used(const struct item *item)
{
    return item->public.name[0] != '\0';
}

static unsigned ordinal_free(const struct devices *devices, const struct device_type *type)
{
    uint64_t taken = 0;

    for (size_t i = 0; i < MAX_ENTRIES; i++)
        if (item_used(&devices->items[i]) && devices->items[i].options.type == type)
            taken |= 1ULL << devices->items[i].ordinal;
    return (unsigned)__builtin_ctzll(~taken);
}

/* A number for a new device: that of its removed predecessor, or one that nothing is known of, or else of
 * something that was removed. -1: all are in use. */
static int number_free(const struct devices *devices, const struct device_options *options)
{
    int best = -1, best_rank = 0;

    for (int i = 0; i < MAX_ENTRIES; i++) {
        struct entry *entry = &devices->saved->entries[i];
        struct device_options was;
        bool known = entry_read(entry, &was);
        int rank = known && same_device(&was, options) ? 3 : known ? 1 : 2;

        if (item_used(&devices->items[i]) || (known && entry->state == ENTRY_PRESENT))
            continue;
        if (rank > best_rank) {
            best = i;
            best_rank = rank;
        }
    }
    return best;
}

static struct item *item_take(struct devices *devices, size_t number, const struct device_options *options,
                              const char *text, unsigned ordinal, bool added)
{
    struct item *item = &devices->items[number];

    *item = (struct item){.devices = devices, .options = *options, .ordinal = ordinal};
    item->public.added = added;
    snprintf(item->text, sizeof(item->text), "%s", text);
    snprintf(item->public.name, sizeof(item->public.name), "%.16s%u", options->type->name, ordinal);
    return item;
}

void item_drop(struct item *item)
{
    eject_stop(&item->eject);
    device_free(item->device);
    *item = (struct item){0};
}

size_t item_number(const struct item *item)
{
    return (size_t)(item - item->devices->items);
}

struct entry *item_entry(const struct item *item)
{
    return &item->devices->saved->entries[item_number(item)];
}

size_t devices_nr(const struct devices *devices)
{
    size_t nr = 0;

    for (size_t i = 0; i < MAX_ENTRIES; i++)
        nr += item_used(&devices->items[i]);
    return nr;
}

/* ---- the list for others --------------------------------------------------------------------------------
 */

void devices_list_refresh(const struct devices *devices)
{
    const char *lines[MAX_ENTRIES];
    struct hypervisor *hv = devices->guest->hv;
    size_t nr = 0;
    int rc;

    if (devices->list_path == NULL)
        return;
    for (size_t i = 0; i < MAX_ENTRIES; i++) {
        const struct item *item = &devices->items[i];

        if (!item_used(item) ||
            (item->public.state != DEVICES_PLUGGED && item->public.state != DEVICES_ASKED))
            continue;
        lines[nr++] = item->text;
    }
    rc = hv->ops->host != NULL ? host_devices_list(hv, lines, nr)
                               : devices_list_update(devices->list_path, lines, nr);
    if (rc < 0 && rc != -ENOENT)
        log_warning("%s: the list of its devices, %s, cannot be brought up to date: %s", hv->name,
                    devices->list_path, strerror(-rc));
}

/* ---- what becomes of a device ---------------------------------------------------------------------------
 */

void item_done(devices_done_fn *done, void *ctx, const struct devices_item *item, const char *why)
{
    if (done != NULL)
        done(ctx, item, why);
}

static void add_failed(struct item *item, const char *why)
{
    devices_done_fn *done = item->done;
    void *ctx = item->done_ctx;

    log_warning("%s: %s was not added: %s", item->devices->guest->hv->name, item->public.name, why);
    item_drop(item);
    item_done(done, ctx, NULL, why);
}

static void add_finish(struct item *item)
{
    struct entry *entry = item_entry(item);
    struct entry before = *entry;
    devices_done_fn *done = item->done;
    const char *why = "";

    /* The guest reads it when the device is there. If that fails it has looked in vain. */
    hotplug_insert(item->devices->guest->hotplug, item->options.slot);
    saved_order();
    entry_write(entry, item);
    if (device_plug(item->device, &why) != 0) {
        *entry = before;
        add_failed(item, why);
        return;
    }
    item->public.state = DEVICES_PLUGGED;
    devices_list_refresh(item->devices);
    item->done = NULL;
    item_done(done, item->done_ctx, &item->public, NULL);
}

static void on_ready(void *ctx, struct device *device)
{
    struct item *item = ctx;
    struct devices *devices = item->devices;

    (void)device;
    item->public.state = DEVICES_READY;
    if (devices->plugged)
        add_finish(item);
    else if (--devices->nr_waited == 0)
        devices->callbacks->ready(devices->ctx);
}

static void on_failed(void *ctx, struct device *device, int err, const char *why)
{
    struct item *item = ctx;

    (void)device;
    (void)err;
    if (item->devices->plugged)
        add_failed(item, why);
    else
        item->devices->callbacks->failed(item->devices->ctx, why);
}

static const struct device_callbacks device_callbacks = {.ready = on_ready, .failed = on_failed};

static int item_connect(struct item *item)
{
    int rc = device_new(&item->device, item->devices->guest, &item->options, (unsigned)item_number(item),
                        &device_callbacks, item);

    item->public.device = item->device;
    return rc;
}

/* ---- what the guest begins with --------------------------------------------------------------------------
 */

/* The entry of a predecessor that the device is, which no other device of the command line is yet. -1: none.
 */
static int entry_match(const struct devices *devices, const struct device_options *options, uint64_t matched)
{
    for (int i = 0; i < MAX_ENTRIES; i++) {
        struct device_options was;

        if (!(matched >> i & 1) && entry_read(&devices->saved->entries[i], &was) &&
            same_device(&was, options))
            return i;
    }
    return -1;
}

/* Those of the command line that a predecessor knew, except for those that it was told to remove. Returns
 * which of the command line are dealt with, a bit each. */
static uint64_t known_take(struct devices *devices, const struct options *options)
{
    uint64_t matched = 0, dealt_with = 0;

    for (size_t i = 0; i < options->nr_devices; i++) {
        int number = entry_match(devices, &options->devices[i], matched);
        struct entry *entry;

        if (number < 0)
            continue;
        entry = &devices->saved->entries[number];
        matched |= 1ULL << number;
        dealt_with |= 1ULL << i;
        if (entry->state == ENTRY_PRESENT)
            item_take(devices, (size_t)number, &options->devices[i], options->device_texts[i], entry->ordinal,
                      false);
        else
            log_info("%s: left out, as it was removed while the guest ran: --device %s",
                     devices->guest->hv->name, options->device_texts[i]);
    }
    return dealt_with;
}

/* Those that a predecessor had, and the command line has not. */
static void added_take(struct devices *devices)
{
    for (size_t i = 0; i < MAX_ENTRIES; i++) {
        struct entry *entry = &devices->saved->entries[i];
        struct device_options was;
        bool known = entry_read(entry, &was);

        if (item_used(&devices->items[i]) || (known && entry->state == ENTRY_REMOVED))
            continue;
        if (!known || !entry->added) {
            entry->state = ENTRY_FREE;
            continue;
        }
        if (host_socket_known(devices->guest->hv, was.socket) != 0) {
            log_warning("%s: left out, as nobody has told that the guest may have it: %s",
                        devices->guest->hv->name, entry->text);
            entry->state = ENTRY_FREE;
            continue;
        }
        item_take(devices, i, &was, entry->text, entry->ordinal, true);
        log_info("%s: goes on with %s, which was added while the guest ran", devices->guest->hv->name,
                 devices->items[i].public.name);
    }
}

static bool new_take(struct devices *devices, const struct options *options, uint64_t dealt_with)
{
    for (size_t i = 0; i < options->nr_devices; i++) {
        const struct device_options *device = &options->devices[i];
        int number;

        if (dealt_with >> i & 1)
            continue;
        number = number_free(devices, device);
        if (number < 0 || devices_nr(devices) == OPTIONS_MAX_DEVICES) {
            log_error("%s: too many devices: bus 0 has %d slots", devices->guest->hv->name,
                      OPTIONS_MAX_DEVICES);
            return false;
        }
        item_take(devices, (size_t)number, device, options->device_texts[i],
                  ordinal_free(devices, device->type), false);
        device_forget(devices->guest, (unsigned)number, device->type);
    }
    return true;
}

bool devices_start(struct devices *devices, const struct options *options, bool *none)
{
    uint64_t dealt_with = known_take(devices, options);

    added_take(devices);
    if (!new_take(devices, options, dealt_with))
        return false;
    devices->nr_waited = devices_nr(devices);
    *none = devices->nr_waited == 0;
    for (size_t i = 0; i < MAX_ENTRIES; i++) {
        struct item *item = &devices->items[i];
        int rc;

        if (!item_used(item))
            continue;
        entry_write(item_entry(item), item);
        rc = item_connect(item);
        if (rc != 0) {
            log_error("%s, %s: %s", devices->guest->hv->name, item->public.name, strerror(-rc));
            return false;
        }
    }
    return true;
}

/* Those that ask for a slot, or have one, come before those that take what is free. */
static bool plug_those(struct devices *devices, bool with_slot)
{
    for (size_t i = 0; i < MAX_ENTRIES; i++) {
        struct item *item = &devices->items[i];
        const char *why = "";

        if (!item_used(item) ||
            (item->options.slot != PCI_SLOT_ANY || device_info(item->device).resumed) != with_slot)
            continue;
        if (device_plug(item->device, &why) != 0) {
            log_error("%s: %s", device_name(item->device), why);
            return false;
        }
        item->public.state = DEVICES_PLUGGED;
    }
    return true;
}

bool devices_plug(struct devices *devices)
{
    devices->plugged = plug_those(devices, true) && plug_those(devices, false);
    return devices->plugged;
}

/* ---- adding ------------------------------------------------------------------------------------- */

static int add_check(const struct devices *devices, const struct device_options *options, const char *text,
                     char *why, size_t why_len)
{
    int rc;

    if (!devices->plugged) {
        snprintf(why, why_len,
                 "vhost-dm is still starting the devices that the guest begins with: try again");
        return -EAGAIN;
    }
    if (options->transport != TRANSPORT_PCI) {
        snprintf(why, why_len,
                 "transport=mmio: a guest finds such devices only where its tables or its command line said "
                 "when it booted; add it with transport=pci, or to the guest's configuration");
        return -ENOTSUP;
    }
    for (size_t i = 0; i < MAX_ENTRIES; i++)
        if (item_used(&devices->items[i]) && same_device(&devices->items[i].options, options)) {
            snprintf(why, why_len, "the guest has the device of that socket already: %s",
                     devices->items[i].public.name);
            return -EEXIST;
        }
    if (devices_nr(devices) == OPTIONS_MAX_DEVICES) {
        snprintf(why, why_len, "the guest has as many devices as bus 0 has slots: %d", OPTIONS_MAX_DEVICES);
        return -ENOSPC;
    }
    rc = host_device_grant(devices->guest->hv, text);
    if (rc == -EPERM)
        snprintf(
            why, why_len,
            "this vhost-dm is confined, and the process that acts for it has not been told of the device: "
            "have it added by vhost-dmctl");
    else if (rc != 0)
        snprintf(why, why_len, "it cannot be noted for a vhost-dm that is started again: %s", strerror(-rc));
    return rc;
}

/* A slot of its own, none where a driver may believe that a removed device is still; any, if it must be. */
static uint8_t add_slot(const struct devices *devices)
{
    uint32_t avoid = devices->saved->avoid_slots;

    for (size_t i = 0; i < MAX_ENTRIES; i++)
        if (item_used(&devices->items[i]) && devices->items[i].options.slot != PCI_SLOT_ANY)
            avoid |= 1u << devices->items[i].options.slot;
    return pci_bus_free_slot(devices->guest->pci, avoid);
}

int devices_add(struct devices *devices, const char *text, devices_done_fn *done, void *ctx, char *why,
                size_t why_len)
{
    struct device_options options;
    struct item *item;
    int number, rc = options_parse_device(&options, text, why, why_len);

    if (rc == 0)
        rc = add_check(devices, &options, text, why, why_len);
    if (rc != 0)
        return rc;
    number = number_free(devices, &options);
    if (number < 0) {
        snprintf(why, why_len, "too many devices");
        return -ENOSPC;
    }
    if (options.slot == PCI_SLOT_ANY)
        options.slot = add_slot(devices);
    item = item_take(devices, (size_t)number, &options, text, ordinal_free(devices, options.type), true);
    item->done = done;
    item->done_ctx = ctx;
    device_forget(devices->guest, (unsigned)number, options.type);
    rc = item_connect(item);
    if (rc != 0) {
        snprintf(why, why_len, "%s", strerror(-rc));
        item_drop(item);
    }
    return rc;
}

/* ---- life cycle ------------------------------------------------------------------------------------------
 */

bool devices_guest_is_told(const struct devices *devices)
{
    return hotplug_wanted(devices->guest->hotplug);
}

void devices_forget_caller(struct devices *devices, const void *ctx)
{
    for (size_t i = 0; i < MAX_ENTRIES; i++)
        if (devices->items[i].done_ctx == ctx)
            devices->items[i].done = NULL;
}

const struct devices_item *devices_next(const struct devices *devices, size_t *pos)
{
    while (*pos < MAX_ENTRIES) {
        const struct item *item = &devices->items[(*pos)++];

        if (item_used(item) && item->device != NULL)
            return &item->public;
    }
    return NULL;
}

int devices_new(struct devices **out, struct guest *guest, const char *list_path,
                const struct devices_callbacks *callbacks, void *ctx)
{
    struct devices *devices = calloc(1, sizeof(*devices));
    bool resumed;

    if (devices == NULL)
        return -ENOMEM;
    devices->guest = guest;
    devices->callbacks = callbacks;
    devices->ctx = ctx;
    devices->saved = saved_state_area(guest->saved, "devices", sizeof(*devices->saved), &resumed);
    if (devices->saved == NULL) {
        int rc = -errno;

        free(devices);
        return rc;
    }
    if (list_path != NULL && (devices->list_path = strdup(list_path)) == NULL) {
        free(devices);
        return -ENOMEM;
    }
    *out = devices;
    return 0;
}

void devices_free(struct devices *devices)
{
    if (devices == NULL)
        return;
    for (size_t i = MAX_ENTRIES; i-- > 0;)
        item_drop(&devices->items[i]);
    free(devices->list_path);
    free(devices);
}

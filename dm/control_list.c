// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * control_list.c - the answer to "list" on the control socket: the guest, and all that is known of its
 * devices. What can be as many as a back-end likes (mappings) is counted here and listed by "regions".
 */
#include "dm/control_internal.h"

#include <stdio.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "common/process.h"
#include "dm/bounce.h"
#include "dm/direct.h"
#include "dm/frontend.h"
#include "dm/host.h"
#include "dm/hypervisor.h"
#include "dm/placement.h"
#include "dm/virtio_device.h"
#include "dm/virtio_features.h"

static void add_guest(struct json_object *answer, const struct guest *guest)
{
    struct json_object *o = json_object_new_object();

    control_add_number(o, "domid", guest->hv->domid);
    control_add_string(o, "name", guest->hv->guest_name);
    control_add_string(o, "type", guest->hv->guest_type);
    control_add_number(o, "accesses", guest->nr_accesses);
    control_add_number(o, "stray_accesses", guest->nr_stray);
    json_object_object_add(answer, "guest", o);
}

static void add_features(struct json_object *o, const char *key, const struct device_type *type,
                         uint64_t bits)
{
    const struct virtio_feature_type *names = virtio_feature_type_find(type->name);
    struct json_object *features = json_object_new_object(), *list = json_object_new_array();
    char text[32];

    control_add_hex(features, "bits", bits);
    for (unsigned bit = 0; bit < 64; bit++) {
        const char *name = virtio_feature_name(names, bit);

        if ((bits >> bit & 1) == 0)
            continue;
        snprintf(text, sizeof(text), "bit-%u", bit);
        json_object_array_add(list, json_object_new_string(name != NULL ? name : text));
    }
    json_object_object_add(features, "names", list);
    json_object_object_add(o, key, features);
}

static void add_driver(struct json_object *o, const struct virtio_device *v)
{
    static const struct {
        uint8_t bit;
        const char *name;
    } names[] = {
        {VIRTIO_CONFIG_S_ACKNOWLEDGE, "ACKNOWLEDGE"}, {VIRTIO_CONFIG_S_DRIVER, "DRIVER"},
        {VIRTIO_CONFIG_S_FEATURES_OK, "FEATURES_OK"}, {VIRTIO_CONFIG_S_DRIVER_OK, "DRIVER_OK"},
        {VIRTIO_CONFIG_S_NEEDS_RESET, "NEEDS_RESET"}, {VIRTIO_CONFIG_S_FAILED, "FAILED"},
    };
    struct json_object *driver = json_object_new_object(), *list = json_object_new_array();
    uint8_t status = virtio_device_status_get(v);

    control_add_number(driver, "status", status);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (status & names[i].bit)
            json_object_array_add(list, json_object_new_string(names[i].name));
    json_object_object_add(driver, "status_names", list);
    control_add_bool(driver, "needs_reset", (status & VIRTIO_CONFIG_S_NEEDS_RESET) != 0);
    control_add_bool(driver, "resetting", v->state->resetting != 0);
    json_object_object_add(o, "driver", driver);
}

static void add_backend(struct json_object *o, struct hypervisor *hv, const struct device_info *info)
{
    struct json_object *backend = json_object_new_object();
    int fd = frontend_socket(info->fe);
    pid_t pid = process_of_peer(fd);
    char command[64];

    control_add_string(backend, "socket", info->options->socket);
    control_add_string(backend, "connection", frontend_state_name(info->fe));
    if (pid > 0) {
        host_process_name(hv, fd, command, sizeof(command));
        control_add_number(backend, "pid", (uint64_t)pid);
        control_add_string(backend, "command", command);
    }
    if (frontend_why_lost(info->fe)[0] != '\0')
        control_add_string(backend, "last_trouble", frontend_why_lost(info->fe));
    json_object_object_add(o, "backend", backend);
}

static void add_place(struct json_object *o, const struct device_info *info)
{
    bool pci = info->options->transport == TRANSPORT_PCI;
    char place[32];

    control_add_string(o, "transport", pci ? "pci" : "mmio");
    if (!info->plugged)
        return;
    if (pci) {
        snprintf(place, sizeof(place), "0000:00:%02x.%x", info->sbdf >> 3 & 0x1f, info->sbdf & 7);
        control_add_string(o, "place", place);
    } else {
        control_add_hex(o, "place", info->options->place.base);
        control_add_number(o, "irq", info->options->place.irq);
    }
}

static void add_memory(struct json_object *o, const struct device_info *info)
{
    struct json_object *memory = json_object_new_object();
    enum memory_mode mode = device_memory_mode(info->options);
    char why[48];

    control_add_string(memory, "mode", memory_mode_name(mode));
    snprintf(why, sizeof(why), "memory=%s asks for it", memory_mode_name(mode));
    control_add_string(memory, "why",
                       info->options->memory == mode ? why
                       : mode == MEMORY_BOUNCE       ? "it keeps the guest's memory from the back-end"
                                                     : "requests of this type cannot be copied");
    if (info->direct != NULL) {
        struct direct_memory has = direct_memory_get(info->direct);

        control_add_number(memory, "regions", has.nr_regions);
        control_add_number(memory, "mappings_not_told", has.nr_untold);
    } else {
        control_add_number(memory, "pool_limit_bytes",
                           info->options->bounce_pool > 0 ? info->options->bounce_pool : BOUNCE_POOL_DEFAULT);
    }
    json_object_object_add(o, "memory", memory);
}

static void add_moved(struct json_object *queue, const struct bounce *bounce, unsigned i)
{
    struct bounce_counts moved = bounce_queue_counts(bounce, i);

    control_add_number(queue, "requests", moved.requests);
    control_add_number(queue, "refused", moved.refused);
    control_add_number(queue, "in_flight", bounce_queue_in_flight(bounce, i));
    control_add_number(queue, "bytes_from_guest", moved.bytes_read);
    control_add_number(queue, "bytes_to_guest", moved.bytes_written);
}

static void add_queues(struct json_object *o, const struct device_info *info)
{
    struct json_object *list = json_object_new_array();

    for (unsigned i = 0; i < info->virtio->nr_queues; i++) {
        struct virtio_queue_counts driver = virtio_device_queue_counts(info->virtio, i);
        struct json_object *queue = json_object_new_object();

        control_add_number(queue, "index", i);
        control_add_number(queue, "size", virtio_device_queue_size_get(info->virtio, i));
        control_add_bool(queue, "enabled", virtio_device_queue_enabled(info->virtio, i));
        if (info->bounce != NULL)
            add_moved(queue, info->bounce, i);
        control_add_number(queue, "notifications", driver.notifications);
        control_add_number(queue, "interrupts", driver.interrupts);
        json_object_array_add(list, queue);
    }
    json_object_object_add(o, "queues", list);
}

static struct json_object *placed_list(const struct shmem *shmem, size_t region)
{
    struct json_object *list = json_object_new_array();

    for (enum placement p = PLACEMENT_AUTO + 1; p < NR_PLACEMENTS; p++) {
        struct shmem_placed placed = shmem_placed_get(shmem, region, p);
        struct json_object *o;

        if (placed.nr_mappings == 0)
            continue;
        o = json_object_new_object();
        control_add_string(o, "placement", placement_get(p)->name);
        control_add_number(o, "mappings", placed.nr_mappings);
        control_add_number(o, "bytes", placed.bytes);
        if (placed.why != NULL)
            control_add_string(o, "why_no_better", placed.why);
        json_object_array_add(list, o);
    }
    return list;
}

static void add_shmem(struct json_object *o, const struct shmem *shmem)
{
    struct json_object *shared = json_object_new_object(), *list = json_object_new_array();
    struct shmem_stats stats = shmem_stats_get(shmem);
    uint64_t gpa;
    bool shown = shmem_gpa(shmem, &gpa);

    for (size_t i = 0; i < shmem_nr_regions(shmem); i++) {
        struct shmem_region_info info = shmem_region_at(shmem, i);
        struct json_object *region = json_object_new_object();

        control_add_number(region, "shmid", info.shmid);
        control_add_number(region, "bytes", info.len);
        if (shown)
            control_add_hex(region, "gpa", gpa + info.offset);
        json_object_object_add(region, "mapped", placed_list(shmem, i));
        json_object_array_add(list, region);
    }
    json_object_object_add(shared, "regions", list);
    control_add_number(shared, "mappings", stats.nr_mappings);
    control_add_number(shared, "mapped_bytes", stats.bytes);
    control_add_number(shared, "maps", stats.maps);
    control_add_number(shared, "unmaps", stats.unmaps);
    control_add_number(shared, "refused", stats.refused);
    control_add_number(shared, "accesses_where_nothing_is_mapped", stats.unmapped_accesses);
    control_add_number(shared, "accesses_where_the_file_has_shrunk", stats.faults);
    json_object_object_add(o, "shared_memory", shared);
}

static struct json_object *device_list(struct hypervisor *hv, const struct devices_item *item)
{
    static const char *const states[] = {
        [DEVICES_CONNECTING] = "connecting", [DEVICES_READY] = "ready",     [DEVICES_PLUGGED] = "plugged",
        [DEVICES_ASKED] = "asked",           [DEVICES_LEAVING] = "leaving", [DEVICES_LINGERING] = "leaving",
    };
    struct json_object *o = json_object_new_object();
    struct device_info info = device_info(item->device);

    control_add_string(o, "name", item->name);
    control_add_string(o, "type", info.options->type->name);
    control_add_string(o, "state", states[item->state]);
    control_add_bool(o, "added_while_running", item->added);
    add_place(o, &info);
    add_backend(o, hv, &info);
    if (info.virtio != NULL) {
        add_driver(o, info.virtio);
        control_add_string(o, "data_path",
                           info.direct != NULL ? direct_state_name(info.direct)
                                               : bounce_state_name(info.bounce));
        add_features(o, "features_offered", info.options->type, info.virtio->device_features);
        add_features(o, "features_used", info.options->type, info.virtio->state->driver_features);
        add_memory(o, &info);
        add_queues(o, &info);
    }
    if (info.shmem != NULL)
        add_shmem(o, info.shmem);
    return o;
}

struct json_object *control_list(struct control *control)
{
    struct json_object *answer = control_ok(), *list = json_object_new_array();
    const struct devices_item *item;
    size_t pos = 0;

    control_add_string(answer, "version", PACKAGE_VERSION);
    add_guest(answer, control->guest);
    while ((item = devices_next(control->devices, &pos)) != NULL)
        json_object_array_add(list, device_list(control->guest->hv, item));
    json_object_object_add(answer, "devices", list);
    return answer;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * device.c - see device.h. The order of things: connect; when the back-end has said what it offers, build the
 * virtio device from that; when all devices of the guest are there, plug them. Later the front-end's reports
 * go to the data path.
 */
#include "dm/device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_ring.h>

#include "common/saved_state.h"
#include "dm/datapath.h"
#include "dm/frontend.h"
#include "dm/host.h"
#include "dm/virtio_device.h"
#include "dm/virtio_mmio.h"
#include "dm/virtio_pci.h"

/* What the ring code of the bounce data path offers to the driver, whatever the back-end has; and all of such
 * features that a back-end may have that serves the rings itself. */
#define RING_FEATURES \
    (1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_INDIRECT_DESC | 1ULL << VIRTIO_RING_F_EVENT_IDX)

struct device_saved {
    uint64_t valid;     /* the device was plugged: the rest is what its driver made of it */
    uint16_t transport; /* enum device_transport: which of the following are used */
    uint16_t direct;    /* the back-end had the driver's rings: bounce is not used */
    uint32_t sbdf;
    struct virtio_mmio_place place;
    union {
        struct virtio_pci_state pci;
        struct virtio_mmio_state mmio;
    };
    struct virtio_device_state virtio;
    struct bounce_saved bounce;
};

struct device {
    struct guest *guest;
    struct device_options options;
    struct device_type type; /* the row, filled in with what the options say */
    size_t config_served;    /* bytes of config space that are the back-end's */
    unsigned index;
    const struct device_callbacks *callbacks;
    void *ctx;
    struct frontend *fe;
    bool built; /* virtio and path are there */
    struct virtio_device virtio;
    struct datapath path;
    struct shmem *shmem;        /* owned; NULL until the back-end has said that it has regions */
    struct virtio_pci *pci;     /* one of these two, when it is plugged */
    struct virtio_mmio *mmio;   /* ... */
    struct device_saved *saved; /* borrowed from guest->saved */
    bool resumed;
    struct guest_work retire_work; /* once it is to go: ... */
    void (*retired)(void *ctx);    /* ... who is told */
    void *retired_ctx;
    unsigned retire_rounds;
    void (*watcher)(void *ctx); /* until then: who is told that the driver may have let go; NULL: nobody */
    void *watcher_ctx;
    struct log_limit limit; /* a guest may make us look for a back-end as often as it likes */
};

const char *device_name(const struct device *device)
{
    return device->virtio.name;
}

struct virtio_device *device_virtio(struct device *device)
{
    return device->built ? &device->virtio : NULL;
}

struct shmem *device_shmem(struct device *device)
{
    return device->shmem;
}

struct device_info device_info(const struct device *device)
{
    return (struct device_info){
        .options = &device->options,
        .plugged = device->pci != NULL || device->mmio != NULL,
        .resumed = device->resumed,
        .sbdf = device->saved->sbdf,
        .virtio = device->built ? &device->virtio : NULL,
        .bounce = device->path.bounce,
        .direct = device->path.direct,
        .fe = device->fe,
        .shmem = device->shmem,
        .transport = device->pci != NULL ? (const void *)device->pci : device->mmio,
    };
}

/* ---- what the back-end offers becomes a device --------------------------------------------------------- */

static void device_failed(struct device *device, int err, const char *why)
{
    device->callbacks->failed(device->ctx, device, err, why);
}

/* Whether what a row of the table says of a feature holds, these being those of the device. */
static bool feature_there(int feature, uint64_t features)
{
    return feature == DEVICE_FEATURE_ALWAYS || features >> feature & 1;
}

/* The number of queues, and the same number in config space, where drivers look for it. -ENODATA: the
 * back-end has too few. */
static int device_set_queues(struct device *device)
{
    struct virtio_device *v = &device->virtio;
    const struct device_type *type = &device->type;
    size_t offset = type->config_queues.offset, len = type->config_queues.len;
    bool counted = len > 0 && feature_there(type->config_queues.feature, v->device_features);
    unsigned nr = frontend_nr_queues(device->fe);

    if (type->nr_queues > 0) {
        v->nr_queues = type->nr_queues;
        return 0;
    }
    if (nr <= type->nr_extra)
        return -ENODATA;
    nr = MIN(nr, (unsigned)VIRTIO_MAX_QUEUES) - type->nr_extra;
    if (len > 0 && !counted)
        nr = 1;
    if (device->options.nr_queues > 0)
        nr = MIN(nr, device->options.nr_queues);
    if (counted && device->config_served >= offset + len)
        nr = (unsigned)MIN((uint64_t)nr, MAX(device_config_get(v->config, offset, len), (uint64_t)1));
    if (counted)
        device_config_put(v->config, offset, len, nr);
    v->nr_queues = nr + type->nr_extra;
    return 0;
}

/* The config space as it is to be shown, from what the back-end serves now. 0; or -ENODATA, and *missing as
 * device_config_make has it. */
static int device_make_config(struct device *device, struct device_config *config, const char **missing)
{
    uint8_t backend[VIRTIO_MAX_CONFIG] = {0};
    struct device_config_input in = {
        .type = &device->type,
        .keys = &device->options.keys,
        .backend = backend,
        .backend_len = frontend_config(device->fe, backend, device->type.config_len),
        .features = frontend_features(device->fe),
        .guest = device->guest->hv->guest_name,
        .index = device->index,
    };

    device->config_served = in.backend_len;
    return device_config_make(config, &in, missing);
}

static bool has_region_0(const struct device *device)
{
    struct shmem_region_info info;

    return device->shmem != NULL && shmem_region_find(device->shmem, 0, &info);
}

/* What the back-end has becomes the virtio device, but for its data path. *passed: the features that the
 * back-end is to serve. 0; or -ENODATA, and *missing as device_config_make has it. */
static int device_describe(struct device *device, uint64_t *passed, const char **missing)
{
    struct virtio_device *v = &device->virtio;
    const struct device_type *type = &device->type;
    struct device_config config;
    int rc = device_make_config(device, &config, missing);

    if (rc != 0)
        return rc;
    *passed = frontend_features(device->fe) & type->features & ~config.own & ~config.not_served;
    if (device_memory_mode(&device->options) == MEMORY_XEN_MMAP)
        *passed |= frontend_features(device->fe) & RING_FEATURES;
    v->guest = device->guest;
    v->virtio_id = type->virtio_id;
    v->queue_size_max = device->options.queue_size > 0 ? device->options.queue_size : type->queue_size;
    v->device_features = *passed | config.own;
    if (device_memory_mode(&device->options) == MEMORY_BOUNCE)
        v->device_features |= RING_FEATURES;
    v->features_needed = type->features_needed;
    v->config_len = type->config_len;
    memcpy(v->config, config.bytes, sizeof(v->config));
    v->state = &device->saved->virtio;
    v->shmem = device->shmem;
    /* A back-end of before virtio 1.0 has other ideas of what a request looks like: of the length of net's
     * header, for one (5.1.6.1). */
    if ((*passed & type->features_needed) != type->features_needed ||
        !feature_there(VIRTIO_F_VERSION_1, frontend_features(device->fe)) ||
        (type->needs_shmem && !has_region_0(device)))
        return -ENODATA;
    if (type->config_write.len > 0 && feature_there(type->config_write.feature, *passed)) {
        v->config_write_first = type->config_write.first;
        v->config_write_len = type->config_write.len;
    }
    return device_set_queues(device);
}

static int device_build(struct device *device, const char **missing)
{
    struct virtio_device *v = &device->virtio;
    struct datapath_setup setup = {.dev = v,
                                   .fe = device->fe,
                                   .options = &device->options,
                                   .type = &device->type,
                                   .has_shmem = device->shmem != NULL,
                                   .saved = &device->saved->bounce};
    int rc = device_describe(device, &setup.backend_features, missing);

    if (rc != 0)
        return rc;
    rc = virtio_device_init(v, device->resumed);
    if (rc != 0)
        return rc;
    rc = datapath_new(&device->path, &setup);
    if (rc != 0) {
        virtio_device_fini(v);
        return rc;
    }
    device->built = true;
    return 0;
}

/* ---- reports of the front-end ---------------------------------------------------------------------- */

static void device_config_changed(void *ctx)
{
    struct device *device = ctx;
    size_t offset = device->type.config_queues.offset, len = device->type.config_queues.len;
    struct device_config config;
    const char *missing;

    if (!device->built || device_make_config(device, &config, &missing) != 0)
        return;
    /* Queues do not come and go: what the driver was told of them stays. */
    memcpy(config.bytes + offset, device->virtio.config + offset, len);
    virtio_device_config_update(&device->virtio, config.bytes, device->virtio.config_len);
}

static void device_backend_ready(void *ctx)
{
    struct device *device = ctx;
    const char *missing = NULL;
    char why[256];
    int rc;

    if (device->built) {
        log_limited(&device->limit, LOG_LEVEL_INFO, "%s: the back-end is connected again",
                    device_name(device));
        /* It may have another disk, and knows nothing of what the driver wrote to the one before. */
        device_config_changed(device);
        datapath_backend_ready(&device->path);
        return;
    }
    rc = device_build(device, &missing);
    if (rc == 0) {
        device->callbacks->ready(device->ctx, device);
        return;
    }
    if (rc == -ENODATA && missing != NULL)
        snprintf(why, sizeof(why),
                 "%s: the back-end at %.60s does not say it: --device needs %s=", device_name(device),
                 device->options.socket, missing);
    else if (rc == -ENODATA)
        snprintf(why, sizeof(why),
                 "%s: the back-end at %.60s lacks config space, features, queues or shared memory of %s: is "
                 "it one "
                 "for another device?",
                 device_name(device), device->options.socket, device->type.name);
    else if (rc == -EOPNOTSUPP)
        snprintf(why, sizeof(why),
                 "%s: memory mode xen-mmap: the back-end at %.60s does not map a guest's memory itself (no "
                 "XEN_MMAP): %s",
                 device_name(device), device->options.socket,
                 device_can_bounce(&device->options) ? "use memory=bounce"
                                                     : "one that does is needed for this type");
    else if (rc == -E2BIG)
        snprintf(why, sizeof(why),
                 "%s: memory mode xen-mmap: the guest's memory is in more pieces than the %zu that the "
                 "back-end takes%s",
                 device_name(device), frontend_nr_slots(device->fe),
                 device_can_bounce(&device->options) ? ": use memory=bounce" : "");
    else
        snprintf(why, sizeof(why), "%s: %s", device_name(device), strerror(-rc));
    device_failed(device, rc, why);
}

static void device_backend_started(void *ctx)
{
    datapath_backend_started(&((struct device *)ctx)->path);
}

static void device_backend_stopped(void *ctx)
{
    datapath_backend_stopped(&((struct device *)ctx)->path);
}

static void device_backend_lost(void *ctx, int err, const char *why)
{
    struct device *device = ctx;
    char text[512];

    if (device->shmem != NULL)
        shmem_unmap_all(device->shmem);
    if (device->built) {
        if (device->retired == NULL)
            log_limited(&device->limit, LOG_LEVEL_ERROR, "%s: the back-end at %s is lost: %s",
                        device_name(device), device->options.socket, why);
        datapath_backend_lost(&device->path, why);
        return;
    }
    if (err == -ENOENT || err == -ECONNREFUSED)
        snprintf(text, sizeof(text), "%s: no back-end at %s: %s; start one first, for example: %s",
                 device_name(device), device->options.socket, strerror(-err), device->options.type->example);
    else
        snprintf(text, sizeof(text), "%s: the back-end at %s: %s", device_name(device),
                 device->options.socket, why);
    device_failed(device, err, text);
}

static bool sizes_empty(const uint64_t sizes[SHMEM_MAX_REGIONS])
{
    for (unsigned i = 0; i < SHMEM_MAX_REGIONS; i++)
        if (sizes[i] != 0)
            return false;
    return true;
}

/* What the guest was shown of regions stays as it is, whoever the back-end is later. */
static int device_shmem_config(void *ctx, const uint64_t sizes[SHMEM_MAX_REGIONS], const char **why)
{
    struct device *device = ctx;

    if (device->shmem != NULL || device->built) {
        if (device->shmem == NULL ? sizes_empty(sizes) : shmem_same_sizes(device->shmem, sizes))
            return 0;
        *why = "their sizes are not what they were before";
        return -EPROTO;
    }
    if (sizes_empty(sizes))
        return 0;
    return shmem_new(&device->shmem, device->guest, device_name(device), sizes, &device->options.shmem, why);
}

static int device_shmem_map(void *ctx, const struct shmem_request *request, const char **why)
{
    struct device *device = ctx;

    *why = "shmid: the device has no shared memory regions";
    return device->shmem == NULL ? -EINVAL : shmem_map(device->shmem, request, why);
}

static int device_shmem_unmap(void *ctx, const struct shmem_request *request, const char **why)
{
    struct device *device = ctx;

    *why = "shmid: the device has no shared memory regions";
    return device->shmem == NULL ? -EINVAL : shmem_unmap(device->shmem, request, why);
}

static void device_shmem_reset(void *ctx)
{
    struct device *device = ctx;

    if (device->shmem != NULL)
        shmem_unmap_all(device->shmem);
}

static size_t device_memory_now(void *ctx, const struct frontend_region *told, size_t nr_told,
                                struct frontend_region *now, size_t max)
{
    return direct_memory(((struct device *)ctx)->path.direct, told, nr_told, now, max);
}

static const struct frontend_callbacks device_frontend = {
    .ready = device_backend_ready,
    .started = device_backend_started,
    .stopped = device_backend_stopped,
    .lost = device_backend_lost,
    .config_changed = device_config_changed,
    .shmem_config = device_shmem_config,
    .shmem_map = device_shmem_map,
    .shmem_unmap = device_shmem_unmap,
    .shmem_reset = device_shmem_reset,
    .memory = device_memory_now,
};

/* ---- life cycle ------------------------------------------------------------------------------------ */

static struct device_saved *saved_area(struct guest *guest, unsigned index, const struct device_type *type,
                                       bool *found)
{
    char name[SAVED_STATE_NAME_LEN];

    snprintf(name, sizeof(name), "device %u %s", index, type->name);
    return saved_state_area(guest->saved, name, sizeof(struct device_saved), found);
}

void device_forget(struct guest *guest, unsigned index, const struct device_type *type)
{
    bool found = false;
    struct device_saved *saved = saved_area(guest, index, type, &found);

    if (saved != NULL)
        saved->valid = 0;
}

static struct device_saved *device_saved_area(struct device *device)
{
    bool found = false;
    struct device_saved *saved = saved_area(device->guest, device->index, device->options.type, &found);

    device->resumed = saved != NULL && found && saved->valid == 1;
    if (saved != NULL && found && !device->resumed)
        memset(saved, 0, sizeof(*saved));
    return saved;
}

/* The row of the table, with what the options say where it leaves that to them. */
static struct device_type type_filled(const struct device_options *options)
{
    struct device_type type = *options->type;

    if (options->pci_class != 0)
        type.pci_class = options->pci_class;
    if (type.virtio_id != 0)
        return type;
    type.virtio_id = options->virtio_id;
    type.nr_queues = options->nr_queues;
    type.config_len = options->config_size;
    type.config_min = options->keys.given[0] ? 0 : type.config_len;
    type.config_write.len = type.config_len;
    type.fields[0].len = (uint16_t)type.config_len;
    return type;
}

/* How many rings the back-end is to have; 0: as many as it likes. */
static unsigned queues_wanted(const struct device *device)
{
    if (device->type.nr_queues > 0)
        return device->type.nr_queues - device->type.nr_own_queues;
    return device->options.nr_queues > 0 ? device->options.nr_queues + device->type.nr_extra : 0;
}

/* At any time: also when this process does not see the socket any more. */
static int backend_connect(void *ctx, const char *socket)
{
    struct device *device = ctx;

    return host_socket_connect(device->guest->hv, socket);
}

int device_new(struct device **out, struct guest *guest, const struct device_options *options, unsigned index,
               const struct device_callbacks *callbacks, void *ctx)
{
    struct device *device = calloc(1, sizeof(*device));
    struct frontend_options fe = {
        .socket = options->socket,
        .connect = backend_connect,
        .queue_unit = options->type->queue_unit,
        .queues_least = options->type->nr_extra + 1,
        .features_mask = options->type->features | RING_FEATURES,
        .reply_limit = options->reply_limit,
        .wait_limit = options->wait_limit,
        .shmem_bit = options->shmem_bit,
        .shmem_ack_always = options->shmem_ack_always,
        .memory_changes = device_memory_mode(options) == MEMORY_XEN_MMAP,
    };
    int rc = -ENOMEM;

    if (device == NULL)
        return rc;
    device->guest = guest;
    device->options = *options;
    device->type = type_filled(options);
    device->index = index;
    device->callbacks = callbacks;
    device->ctx = ctx;
    list_init(&device->retire_work.link);
    snprintf(device->virtio.name, sizeof(device->virtio.name), "%.40s, %s %u", guest->hv->name,
             options->type->name, index);
    device->saved = device_saved_area(device);
    if (device->saved == NULL)
        goto fail;
    fe.name = device->virtio.name;
    fe.config_len = device->type.config_len;
    fe.nr_queues = queues_wanted(device);
    rc = frontend_new(&device->fe, guest->loop, &fe, &device_frontend, device);
    if (rc != 0)
        goto fail;
    *out = device;
    return 0;
fail:
    free(device);
    return rc;
}

static int pci_plug(struct device *device, char *where, size_t where_len, const char **why)
{
    struct device_saved *saved = device->saved;
    uint8_t slot = device->resumed ? (uint8_t)(saved->sbdf >> 3 & 0x1f) : device->options.slot;
    uint32_t sbdf;
    int rc = virtio_pci_new(&device->pci, &device->virtio, device->type.pci_class, slot, &saved->pci,
                            device->resumed, &sbdf);

    if (rc != 0) {
        *why = rc == -EBUSY    ? "its slot is taken: choose another with slot="
               : rc == -ENOSPC ? "no slot of bus 0 is free"
               : rc == -E2BIG  ? "its back-end has more shared memory regions than virtio-pci has room for"
                               : strerror(-rc);
        return rc;
    }
    saved->sbdf = sbdf;
    snprintf(where, where_len, "00:%02x.%x", sbdf >> 3 & 0x1f, sbdf & 7);
    return 0;
}

static int mmio_plug(struct device *device, char *where, size_t where_len, const char **why)
{
    const struct virtio_mmio_place *place = &device->options.place;
    struct device_saved *saved = device->saved;
    int rc = virtio_mmio_new(&device->mmio, &device->virtio, place, &saved->mmio, device->resumed, why);

    if (rc != 0)
        return rc;
    saved->place = *place;
    snprintf(where, where_len, "0x%llx", (unsigned long long)place->base);
    return 0;
}

/* Whether a running guest, if it has the device already, has it where we are going to put it. A PCI function
 * is put where it was. */
static bool same_place(const struct device *device)
{
    const struct virtio_mmio_place *was = &device->saved->place, *is = &device->options.place;

    return !device->resumed ||
           (device->saved->transport == device->options.transport &&
            (device->options.transport == TRANSPORT_PCI ||
             (was->base == is->base && was->shm_base == is->shm_base && was->irq == is->irq)));
}

/* What a predecessor knew of requests on their way is of use to the same data path alone. */
static bool same_datapath(const struct device *device)
{
    return !device->resumed || device->saved->direct == (device->path.direct != NULL);
}

int device_plug(struct device *device, const char **why)
{
    char where[32];
    int rc;

    if (!same_datapath(device)) {
        *why =
            "the running guest has it in another memory mode: start vhost-dm with the same memory= as before";
        return -EINVAL;
    }
    if (!same_place(device)) {
        *why = "the running guest has it elsewhere: start vhost-dm with the same transport=, base=, "
               "shm-base= and "
               "irq= as before";
        return -EINVAL;
    }
    rc = device->options.transport == TRANSPORT_MMIO ? mmio_plug(device, where, sizeof(where), why)
                                                     : pci_plug(device, where, sizeof(where), why);
    if (rc != 0)
        return rc;
    device->saved->transport = (uint16_t)device->options.transport;
    device->saved->direct = device->path.direct != NULL;
    device->saved->valid = 1;
    snprintf(device->virtio.name, sizeof(device->virtio.name), "%.36s, %s at %.16s", device->guest->hv->name,
             device->options.type->name, where);
    log_info("%s: memory mode %s, %u queue%s, back-end at %s%s", device_name(device),
             memory_mode_name(device_memory_mode(&device->options)), device->virtio.nr_queues,
             device->virtio.nr_queues == 1 ? "" : "s", device->options.socket,
             device->resumed ? "; goes on where its predecessor was" : "");
    datapath_resume(&device->path, device->resumed);
    if (device->resumed)
        virtio_device_resume(&device->virtio);
    datapath_resume(&device->path, false);
    return 0;
}

/* A driver that goes on asking is not answered for ever: that is a few full queues. */
#define RETIRE_ROUNDS 64

static bool requests_are_left(const struct device *device)
{
    for (unsigned i = 0; i < device->virtio.nr_queues; i++)
        if (datapath_in_flight(&device->path, i) > 0)
            return true;
    return false;
}

/* Runs behind the work of the queues, which refuses a number of requests each time. */
static void retire_work(struct guest_work *work)
{
    struct device *device = container_of(work, struct device, retire_work);

    if (device->built && device->options.type->refusal.how != REFUSE_NOT && requests_are_left(device) &&
        device->retire_rounds++ < RETIRE_ROUNDS)
        guest_work_queue(device->guest, work);
    else
        device->retired(device->retired_ctx);
}

static void device_let_go(struct virtio_device *v)
{
    struct device *device = container_of(v, struct device, virtio);

    guest_work_queue(device->guest, &device->retire_work);
}

static void watch_work(struct guest_work *work)
{
    struct device *device = container_of(work, struct device, retire_work);

    if (device->watcher != NULL)
        device->watcher(device->watcher_ctx);
}

void device_watch(struct device *device, void (*let_go)(void *ctx), void *ctx)
{
    device->watcher = let_go;
    device->watcher_ctx = ctx;
    device->retire_work.fn = watch_work;
    device->virtio.let_go = device_let_go;
}

void device_retire(struct device *device, void (*done)(void *ctx), void *ctx)
{
    device->retire_work.fn = retire_work;
    device->retired = done;
    device->retired_ctx = ctx;
    /* As when the back-end dies; the front-end reports it before the work has had many rounds. */
    if (device->built)
        datapath_retire(&device->path);
    device->virtio.let_go = device_let_go;
    frontend_drop(device->fe, -ECONNABORTED, "the device has been removed");
    guest_work_queue(device->guest, &device->retire_work);
}

void device_free(struct device *device)
{
    if (device == NULL)
        return;
    list_remove(&device->retire_work.link);
    virtio_pci_free(device->pci);
    virtio_mmio_free(device->mmio);
    datapath_free(&device->path);
    if (device->built)
        virtio_device_fini(&device->virtio);
    frontend_free(device->fe);
    shmem_free(device->shmem);
    free(device);
}

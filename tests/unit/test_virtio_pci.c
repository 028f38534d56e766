// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_virtio_pci.c - the virtio-pci transport, from a driver's side: it is found as Linux finds it, every
 * register answers at every width, and what no driver does changes nothing.
 */
#include <check.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "dm/virtio_pci.h"
#include "tests/unit/counting_device.h"
#include "tests/unit/pci_guest.h"
#include "tests/unit/unit.h"

#define CONFIG_LEN 60
#define NR_QUEUES  5
#define COMMON_LEN 60 /* to the end of queue_reset */

/* ---- a device ---- */

struct vdev {
    struct counting_device it;
    struct virtio_pci_state pci;
    struct virtio_pci *vp;
    uint32_t sbdf;
    /* What the driver found. */
    uint64_t bar, common, notify, isr, config;
    uint32_t notify_multiplier, notify_len, config_len;
    unsigned window, msix;
    uint16_t nr_vectors;
};

static struct rig rig;
static struct vdev vdevs[2];

static void vdev_plug(struct vdev *v, unsigned nr_queues, size_t config_len, bool resumed)
{
    counting_device_init(&v->it, &rig.guest, nr_queues, config_len, resumed);
    ck_assert_int_eq(virtio_pci_new(&v->vp, &v->it.dev, 0x018000,
                                    resumed ? (uint8_t)(v->sbdf >> 3) : PCI_SLOT_ANY, &v->pci, resumed,
                                    &v->sbdf),
                     0);
    virtio_device_resume(&v->it.dev);
}

static void vdev_unplug(struct vdev *v)
{
    if (!v->vp)
        return;
    virtio_pci_free(v->vp);
    virtio_device_fini(&v->it.dev);
    v->vp = NULL;
}

/* ---- a driver ---- */

struct found {
    unsigned at;
    uint8_t bar, cap_len;
    uint32_t offset, length;
};

/* The first usable vendor capability of a type, as Linux looks for it: reserved BARs are passed over. */
static struct found cap_find(uint32_t sbdf, uint8_t cfg_type)
{
    struct found cap = {0};
    unsigned at, hops = 0;

    if (!(cfg_read(&rig, sbdf, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
        return cap;
    for (at = cfg_read(&rig, sbdf, PCI_CAPABILITY_LIST, 1) & ~3u; at >= 0x40 && hops < 48; hops++) {
        if (cfg_read(&rig, sbdf, at, 1) == PCI_CAP_ID_VNDR &&
            cfg_read(&rig, sbdf, at + VIRTIO_PCI_CAP_CFG_TYPE, 1) == cfg_type) {
            cap.at = at;
            cap.cap_len = (uint8_t)cfg_read(&rig, sbdf, at + VIRTIO_PCI_CAP_LEN, 1);
            cap.bar = (uint8_t)cfg_read(&rig, sbdf, at + VIRTIO_PCI_CAP_BAR, 1);
            cap.offset = cfg_read(&rig, sbdf, at + VIRTIO_PCI_CAP_OFFSET, 4);
            cap.length = cfg_read(&rig, sbdf, at + VIRTIO_PCI_CAP_LENGTH, 4);
            return cap;
        }
        at = cfg_read(&rig, sbdf, at + PCI_CAP_LIST_NEXT, 1) & ~3u;
    }
    ck_assert_uint_lt(hops, 48);
    return cap;
}

/* What Linux demands of a structure before it maps it. */
static uint64_t cap_map(const struct vdev *v, const struct found *cap, size_t minlen, unsigned align,
                        uint64_t bar_len)
{
    ck_assert_uint_ne(cap->at, 0);
    ck_assert_uint_eq(cap->bar, 0);
    ck_assert_uint_ge(cap->length, minlen);
    ck_assert_uint_eq(cap->offset % align, 0);
    ck_assert(range_within(cap->offset, cap->length, bar_len));
    return v->bar + cap->offset;
}

static unsigned msix_find(uint32_t sbdf)
{
    unsigned at = cfg_read(&rig, sbdf, PCI_CAPABILITY_LIST, 1);

    while (at && cfg_read(&rig, sbdf, at, 1) != PCI_CAP_ID_MSIX)
        at = cfg_read(&rig, sbdf, at + 1, 1);
    ck_assert_uint_ne(at, 0);
    return at;
}

/* Places the BAR at an address and finds everything. */
static void driver_probe(struct vdev *v, uint64_t gpa)
{
    struct found cap;
    uint32_t type;
    uint64_t len;
    bool is_64;

    ck_assert_uint_eq(cfg_read(&rig, v->sbdf, PCI_VENDOR_ID, 2), 0x1af4);
    ck_assert_uint_eq(cfg_read(&rig, v->sbdf, PCI_DEVICE_ID, 2), 0x1040 + COUNTING_ID);
    ck_assert_uint_ge(cfg_read(&rig, v->sbdf, PCI_REVISION_ID, 1), 1);
    ck_assert_uint_ge(cfg_read(&rig, v->sbdf, PCI_SUBSYSTEM_ID, 2), 0x40);
    ck_assert_uint_eq(cfg_read(&rig, v->sbdf, PCI_CLASS_REVISION, 4) >> 8, 0x018000);
    len = bar_size(&rig, v->sbdf, 0, &type, &is_64);
    ck_assert_uint_eq(len, KIB(32));
    ck_assert(!is_64 && !(type & PCI_BASE_ADDRESS_MEM_PREFETCH));
    for (unsigned i = 1; i < PCI_NR_BARS; i++)
        ck_assert_uint_eq(bar_size(&rig, v->sbdf, i, &type, &is_64), 0);
    bar_write(&rig, v->sbdf, 0, false, gpa);
    command_set(&rig, v->sbdf, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    v->bar = gpa;
    cap = cap_find(v->sbdf, VIRTIO_PCI_CAP_COMMON_CFG);
    v->common = cap_map(v, &cap, sizeof(struct virtio_pci_common_cfg), 4, len);
    ck_assert_uint_eq(cap.cap_len, sizeof(struct virtio_pci_cap));
    cap = cap_find(v->sbdf, VIRTIO_PCI_CAP_ISR_CFG);
    v->isr = cap_map(v, &cap, 1, 1, len);
    cap = cap_find(v->sbdf, VIRTIO_PCI_CAP_NOTIFY_CFG);
    v->notify = cap_map(v, &cap, 2, 2, len);
    v->notify_len = cap.length;
    v->notify_multiplier = cfg_read(&rig, v->sbdf, cap.at + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
    ck_assert_uint_eq(cap.cap_len, sizeof(struct virtio_pci_notify_cap));
    cap = cap_find(v->sbdf, VIRTIO_PCI_CAP_PCI_CFG);
    ck_assert_uint_eq(cap.cap_len, sizeof(struct virtio_pci_cfg_cap));
    v->window = cap.at;
    cap = cap_find(v->sbdf, VIRTIO_PCI_CAP_DEVICE_CFG);
    v->config = cap.at ? cap_map(v, &cap, 0, 4, len) : 0;
    v->config_len = cap.length;
    v->msix = msix_find(v->sbdf);
    v->nr_vectors =
        (uint16_t)((cfg_read(&rig, v->sbdf, v->msix + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1);
}

static uint64_t common_get(const struct vdev *v, size_t offset, unsigned size)
{
    return mem_read(&rig, v->common + offset, size);
}

static void common_set(const struct vdev *v, size_t offset, unsigned size, uint64_t value)
{
    mem_write(&rig, v->common + offset, size, value);
}

#define FIELD(member) \
    offsetof(struct virtio_pci_common_cfg, member), sizeof(((struct virtio_pci_common_cfg *)0)->member)
#define GET(v, member)    common_get(v, FIELD(member))
#define SET(v, member, x) common_set(v, FIELD(member), x)

static void vector_program(const struct vdev *v, unsigned vector)
{
    uint64_t table = v->bar + cfg_read(&rig, v->sbdf, v->msix + PCI_MSIX_TABLE, 4) + 16 * vector;

    mem_write(&rig, table, 4, 0xfee00000);
    mem_write(&rig, table + 4, 4, v->sbdf);
    mem_write(&rig, table + 8, 4, 0x4000 + vector);
    mem_write(&rig, table + 12, 4, 0);
}

static void msi_expect(const struct vdev *v, unsigned nr, unsigned vector)
{
    ck_assert_uint_eq(rig.nr_msis, nr);
    ck_assert_uint_eq(rig.msis[nr - 1].addr, (uint64_t)v->sbdf << 32 | 0xfee00000);
    ck_assert_uint_eq(rig.msis[nr - 1].data, 0x4000 + vector);
}

static void msix_enable(const struct vdev *v, bool enable)
{
    cfg_write(&rig, v->sbdf, v->msix + PCI_MSIX_FLAGS, 2, enable ? PCI_MSIX_FLAGS_ENABLE : 0);
    for (unsigned i = 0; enable && i < v->nr_vectors; i++)
        vector_program(v, i);
}

/* The initialisation of spec 3.1.1, with natural widths; vectors: config 0, queue i i + 1. */
static void driver_start(struct vdev *v, bool msix)
{
    SET(v, device_status, 0);
    ck_assert_uint_eq(GET(v, device_status), 0);
    SET(v, device_status, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    SET(v, device_status, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    for (unsigned i = 0; i < 2; i++) {
        SET(v, device_feature_select, i);
        ck_assert_uint_eq(GET(v, device_feature), (uint32_t)(COUNTING_FEATURES >> 32 * i));
        SET(v, guest_feature_select, i);
        SET(v, guest_feature, (uint32_t)(COUNTING_FEATURES >> 32 * i));
        ck_assert_uint_eq(GET(v, guest_feature), (uint32_t)(COUNTING_FEATURES >> 32 * i));
    }
    SET(v, device_status, 11);
    ck_assert_uint_eq(GET(v, device_status), 11);
    msix_enable(v, msix);
    if (msix) {
        SET(v, msix_config, 0);
        ck_assert_uint_eq(GET(v, msix_config), 0);
    }
    ck_assert_uint_eq(GET(v, num_queues), v->it.dev.nr_queues);
    for (unsigned i = 0; i < v->it.dev.nr_queues; i++) {
        uint64_t ring = MIB(1) + i * KIB(64);

        SET(v, queue_select, i);
        ck_assert_uint_eq(GET(v, queue_size), 256);
        ck_assert_uint_eq(GET(v, queue_enable), 0);
        ck_assert_uint_eq(GET(v, queue_notify_off), i);
        ck_assert_uint_le(i * v->notify_multiplier + 2, v->notify_len);
        SET(v, queue_size, 128);
        SET(v, queue_desc_lo, (uint32_t)ring);
        SET(v, queue_desc_hi, 0x10 + i);
        common_set(v, offsetof(struct virtio_pci_common_cfg, queue_avail_lo), 8, ring + KIB(16));
        SET(v, queue_used_lo, (uint32_t)(ring + KIB(32)));
        SET(v, queue_used_hi, 0);
        if (msix) {
            SET(v, queue_msix_vector, i + 1);
            ck_assert_uint_eq(GET(v, queue_msix_vector), i + 1 < v->nr_vectors ? i + 1 : 0xffff);
        }
        SET(v, queue_enable, 0); /* 1 enables, nothing else does (4.1.4.3.2) */
        SET(v, queue_enable, 0x101);
        ck_assert_uint_eq(GET(v, queue_enable), 0);
        SET(v, queue_enable, 1);
        ck_assert_uint_eq(GET(v, queue_enable), 1);
        ck_assert_uint_eq(v->it.state.queues[i].size, 128);
        ck_assert_uint_eq(v->it.state.queues[i].desc, ring | (uint64_t)(0x10 + i) << 32);
        ck_assert_uint_eq(v->it.state.queues[i].avail, ring + KIB(16));
        ck_assert_uint_eq(v->it.state.queues[i].used, ring + KIB(32));
    }
    SET(v, device_status, 15);
    ck_assert_uint_eq(GET(v, device_status), 15);
}

static struct vdev *setup(struct pci_host host, unsigned nr_queues)
{
    memset(vdevs, 0, sizeof(vdevs));
    rig_start(&rig, host);
    vdev_plug(&vdevs[0], nr_queues, CONFIG_LEN, false);
    driver_probe(&vdevs[0], RIG_LOW);
    return &vdevs[0];
}

static struct vdev *setup_second(unsigned nr_queues)
{
    vdev_plug(&vdevs[1], nr_queues, CONFIG_LEN, false);
    driver_probe(&vdevs[1], RIG_LOW + MIB(1));
    return &vdevs[1];
}

static void teardown(void)
{
    vdev_unplug(&vdevs[0]);
    vdev_unplug(&vdevs[1]);
    rig_end(&rig);
}

/* ---- the usual way ---- */

static void driver_check(struct pci_host host, unsigned nr_queues)
{
    struct vdev *v = setup(host, nr_queues);

    ck_assert_uint_eq(v->nr_vectors, nr_queues + 1);
    ck_assert_uint_eq(v->notify_multiplier, 4);
    ck_assert_uint_ge(v->config_len, CONFIG_LEN);
    driver_start(v, true);
    ck_assert_uint_eq(v->it.starts, 1);
    for (unsigned i = 0; i < nr_queues; i++) {
        mem_write(&rig, v->notify + i * v->notify_multiplier, 2, i);
        ck_assert_uint_eq(v->it.kicks[i], 1);
        virtio_device_queue_interrupt(&v->it.dev, i);
        msi_expect(v, i + 1, i + 1);
    }
    virtio_device_broken(&v->it.dev, "for a test");
    msi_expect(v, nr_queues + 1, 0);
    ck_assert_uint_eq(GET(v, device_status), 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
    ck_assert_uint_eq(rig.nr_lines, 0);
    SET(v, device_status, 0);
    ck_assert_uint_eq(GET(v, device_status), 0);
    ck_assert_uint_eq(v->it.stops, 1);
    teardown();
}

START_TEST(test_driver)
{
    driver_check(rig_hvm(), 1);
    driver_check(rig_pvh(), NR_QUEUES);
    driver_check(rig_hvm(), VIRTIO_MAX_QUEUES);
}
END_TEST

START_TEST(test_no_config)
{
    struct vdev *v = &vdevs[0];

    memset(vdevs, 0, sizeof(vdevs));
    rig_start(&rig, rig_hvm());
    vdev_plug(v, 1, 0, false);
    driver_probe(v, RIG_LOW);
    ck_assert_uint_eq(v->config, 0);
    teardown();
}
END_TEST

START_TEST(test_refused)
{
    struct vdev *v = setup(rig_hvm(), 1);
    struct virtio_pci_state state;
    struct virtio_pci *vp;
    uint32_t sbdf;

    ck_assert_int_eq(virtio_pci_new(&vp, &v->it.dev, 0, (uint8_t)(v->sbdf >> 3), &state, false, &sbdf),
                     -EBUSY);
    v->it.dev.nr_queues = VIRTIO_MAX_QUEUES + 1;
    ck_assert_int_eq(virtio_pci_new(&vp, &v->it.dev, 0, PCI_SLOT_ANY, &state, false, &sbdf), -EINVAL);
    v->it.dev.nr_queues = 1;
    driver_start(v, false);
    teardown();
}
END_TEST

START_TEST(test_intx)
{
    struct vdev *v = setup(rig_hvm(), NR_QUEUES);
    unsigned slot = v->sbdf >> 3;

    driver_start(v, false);
    ck_assert_uint_eq(mem_read(&rig, v->isr, 1), 0);
    virtio_device_queue_interrupt(&v->it.dev, 1);
    virtio_device_queue_interrupt(&v->it.dev, 2);
    ck_assert(rig.line[slot]);
    ck_assert(cfg_read(&rig, v->sbdf, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
    /* Writing it and reading beside it do not acknowledge. */
    mem_write(&rig, v->isr, 1, 0xff);
    ck_assert_uint_eq(mem_read(&rig, v->isr + 1, 4), 0);
    ck_assert(rig.line[slot]);
    ck_assert_uint_eq(mem_read(&rig, v->isr, 1), 1);
    ck_assert(!rig.line[slot]);
    ck_assert_uint_eq(mem_read(&rig, v->isr, 1), 0);
    virtio_device_queue_interrupt(&v->it.dev, 0);
    virtio_device_broken(&v->it.dev, "for a test");
    ck_assert_uint_eq(mem_read(&rig, v->isr, 8), 3);
    ck_assert(!rig.line[slot]);
    /* A reset takes the line down. */
    SET(v, device_status, 0);
    driver_start(v, false);
    virtio_device_queue_interrupt(&v->it.dev, 0);
    ck_assert(rig.line[slot]);
    SET(v, device_status, 0);
    ck_assert(!rig.line[slot]);
    ck_assert_uint_eq(mem_read(&rig, v->isr, 1), 0);
    ck_assert_uint_eq(rig.nr_msis, 0);
    teardown();
}
END_TEST

/* With MSI-X a config change is in the ISR too, a queue's interrupt is not; neither drives the line. */
START_TEST(test_isr_with_msix)
{
    struct vdev *v = setup(rig_hvm(), NR_QUEUES);

    driver_start(v, true);
    virtio_device_queue_interrupt(&v->it.dev, 1);
    ck_assert_uint_eq(mem_read(&rig, v->isr, 1), 0);
    virtio_device_broken(&v->it.dev, "for a test");
    ck_assert_uint_eq(mem_read(&rig, v->isr, 1), VIRTIO_PCI_ISR_CONFIG);
    ck_assert_uint_eq(rig.nr_lines, 0);
    ck_assert_uint_eq(rig.nr_msis, 2);
    teardown();
}
END_TEST

START_TEST(test_vectors)
{
    struct vdev *v = setup(rig_hvm(), NR_QUEUES);

    ck_assert_uint_eq(GET(v, msix_config), VIRTIO_MSI_NO_VECTOR);
    for (uint32_t vector = 0; vector <= 0xffff; vector++) {
        uint32_t want = vector <= NR_QUEUES ? vector : VIRTIO_MSI_NO_VECTOR;

        SET(v, msix_config, vector);
        ck_assert_uint_eq(GET(v, msix_config), want);
        SET(v, queue_select, vector % NR_QUEUES);
        SET(v, queue_msix_vector, vector);
        ck_assert_uint_eq(GET(v, queue_msix_vector), want);
    }
    /* Without a vector there is no interrupt. */
    driver_start(v, true);
    SET(v, msix_config, VIRTIO_MSI_NO_VECTOR);
    SET(v, queue_select, 2);
    SET(v, queue_msix_vector, NR_QUEUES + 1);
    virtio_device_queue_interrupt(&v->it.dev, 2);
    virtio_device_broken(&v->it.dev, "for a test");
    ck_assert_uint_eq(rig.nr_msis, 0);
    /* Queues may share one. */
    SET(v, queue_msix_vector, 1);
    virtio_device_queue_interrupt(&v->it.dev, 2);
    virtio_device_queue_interrupt(&v->it.dev, 0);
    ck_assert_uint_eq(rig.nr_msis, 2);
    ck_assert_uint_eq(rig.msis[0].data, rig.msis[1].data);
    teardown();
}
END_TEST

START_TEST(test_absent_queue)
{
    struct vdev *v = setup(rig_hvm(), NR_QUEUES);
    struct virtio_device_state before = v->it.state;
    static const uint16_t selects[] = {NR_QUEUES, 63, 64, 0x100, 0xffff};

    for (unsigned i = 0; i < ARRAY_SIZE(selects); i++) {
        SET(v, queue_select, selects[i]);
        ck_assert_uint_eq(GET(v, queue_select), selects[i]);
        for (unsigned at = offsetof(struct virtio_pci_common_cfg, queue_size); at < COMMON_LEN; at += 2)
            common_set(v, at, 2, 1);
        for (unsigned at = offsetof(struct virtio_pci_common_cfg, queue_size); at < COMMON_LEN; at += 2)
            ck_assert_uint_eq(common_get(v, at, 2),
                              at == offsetof(struct virtio_pci_common_cfg, queue_msix_vector) ? 0xffff : 0);
    }
    ck_assert_mem_eq(&before, &v->it.state, sizeof(before));
    teardown();
}
END_TEST

START_TEST(test_reset)
{
    struct vdev *v = setup(rig_hvm(), NR_QUEUES);

    v->it.slow = true;
    driver_start(v, true);
    SET(v, queue_select, 3);
    SET(v, device_feature_select, 1);
    SET(v, guest_feature_select, 1);
    /* An interrupt waits for an unmask: it is gone with the reset. */
    cfg_write(&rig, v->sbdf, v->msix + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    virtio_device_queue_interrupt(&v->it.dev, 1);
    virtio_device_broken(&v->it.dev, "for a test");
    SET(v, device_status, 0);
    ck_assert_uint_ne(GET(v, device_status), 0);
    virtio_device_stopped(&v->it.dev);
    ck_assert_uint_eq(GET(v, device_status), 0);
    cfg_write(&rig, v->sbdf, v->msix + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
    ck_assert_uint_eq(rig.nr_msis, 0);
    ck_assert_uint_eq(mem_read(&rig, v->isr, 1), 0);
    ck_assert_uint_eq(GET(v, queue_select), 0);
    ck_assert_uint_eq(GET(v, device_feature_select), 0);
    ck_assert_uint_eq(GET(v, guest_feature_select), 0);
    ck_assert_uint_eq(GET(v, msix_config), VIRTIO_MSI_NO_VECTOR);
    for (unsigned i = 0; i < NR_QUEUES; i++) {
        SET(v, queue_select, i);
        ck_assert_uint_eq(GET(v, queue_msix_vector), VIRTIO_MSI_NO_VECTOR);
        ck_assert_uint_eq(GET(v, queue_enable), 0);
    }
    /* The next driver does without MSI-X. */
    v->it.slow = false;
    driver_start(v, false);
    virtio_device_queue_interrupt(&v->it.dev, 0);
    ck_assert(rig.line[v->sbdf >> 3]);
    teardown();
}
END_TEST

/* ---- any width at any offset ---- */

static const struct {
    unsigned at, size;
    bool writable;
} fields[] = {
    {FIELD(device_feature_select), true},
    {FIELD(device_feature), false},
    {FIELD(guest_feature_select), true},
    {FIELD(guest_feature), true},
    {FIELD(msix_config), true},
    {FIELD(num_queues), false},
    {FIELD(device_status), true},
    {FIELD(config_generation), false},
    {FIELD(queue_select), true},
    {FIELD(queue_size), true},
    {FIELD(queue_msix_vector), true},
    {FIELD(queue_enable), true},
    {FIELD(queue_notify_off), false},
    {FIELD(queue_desc_lo), true},
    {FIELD(queue_desc_hi), true},
    {FIELD(queue_avail_lo), true},
    {FIELD(queue_avail_hi), true},
    {FIELD(queue_used_lo), true},
    {FIELD(queue_used_hi), true},
    {56, 2, false}, /* queue_notify_data and queue_reset: not in every linux/virtio_pci.h */
    {58, 2, false},
};

START_TEST(test_common_read_widths)
{
    struct vdev *v = setup(rig_hvm(), NR_QUEUES);
    uint8_t image[COMMON_LEN + 64] = {0}, back[sizeof(image)];
    unsigned end = 0;

    driver_start(v, true);
    SET(v, queue_select, 3);
    SET(v, device_feature_select, 1);
    v->it.state.config_generation = 0x5a;
    for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
        uint64_t value = common_get(v, fields[i].at, fields[i].size);

        ck_assert_uint_eq(fields[i].at, end);
        end += fields[i].size;
        memcpy(image + fields[i].at, &value, fields[i].size);
    }
    ck_assert_uint_eq(end, COMMON_LEN);
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned at = 0; at + size <= sizeof(image); at++) {
            uint64_t value = common_get(v, at, size);

            ck_assert_mem_eq(&value, image + at, size);
        }
        mem_string(&rig, false, v->common, size, back, sizeof(back) / size * size);
        ck_assert_mem_eq(back, image, sizeof(back) / size * size);
    }
    teardown();
}
END_TEST

/* The states of two devices that were treated alike. */
static void expect_alike(const struct vdev *a, const struct vdev *b)
{
    ck_assert_mem_eq(&a->it.state, &b->it.state, sizeof(a->it.state));
    ck_assert_mem_eq(&a->pci, &b->pci, offsetof(struct virtio_pci_state, pci));
    ck_assert_mem_eq(a->it.dev.config, b->it.dev.config, sizeof(a->it.dev.config));
    ck_assert_mem_eq(a->it.kicks, b->it.kicks, sizeof(a->it.kicks));
    ck_assert_uint_eq(a->it.starts, b->it.starts);
    ck_assert_uint_eq(a->it.stops, b->it.stops);
    ck_assert_mem_eq(a->pci.pci.msix_table, b->pci.pci.msix_table, sizeof(a->pci.pci.msix_table));
}

/* A value that some register may like. */
static uint64_t some_value(void)
{
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      3,
                                      11,
                                      15,
                                      64,
                                      128,
                                      0xffff,
                                      (uint32_t)COUNTING_FEATURES,
                                      COUNTING_FEATURES >> 32,
                                      0x0001000100010001};

    return unit_random_below(3) == 0 ? unit_random() : values[unit_random_below(ARRAY_SIZE(values))];
}

/* One device gets writes of any width at any offset; its twin gets, with natural widths and in ascending
 * order, the fields that the write covers as a whole. They must not differ. */
START_TEST(test_common_write_widths)
{
    struct vdev *a = setup(rig_hvm(), NR_QUEUES), *b = setup_second(NR_QUEUES);

    unit_random_start();
    for (unsigned long n = unit_count(200000); n > 0; n--) {
        unsigned size = 1u << unit_random_below(4), at = (unsigned)unit_random_below(COMMON_LEN + 4);
        uint64_t value = some_value();

        if (n % 1000 == 0) { /* so that queues are set up, too */
            driver_start(a, false);
            driver_start(b, false);
        }
        common_set(a, at, size, value);
        for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
            if (fields[i].writable && fields[i].at >= at && fields[i].at + fields[i].size <= at + size)
                common_set(b, fields[i].at, fields[i].size, value >> 8 * (fields[i].at - at));
        expect_alike(a, b);
    }
    ck_assert_uint_ge(a->it.starts, unit_count(200000) / 1000);
    teardown();
}
END_TEST

START_TEST(test_config_widths)
{
    struct vdev *v = setup(rig_hvm(), 1);
    uint8_t image[256], back[256];

    memset(image, 0xff, sizeof(image));
    for (unsigned i = 0; i < CONFIG_LEN; i++)
        image[i] = (uint8_t)(0x80 + i);
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned at = 0; at + size <= sizeof(image); at++) {
            uint64_t value = mem_read(&rig, v->config + at, size);

            ck_assert_mem_eq(&value, image + at, size);
        }
        mem_string(&rig, false, v->config, size, back, sizeof(back));
        ck_assert_mem_eq(back, image, sizeof(back));
    }
    mem_write(&rig, v->config + COUNTING_CONFIG_FIRST, 4, 0x01020304);
    mem_write(&rig, v->config + COUNTING_CONFIG_FIRST + 1, 1, 0xaa);
    ck_assert_uint_eq(mem_read(&rig, v->config + COUNTING_CONFIG_FIRST, 4), 0x0102aa04);
    mem_write(&rig, v->config, 4, 0);
    ck_assert_uint_eq(mem_read(&rig, v->config, 4), 0x83828180);
    teardown();
}
END_TEST

START_TEST(test_notify_widths)
{
    struct vdev *v = setup(rig_hvm(), NR_QUEUES);
    uint8_t data[4096];
    unsigned want[VIRTIO_MAX_QUEUES] = {0};

    /* Before DRIVER_OK nobody is kicked. */
    mem_write(&rig, v->notify, 2, 0);
    ck_assert_uint_eq(v->it.kicks[0], 0);
    driver_start(v, true);
    /* The value says nothing, the address all. */
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned i = 0; i < NR_QUEUES; i++) {
            mem_write(&rig, v->notify + 4 * i, size, 0x0102030405060708 * i);
            want[i]++;
            if (size == 8 && i + 1 < NR_QUEUES)
                want[i + 1]++;
            ck_assert_mem_eq(v->it.kicks, want, sizeof(want));
            ck_assert_uint_eq(mem_read(&rig, v->notify + 4 * i, size), 0);
        }
    mem_write(&rig, v->notify + 4 * NR_QUEUES, 4, 0);
    mem_write(&rig, v->notify + 4092, 8, 0);
    ck_assert_mem_eq(v->it.kicks, want, sizeof(want));
    /* All of the page, and more, at once: each queue once. */
    memset(data, 0xff, sizeof(data));
    mem_string(&rig, true, v->notify, 1, data, sizeof(data));
    for (unsigned i = 0; i < NR_QUEUES; i++)
        want[i]++;
    ck_assert_mem_eq(v->it.kicks, want, sizeof(want));
    teardown();
}
END_TEST

/* ---- the window in configuration space ---- */

static void window_set(const struct vdev *v, uint8_t bar, uint32_t offset, uint32_t len)
{
    cfg_write(&rig, v->sbdf, v->window + VIRTIO_PCI_CAP_BAR, 1, bar);
    cfg_write(&rig, v->sbdf, v->window + VIRTIO_PCI_CAP_OFFSET, 4, offset);
    cfg_write(&rig, v->sbdf, v->window + VIRTIO_PCI_CAP_LENGTH, 4, len);
}

#define WINDOW_DATA offsetof(struct virtio_pci_cfg_cap, pci_cfg_data)

/* One device is driven by its BAR, its twin only by the window: they must not differ. */
START_TEST(test_window_equivalence)
{
    struct vdev *a = setup(rig_hvm(), NR_QUEUES), *b = setup_second(NR_QUEUES);

    unit_random_start();
    cfg_write(&rig, a->sbdf, a->msix + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
    cfg_write(&rig, b->sbdf, b->msix + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
    for (unsigned long n = unit_count(200000); n > 0; n--) {
        unsigned size = 1u << unit_random_below(3), page = (unsigned)unit_random_below(8);
        uint32_t offset = page * 4096 + (uint32_t)unit_random_below(page == 4 ? 128 : COMMON_LEN + 8);
        uint64_t value = some_value();

        offset -= offset % size;
        if (n % 1000 == 0) {
            driver_start(a, false);
            driver_start(b, false);
            /* The window works without decoding, which is what it is for. */
            command_set(&rig, b->sbdf, 0, PCI_COMMAND_MEMORY);
        }
        if (n % 1000 == 1)
            command_set(&rig, b->sbdf, PCI_COMMAND_MEMORY, 0);
        if (unit_random_below(16) == 0) {
            virtio_device_queue_interrupt(&a->it.dev, 1);
            virtio_device_queue_interrupt(&b->it.dev, 1);
        }
        window_set(b, 0, offset, size);
        if (unit_random_below(2)) {
            mem_write(&rig, a->bar + offset, size, value);
            cfg_write(&rig, b->sbdf, b->window + WINDOW_DATA, size, (uint32_t)value);
        } else {
            uint64_t want = mem_read(&rig, a->bar + offset, size);

            ck_assert_uint_eq(cfg_read(&rig, b->sbdf, b->window + WINDOW_DATA, size), want);
        }
        expect_alike(a, b);
    }
    ck_assert_uint_ge(a->it.starts, unit_count(200000) / 1000);
    teardown();
}
END_TEST

START_TEST(test_window_junk)
{
    static const struct {
        uint8_t bar;
        uint32_t offset, len;
    } junk[] = {
        {0, 0, 0}, {0, 0, 3}, {0, 0, 5},       {0, 0, 8},       {0, 0, 0x100},      {0, 0, UINT32_MAX},
        {0, 1, 2}, {0, 2, 4}, {0, KIB(32), 1}, {0, KIB(32), 4}, {0, UINT32_MAX, 1}, {0, UINT32_MAX - 3, 4},
        {1, 0, 4}, {2, 0, 4}, {5, 0, 4},       {6, 0, 4},       {255, 0, 4},
    };
    struct vdev *v = setup(rig_hvm(), NR_QUEUES), *twin = setup_second(NR_QUEUES);

    for (unsigned i = 0; i < ARRAY_SIZE(junk); i++) {
        window_set(v, junk[i].bar, junk[i].offset, junk[i].len);
        cfg_write(&rig, v->sbdf, v->window + WINDOW_DATA, 4, 0x01010101);
        ck_assert_uint_eq(cfg_read(&rig, v->sbdf, v->window + WINDOW_DATA, 4), UINT32_MAX);
        expect_alike(v, twin);
    }
    /* The window itself reads back, the rest of the capability does not change. */
    window_set(v, 0, offsetof(struct virtio_pci_common_cfg, num_queues), 2);
    ck_assert_uint_eq(cfg_read(&rig, v->sbdf, v->window + VIRTIO_PCI_CAP_OFFSET, 4), 18);
    ck_assert_uint_eq(cfg_read(&rig, v->sbdf, v->window + VIRTIO_PCI_CAP_LENGTH, 4), 2);
    cfg_write(&rig, v->sbdf, v->window, 4, 0);
    ck_assert_uint_eq(cap_find(v->sbdf, VIRTIO_PCI_CAP_PCI_CFG).at, v->window);
    /* A part of the data is enough to cause the access; only len bytes of the data are of it. */
    ck_assert_uint_eq(cfg_read(&rig, v->sbdf, v->window + WINDOW_DATA, 1), NR_QUEUES);
    ck_assert_uint_eq(cfg_read(&rig, v->sbdf, v->window + WINDOW_DATA, 4), 0xffff0000 + NR_QUEUES);
    teardown();
}
END_TEST

/* ---- a new process for the same guest ---- */

START_TEST(test_resume)
{
    struct vdev *v = setup(rig_hvm(), NR_QUEUES);
    struct virtio_device_state state;
    struct virtio_pci_state pci;

    driver_start(v, true);
    SET(v, queue_select, 2);
    window_set(v, 0, 16, 2);
    state = v->it.state;
    pci = v->pci;
    teardown();

    rig_start(&rig, rig_hvm());
    vdev_plug(v, NR_QUEUES, CONFIG_LEN, true);
    ck_assert_mem_eq(&state, &v->it.state, offsetof(struct virtio_device_state, queues[NR_QUEUES]));
    ck_assert_mem_eq(&pci, &v->pci, sizeof(pci));
    ck_assert_uint_eq(v->it.starts, 2);
    ck_assert_uint_eq(GET(v, device_status), 15);
    ck_assert_uint_eq(GET(v, queue_select), 2);
    virtio_device_queue_interrupt(&v->it.dev, 2);
    msi_expect(v, 1, 3);
    mem_write(&rig, v->notify + 8, 2, 2);
    ck_assert_uint_eq(v->it.kicks[2], 1);
    teardown();

    /* An interrupt that was not acknowledged. */
    v = setup(rig_hvm(), NR_QUEUES);
    driver_start(v, false);
    virtio_device_queue_interrupt(&v->it.dev, 0);
    teardown();
    rig_start(&rig, rig_hvm());
    vdev_plug(v, NR_QUEUES, CONFIG_LEN, true);
    ck_assert(rig.line[v->sbdf >> 3]);
    ck_assert_uint_eq(mem_read(&rig, v->isr, 1), 1);
    ck_assert(!rig.line[v->sbdf >> 3]);
    teardown();

    /* A back-end that has fewer queues now. */
    v = setup(rig_hvm(), NR_QUEUES);
    driver_start(v, true);
    teardown();
    rig_start(&rig, rig_hvm());
    vdev_plug(v, NR_QUEUES - 1, CONFIG_LEN, true);
    ck_assert_uint_eq(GET(v, device_status), 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
    teardown();
}
END_TEST

START_TEST(test_resume_damaged)
{
    unit_random_start();
    for (unsigned long round = unit_count(2000); round > 0; round--) {
        struct vdev *v = &vdevs[0];
        uint8_t *bytes = (uint8_t *)&v->pci;

        memset(vdevs, 0, sizeof(vdevs));
        rig_start(&rig, rig_hvm());
        for (size_t i = 0; i < sizeof(v->pci); i++)
            bytes[i] = (uint8_t)unit_random();
        v->sbdf = 0x10 << 3;
        vdev_plug(v, NR_QUEUES, CONFIG_LEN, true);
        v->pci.pci.config[PCI_COMMAND] = 0;
        for (unsigned i = 0; i < NR_QUEUES; i++)
            v->it.dev.transport_ops->queue_interrupt(v->it.dev.transport, i);
        v->it.dev.transport_ops->config_interrupt(v->it.dev.transport);
        v->it.dev.transport_ops->queue_interrupt(v->it.dev.transport, VIRTIO_MAX_QUEUES);
        for (unsigned at = 0; at < PCI_CFG_SPACE_SIZE; at += 4)
            cfg_read(&rig, v->sbdf, at, 4);
        driver_probe(v, RIG_LOW);
        ck_assert_uint_le(mem_read(&rig, v->isr, 1), 3);
        for (unsigned i = 0; i < NR_QUEUES; i++) {
            SET(v, queue_select, i);
            ck_assert(GET(v, queue_msix_vector) <= NR_QUEUES || GET(v, queue_msix_vector) == 0xffff);
        }
        rig.nr_msis = 0;
        driver_start(v, true);
        virtio_device_queue_interrupt(&v->it.dev, 1);
        ck_assert_uint_eq(rig.msis[rig.nr_msis - 1].data, 0x4002);
        teardown();
    }
}
END_TEST

/* ---- a hostile guest ---- */

/* Both BARs back to where their drivers look for them, wherever they were. */
static void bars_restore(void)
{
    for (unsigned i = 0; i < 2; i++)
        command_set(&rig, vdevs[i].sbdf, 0, PCI_COMMAND_MEMORY);
    for (unsigned i = 0; i < 2; i++) {
        bar_write(&rig, vdevs[i].sbdf, 0, false, vdevs[i].bar);
        command_set(&rig, vdevs[i].sbdf, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    }
}

START_TEST(test_fuzz)
{
    struct pci_host host = rig_pvh();
    uint8_t data[4096];
    struct vdev *v;

    host.has_intx = true;
    setup(host, NR_QUEUES);
    setup_second(VIRTIO_MAX_QUEUES);
    unit_random_start();
    for (unsigned long n = unit_count(3000000); n > 0; n--) {
        unsigned size = 1u << unit_random_below(4);
        uint64_t page, gpa;

        v = &vdevs[unit_random_below(2)];
        page = unit_random_below(9);
        if (page == 8)
            gpa = RIG_ECAM + ((uint64_t)v->sbdf << 12) + unit_random_below(0x110);
        else
            gpa = v->bar + page * 4096 + unit_random_below(unit_random_below(8) ? 0x80 : 4096);
        switch (unit_random_below(16)) {
        case 0:
            v->it.dev.transport_ops->queue_interrupt(v->it.dev.transport,
                                                     (unsigned)unit_random_below(VIRTIO_MAX_QUEUES + 1));
            break;
        case 1:
            v->it.dev.transport_ops->config_interrupt(v->it.dev.transport);
            break;
        case 2:
            window_set(v, (uint8_t)unit_random_below(7), (uint32_t)(unit_random() >> unit_random_below(64)),
                       1u << unit_random_below(4));
            break;
        case 3:
            if (unit_random_below(32) == 0) {
                memset(data, (int)some_value(), sizeof(data));
                mem_string(&rig, unit_random_below(2) == 1, gpa, size, data,
                           size * (1 + unit_random_below(sizeof(data) / 8)));
            }
            break;
        case 4:
            if (unit_random_below(256) == 0) { /* back to where most registers mean something */
                bars_restore();
                driver_start(v, unit_random_below(2) == 1);
            }
            break;
        case 5:
        case 6:
        case 7:
        case 8:
            mem_read(&rig, gpa, size);
            break;
        default:
            mem_write(&rig, gpa, size, some_value());
        }
    }
    /* Both still work. */
    bars_restore();
    for (unsigned i = 0; i < 2; i++) {
        v = &vdevs[i];
        driver_probe(v, v->bar);
        rig.nr_msis = 0;
        cfg_write(&rig, v->sbdf, v->msix + PCI_MSIX_FLAGS, 2, 0);
        driver_start(v, true);
        virtio_device_queue_interrupt(&v->it.dev, 3);
        msi_expect(v, 1, 4);
    }
    ck_assert_uint_ge(vdevs[0].it.starts, unit_count(100)); /* it got as far as that */
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("virtio_pci");
    TCase *tc = tcase_create("virtio_pci");

    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, test_driver);
    tcase_add_test(tc, test_no_config);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_intx);
    tcase_add_test(tc, test_isr_with_msix);
    tcase_add_test(tc, test_vectors);
    tcase_add_test(tc, test_absent_queue);
    tcase_add_test(tc, test_reset);
    tcase_add_test(tc, test_common_read_widths);
    tcase_add_test(tc, test_common_write_widths);
    tcase_add_test(tc, test_config_widths);
    tcase_add_test(tc, test_notify_widths);
    tcase_add_test(tc, test_window_equivalence);
    tcase_add_test(tc, test_window_junk);
    tcase_add_test(tc, test_resume);
    tcase_add_test(tc, test_resume_damaged);
    tcase_add_test(tc, test_fuzz);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_pci.h - the virtio-pci transport, modern (virtio 1.2, section 4.1): registers in a BAR, found by
 * capabilities; one notify address per queue; MSI-X with a vector for each queue, INTx without. It turns
 * register accesses into virtio_device_* calls and knows nothing of device types or back-ends.
 */
#ifndef VHOST_DM_VIRTIO_PCI_H
#define VHOST_DM_VIRTIO_PCI_H

#include <stdint.h>

#include "dm/pci.h"
#include "dm/virtio_device.h"

/* What the driver programmed of the transport; plain data, kept in the saved state. */
struct virtio_pci_state {
    uint32_t device_feature_select, driver_feature_select;
    uint16_t queue_select;
    uint16_t config_vector;
    uint16_t queue_vector[VIRTIO_MAX_QUEUES];
    uint8_t isr;
    uint8_t pad[3];
    struct pci_function_state pci;
};

struct virtio_pci; /* owned by the caller of virtio_pci_new */

/*
 * Makes dev a PCI function at slot (PCI_SLOT_ANY: a free one) of its guest's bus; becomes dev's transport.
 * class_code as in struct pci_function_id. dev and state are borrowed and outlive it. 0 or negative errno.
 * *sbdf out: where it is.
 */
int virtio_pci_new(struct virtio_pci **out, struct virtio_device *dev, uint32_t class_code, uint8_t slot,
                   struct virtio_pci_state *state, bool resumed, uint32_t *sbdf);
void virtio_pci_free(struct virtio_pci *vp);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_uapi.h - what the oldest kernel headers that we build with (Linux 6.1, Debian 12) do not have yet of
 * the interface of virtio devices. Included by whoever needs one of these; owns nothing.
 */
#ifndef VHOST_DM_VIRTIO_UAPI_H
#define VHOST_DM_VIRTIO_UAPI_H

#include <linux/virtio_pmem.h>

/* The memory is a shared memory region instead of a range that config space names (virtio 1.2, 5.19.3). */
#ifndef VIRTIO_PMEM_F_SHMEM_REGION
#define VIRTIO_PMEM_F_SHMEM_REGION 0
#endif
#ifndef VIRTIO_PMEM_SHMEM_REGION_ID
#define VIRTIO_PMEM_SHMEM_REGION_ID 0 /* shmid */
#endif

#ifndef VIRTIO_ID_MEDIA
#define VIRTIO_ID_MEDIA 48 /* virtio 1.4, chapter 5 */
#endif

#endif

// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * vhost_dm_shm.c - see vhost-dm-shm.h: the public functions, over shm_client.h.
 */
#include "lib/vhost-dm-shm.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/shm_client.h"

static int error_is(int rc)
{
    errno = -rc;
    return -1;
}

int vhost_dm_shm_alloc(size_t len, unsigned flags, void **ptr)
{
    int fd, rc;

    if (len == 0 || len > (size_t)INT64_MAX - SHM_PAGE_SIZE || flags & ~VHOST_DM_SHM_STRICT)
        return error_is(-EINVAL);
    len = (len + SHM_PAGE_SIZE - 1) / SHM_PAGE_SIZE * SHM_PAGE_SIZE;
    fd = shm_client_memfd("", MFD_CLOEXEC);
    if (fd < 0)
        return error_is(fd);
    /* Not by the C library: in a program that is preloaded, too, that would be what makes it an allocation.
     */
    rc = syscall(SYS_ftruncate, fd, (off_t)len) == 0 ? shm_client_allocate(fd) : -errno;
    if (rc != 0 && !(flags & VHOST_DM_SHM_STRICT))
        rc = 0; /* an ordinary memfd then, which it still is */
    if (rc == 0) {
        *ptr = vhost_dm_shm_map(fd, 0, len, PROT_READ | PROT_WRITE);
        rc = *ptr == MAP_FAILED ? -errno : 0;
    }
    if (rc == 0)
        return fd;
    close(fd);
    shm_client_closed();
    return error_is(rc);
}

void *vhost_dm_shm_map(int fd, off_t offset, size_t len, int prot)
{
    void *map;
    int rc;

    if (!shm_client_is_token(fd))
        return mmap(NULL, len, prot, MAP_SHARED, fd, offset);
    rc = shm_client_map(fd, NULL, len, prot, MAP_SHARED, offset, &map);
    if (rc == 0)
        return map;
    error_is(rc);
    return MAP_FAILED;
}

int vhost_dm_shm_unmap(void *ptr, size_t len)
{
    int rc = shm_client_unmap(ptr, len);

    return rc == 0 ? 0 : error_is(rc);
}

int vhost_dm_shm_free(int fd, void *ptr, size_t len)
{
    int rc = ptr != NULL ? shm_client_unmap(ptr, len) : 0;

    if (close(fd) != 0 && rc == 0)
        rc = -errno;
    shm_client_closed();
    return rc == 0 ? 0 : error_is(rc);
}

int vhost_dm_shm_is_shared(int fd)
{
    return shm_client_is_token(fd);
}

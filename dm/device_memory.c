// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * device_memory.c - see device_memory.h. The kernel says in sysfs where a PCI BAR or a device-dax lies; that
 * nothing of it is ordinary memory is asked of /proc/iomem besides. The fd comes from a back-end: a path that
 * the kernel tells of it is believed only if it leads to that very file again.
 */
#include "dm/device_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/util.h"

/* include/linux/ioport.h of the kernel; not in its uapi, but what the third column of "resource" is made of.
 */
#define IORESOURCE_MEM 0x200u

#define PCI_RESOURCES 6 /* BARs: the expansion ROM and bridge windows are not for sharing */

struct span {
    uint64_t first, last; /* inclusive */
};

/* What the kernel knows of an open file by itself. Whoever serves its file system (FUSE) may be the back-end,
 * and never answer. */
static bool file_get(int fd, struct statx *st)
{
    return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, st) == 0;
}

/* Whether it is in the sysfs that we see. */
static bool in_sysfs(const struct statx *st)
{
    struct statfs fs;
    struct stat sys;

    return stat("/sys", &sys) == 0 && statfs("/sys", &fs) == 0 && fs.f_type == SYSFS_MAGIC &&
           makedev(st->stx_dev_major, st->stx_dev_minor) == sys.st_dev;
}

/* The path of a file of sysfs that is open, if it leads to the same file again. */
static bool path_of(int fd, const struct statx *st, char *path, size_t len)
{
    char link[64];
    struct statx again;
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, len - 1);
    if (n <= 0 || (size_t)n >= len - 1)
        return false;
    path[n] = '\0';
    return statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &again) == 0 &&
           again.stx_dev_major == st->stx_dev_major && again.stx_dev_minor == st->stx_dev_minor &&
           again.stx_ino == st->stx_ino;
}

/* Line nr of a "resource" file: "0xFIRST 0xLAST 0xFLAGS". */
static bool resource_line(const char *path, unsigned nr, struct span *span)
{
    FILE *f = fopen(path, "re");
    unsigned long long first, last, flags;
    char line[128];
    bool found = false;

    for (unsigned i = 0; f != NULL && fgets(line, sizeof(line), f) != NULL; i++)
        if (i == nr)
            found = sscanf(line, "%llx %llx %llx", &first, &last, &flags) == 3 && flags & IORESOURCE_MEM &&
                    first > 0 && last >= first;
    if (f != NULL)
        fclose(f);
    if (found)
        *span = (struct span){first, last};
    return found;
}

/* ".../0000:00:05.0/resource2" or "..._wc", which maps the same otherwise. */
static bool pci_span(int fd, const struct statx *st, struct span *span)
{
    char path[PATH_MAX], *name, *end;
    unsigned long nr;

    if (!in_sysfs(st) || !path_of(fd, st, path, sizeof(path)))
        return false;
    name = strrchr(path, '/');
    if (name == NULL || strncmp(name, "/resource", 9) != 0 || name[9] < '0' || name[9] > '9')
        return false;
    nr = strtoul(name + 9, &end, 10);
    if ((*end != '\0' && strcmp(end, "_wc") != 0) || nr >= PCI_RESOURCES)
        return false;
    name[9] = '\0';
    return resource_line(path, (unsigned)nr, span);
}

/* A number in a file of sysfs. */
static bool number_read(const char *dir, const char *name, uint64_t *value)
{
    char path[128], line[64] = "", *end;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "re");
    if (f == NULL)
        return false;
    if (fgets(line, sizeof(line), f) == NULL)
        line[0] = '\0';
    fclose(f);
    *value = strtoull(line, &end, 0);
    return end != line;
}

static bool dax_span(const struct statx *st, struct span *span)
{
    char dir[64], path[128], subsystem[PATH_MAX];
    uint64_t first, size;
    ssize_t n;

    snprintf(dir, sizeof(dir), "/sys/dev/char/%u:%u", st->stx_rdev_major, st->stx_rdev_minor);
    snprintf(path, sizeof(path), "%s/subsystem", dir);
    n = readlink(path, subsystem, sizeof(subsystem) - 1);
    if (n < 4 || memcmp(subsystem + n - 4, "/dax", 4) != 0)
        return false;
    if (!number_read(dir, "resource", &first) || !number_read(dir, "size", &size) || first == 0 || size == 0)
        return false;
    *span = (struct span){first, first + (size - 1)};
    return span->last >= span->first;
}

/* Whether /proc/iomem knows of ordinary memory there, or does not tell (to an unprivileged reader all
 * addresses are 0). */
static bool is_ordinary(const struct span *span)
{
    FILE *f = fopen("/proc/iomem", "re");
    bool ordinary = false, told = false;
    char line[256];

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        unsigned long long first, last;

        if (sscanf(line, " %llx-%llx", &first, &last) != 2)
            continue;
        told |= last > 0;
        /* Other domains' memory is "Unusable memory" to a PV dom0. */
        if ((strstr(line, " : System RAM") != NULL || strstr(line, " : Unusable memory") != NULL) &&
            first <= span->last && span->first <= last)
            ordinary = true;
    }
    if (f != NULL)
        fclose(f);
    return ordinary || !told;
}

int device_memory_find(int fd, uint64_t offset, uint64_t len, uint64_t *addr)
{
    struct span span;
    struct statx st;

    *addr = 0;
    if (!file_get(fd, &st))
        return -ENODEV;
    if (S_ISREG(st.stx_mode) ? !pci_span(fd, &st, &span) : !S_ISCHR(st.stx_mode) || !dax_span(&st, &span))
        return -ENODEV;
    if (span.first % GUEST_PAGE_SIZE != 0 || offset % GUEST_PAGE_SIZE != 0)
        return -EINVAL;
    if (!range_within(offset, len, span.last - span.first + 1))
        return -ERANGE;
    if (is_ordinary(&span))
        return -EPERM;
    *addr = span.first + offset;
    return 0;
}

const char *device_memory_why(int rc)
{
    switch (rc) {
    case -EINVAL:
        return "not device: it does not begin at a page of the host";
    case -ERANGE:
        return "not device: the range is longer than the device's memory";
    case -EPERM:
        return "not device: its frames are ordinary memory, or /proc/iomem does not tell what they are";
    case -ENODEV:
        return "not device: the memory is not a PCI resource in sysfs and not a device-dax";
    default:
        return "not device: where its memory is cannot be found out";
    }
}

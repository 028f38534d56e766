// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fake_xen_memory.c - see fake_xen_memory.h. The memory is a sparse memfd; a mapping is an inaccessible area
 * over which runs of populated frames are laid.
 */
#include "tests/unit/fake_xen_memory.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/arch-x86/hvm/save.h>

#define PAGE 4096u

struct fake_memory fake;

static int fd = -1;
static uint8_t *view;
static uint8_t *populated; /* a byte for each frame */

void *__wrap_xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
                                  const xen_pfn_t gfns[], int errors[]);
int __wrap_xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages);
int __wrap_xc_domain_hvm_getcontext_partial(xc_interface *xch, uint32_t domid, uint16_t typecode,
                                            uint16_t instance, void *buf, uint32_t size);
int __wrap_xc_domain_maximum_gpfn(xc_interface *xch, uint32_t domid, xen_pfn_t *gpfns);
int __wrap_xc_domain_setmaxmem(xc_interface *xch, uint32_t domid, uint64_t max_memkb);
int __wrap_xc_domain_populate_physmap_exact(xc_interface *xch, uint32_t domid, unsigned long nr,
                                            unsigned int order, unsigned int flags, xen_pfn_t *gfns);

void fake_memory_reset(void)
{
    if (fd >= 0) {
        munmap(view, FAKE_FRAMES * PAGE);
        close(fd);
    }
    free(populated);
    memset(&fake, 0, sizeof(fake));
    fake.page_error = -ENOENT;
    populated = calloc(FAKE_FRAMES, 1);
    fd = memfd_create("guest", MFD_CLOEXEC);
    ck_assert(populated != NULL && fd >= 0 && ftruncate(fd, (off_t)(FAKE_FRAMES * PAGE)) == 0);
    view = mmap(NULL, FAKE_FRAMES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    ck_assert(view != MAP_FAILED);
}

void fake_memory_set(uint64_t gpa, uint64_t len, bool is)
{
    for (uint64_t gfn = gpa / PAGE; gfn <= (gpa + len - 1) / PAGE; gfn++)
        populated[gfn] = is;
}

bool fake_memory_populated(uint64_t gpa)
{
    return gpa / PAGE < FAKE_FRAMES && populated[gpa / PAGE];
}

uint8_t *fake_memory_at(uint64_t gpa)
{
    ck_assert_uint_lt(gpa / PAGE, FAKE_FRAMES);
    return view + gpa;
}

void *__wrap_xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
                                  const xen_pfn_t gfns[], int errors[])
{
    uint8_t *base;

    ck_assert(fmem == FAKE_FMEM && dom == FAKE_DOMID);
    fake.nr_maps++;
    if (fake.map_error) {
        errno = fake.map_error;
        return NULL;
    }
    base = mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert(base != MAP_FAILED);
    for (size_t i = 0; i < pages; i++) {
        size_t n = 1;

        errors[i] = fake_memory_populated(gfns[i] * PAGE) ? 0 : fake.page_error;
        if (errors[i])
            continue;
        while (i + n < pages && gfns[i + n] == gfns[i] + n && fake_memory_populated(gfns[i + n] * PAGE)) {
            errors[i + n] = 0;
            n++;
        }
        ck_assert(mmap(base + i * PAGE, n * PAGE, prot, MAP_SHARED | MAP_FIXED, fd,
                       (off_t)(gfns[i] * PAGE)) != MAP_FAILED);
        i += n - 1;
    }
    fake.mapped_pages += pages;
    return base;
}

int __wrap_xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
    ck_assert(fmem == FAKE_FMEM && pages <= fake.mapped_pages);
    fake.mapped_pages -= pages;
    return munmap(addr, pages * PAGE);
}

int __wrap_xc_domain_hvm_getcontext_partial(xc_interface *xch, uint32_t domid, uint16_t typecode,
                                            uint16_t instance, void *buf, uint32_t size)
{
    struct hvm_hw_cpu cpu = {.rbx = fake.rbx};

    ck_assert(xch == FAKE_XCH && domid == FAKE_DOMID && typecode == HVM_SAVE_CODE(CPU) && instance == 0);
    ck_assert_uint_eq(size, sizeof(cpu));
    memcpy(buf, &cpu, sizeof(cpu));
    return 0;
}

int __wrap_xc_domain_maximum_gpfn(xc_interface *xch, uint32_t domid, xen_pfn_t *gpfns)
{
    ck_assert(xch == FAKE_XCH && domid == FAKE_DOMID);
    *gpfns = 0;
    for (uint64_t gfn = 0; gfn < FAKE_FRAMES; gfn++)
        if (populated[gfn])
            *gpfns = gfn;
    return 0;
}

int __wrap_xc_domain_setmaxmem(xc_interface *xch, uint32_t domid, uint64_t max_memkb)
{
    ck_assert(xch == FAKE_XCH && domid == FAKE_DOMID);
    fake.max_memkb = max_memkb;
    return 0;
}

int __wrap_xc_domain_populate_physmap_exact(xc_interface *xch, uint32_t domid, unsigned long nr,
                                            unsigned int order, unsigned int flags, xen_pfn_t *gfns)
{
    ck_assert(xch == FAKE_XCH && domid == FAKE_DOMID && order == 0 && flags == 0);
    for (unsigned long i = 0; i < nr; i++) {
        ck_assert(!fake_memory_populated(gfns[i] * PAGE));
        fake_memory_set(gfns[i] * PAGE, PAGE, true);
        fake.nr_populated++;
    }
    return 0;
}

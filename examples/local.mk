# examples/local.mk - vhost-user back-ends to learn from and to try things with. They are built by default and
# installed beside other programs that people do not call by name: $(libexecdir)/vhost-dm.
pkglibexec_PROGRAMS += vhost-user-pmem
vhost_user_pmem_SOURCES = \
	examples/pmem_backend.c examples/pmem_backend.h \
	examples/pmem_queue.c examples/pmem_queue.h \
	examples/pmem_xen.c examples/pmem_xen.h \
	examples/vhost_user_pmem.c
vhost_user_pmem_CPPFLAGS = $(AM_CPPFLAGS) $(XEN_CFLAGS)
vhost_user_pmem_LDADD = libcommon.la libvhost-dm-shm.la -lpthread

# An ACPI table by which an HVM guest finds a virtio-mmio device, to be given to xl or to be changed.
EXTRA_DIST += examples/virtio-mmio.asl
if WITH_XEN
pkgdata_DATA += examples/virtio-mmio.asl examples/virtio-mmio.aml
CLEANFILES += examples/virtio-mmio.aml examples/virtio-mmio.aml.log
endif

# Configurations to begin with.
examplesdir = $(pkgdatadir)/examples
dist_examples_DATA = examples/xl-wrapper.cfg

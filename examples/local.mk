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

# ACPI tables, to be given to xl or to be changed: by which an HVM guest finds a virtio-mmio device, and learns of
# devices that come and go.
EXTRA_DIST += examples/hotplug.asl examples/virtio-mmio.asl
if WITH_XEN
pkgdata_DATA += examples/hotplug.asl examples/hotplug.aml examples/virtio-mmio.asl examples/virtio-mmio.aml
CLEANFILES += examples/hotplug.aml examples/hotplug.aml.log examples/virtio-mmio.aml examples/virtio-mmio.aml.log
endif

# Configurations to begin with.
examplesdir = $(pkgdatadir)/examples
dist_examples_DATA = examples/xl-wrapper.cfg

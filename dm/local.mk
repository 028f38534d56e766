# dm/local.mk - the device model: a library that the tests link with too, and the program.
noinst_LTLIBRARIES += libdm.la
libdm_la_SOURCES = \
	dm/bounce.c dm/bounce.h dm/bounce_flight.c \
	dm/bounce_pool.c dm/bounce_pool.h \
	dm/bounce_queue.c dm/bounce_queue.h \
	dm/confine.c dm/confine.h \
	dm/datapath.c dm/datapath.h \
	dm/device.c dm/device.h \
	dm/device_config.c dm/device_config.h \
	dm/device_memory.c dm/device_memory.h \
	dm/device_types.c dm/device_types.h \
	dm/direct.c dm/direct.h \
	dm/eject.c dm/eject.h \
	dm/frontend.c dm/frontend.h dm/frontend_internal.h \
	dm/frontend_jobs.c dm/frontend_memory.c dm/frontend_requests.c dm/frontend_steps.c \
	dm/guest.c dm/guest.h \
	dm/guest_ring.c dm/guest_ring.h \
	dm/host.c dm/host.h \
	dm/hotplug.c dm/hotplug.h \
	dm/hypervisor.h \
	dm/local.c dm/local.h dm/local_pages.c dm/local_pages.h \
	dm/memory_table.c dm/memory_table.h \
	dm/options_device.c dm/options.h \
	dm/placement.c dm/placement.h \
	dm/placement_copy.c dm/placement_device.c dm/placement_foreign.c dm/placement_trap.c \
	dm/pci_bus.c dm/pci_function.c dm/pci_msix.c dm/pci.h \
	dm/shared_eventfd.c dm/shared_eventfd.h \
	dm/shm_pool.c dm/shm_pool.h dm/shm_server.c dm/shm_server.h \
	dm/shmem.c dm/shmem.h dm/shmem_internal.h dm/shmem_window.c dm/shmem_file.c dm/shmem_file.h \
	dm/virtio_device.c dm/virtio_device.h \
	dm/virtio_mmio.c dm/virtio_mmio.h \
	dm/virtio_pci.c dm/virtio_pci.h
libdm_la_CPPFLAGS = $(AM_CPPFLAGS) $(SECCOMP_CFLAGS)
libdm_la_LIBADD = libcommon.la $(EV_LIBS) $(SECCOMP_LIBS)

# The command line, the devices that it names or that come and go, and the control socket.
noinst_LTLIBRARIES += libdevices.la
libdevices_la_SOURCES = \
	dm/control.h dm/control_internal.h \
	dm/devices.c dm/devices.h dm/devices_internal.h dm/devices_remove.c \
	dm/devices_list.c dm/devices_list.h \
	dm/options.c dm/options.h \
	dm/virtio_features.c dm/virtio_features.h
libdevices_la_CFLAGS = $(AM_CFLAGS) $(JSONC_CFLAGS)
if HAVE_JSON
libdevices_la_SOURCES += dm/control.c dm/control_command.c dm/control_list.c dm/control_regions.c \
	dm/control_trace.c
endif

sbin_PROGRAMS += vhost-dm
vhost_dm_SOURCES = dm/main.c \
	dm/probe.c dm/probe.h dm/probe_report.c dm/probe_rings.c
vhost_dm_CFLAGS = $(AM_CFLAGS) $(JSONC_CFLAGS)
vhost_dm_LDADD = libdevices.la libdm.la libcommon.la $(EV_LIBS)
if HAVE_JSON
vhost_dm_SOURCES += dm/probe_json.c
vhost_dm_LDADD += $(JSONC_LIBS)
endif
if WITH_XEN
vhost_dm_LDADD += libxenhv.la $(XEN_LIBS)
endif

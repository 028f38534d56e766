# tests/local.mk - see tests/README.md for the kinds of tests.
EXTRA_DIST += debian contrib tests/README.md tests/packages tests/run-all tests/nested demo .shellcheckrc
EXTRA_DIST += tests/bench/nested-disk tests/bench/nested-disk-dom0.sh tests/bench/nested-disk-guest.sh
EXTRA_DIST += tests/bench/nested-start tests/bench/nested-start-dom0.sh
EXTRA_DIST += tests/bench/nested-shmem tests/bench/nested-shmem-dom0.sh

# Benchmarks: made by `make check`, run by `make bench`.
check_PROGRAMS += tests/bench/bench_region_table
tests_bench_bench_region_table_LDADD = libcommon.la
if HAVE_GLIB
tests_bench_bench_region_table_CPPFLAGS = $(AM_CPPFLAGS) -DHAVE_GLIB
tests_bench_bench_region_table_CFLAGS = $(AM_CFLAGS) $(GLIB_CFLAGS)
tests_bench_bench_region_table_LDADD += $(GLIB_LIBS)
endif
# The device model on the local hypervisor, a back-end and the floor, as three processes.
check_PROGRAMS += tests/bench/bench_shmem
tests_bench_bench_shmem_SOURCES = tests/bench/bench_shmem.c tests/local/driver_mmio.c \
	tests/local/driver_pci.c tests/local/driver_queue.c \
	tests/local/driver_queue.h tests/local/guest_os.c tests/local/guest_os.h tests/local/rig.c tests/local/rig.h \
	tests/local/virtio_driver.c tests/local/virtio_driver.h tests/unit/fake_backend.c tests/unit/fake_backend.h
tests_bench_bench_shmem_LDADD = libdm.la libcommon.la $(EV_LIBS) -lpthread

bench: tests/bench/bench_region_table$(EXEEXT) tests/bench/bench_shmem$(EXEEXT)
	@echo 'Shared memory regions: MAP and UNMAP through the socket'
	@tests/bench/bench_shmem$(EXEEXT)
	@echo
	@echo 'Region table'
	@tests/bench/bench_region_table$(EXEEXT)

# A unit test is one block: its program, what it is made of, what it is linked with. The rest of its main() and
# its random numbers come from unit.h.
UNIT_SOURCES = tests/unit/unit.c tests/unit/unit.h

if HAVE_CHECK
check_PROGRAMS += tests/unit/test_region_table
TESTS += tests/unit/test_region_table
tests_unit_test_region_table_SOURCES = tests/unit/test_region_table.c tests/unit/region_table_check.c \
	tests/unit/region_table_check.h $(UNIT_SOURCES)
tests_unit_test_region_table_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_region_table_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=aligned_alloc
tests_unit_test_region_table_LDADD = libcommon.la $(CHECK_LIBS)

# The same with the smallest nodes that work: deep trees of few regions.
check_PROGRAMS += tests/unit/test_region_table_deep
TESTS += tests/unit/test_region_table_deep
tests_unit_test_region_table_deep_SOURCES = $(tests_unit_test_region_table_SOURCES) common/region_table.c
tests_unit_test_region_table_deep_CPPFLAGS = $(AM_CPPFLAGS) -DREGION_TABLE_FANOUT=8
tests_unit_test_region_table_deep_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_region_table_deep_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=aligned_alloc
tests_unit_test_region_table_deep_LDADD = $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_saved_state
TESTS += tests/unit/test_saved_state
tests_unit_test_saved_state_SOURCES = tests/unit/test_saved_state.c tests/unit/saved_state_rig.c \
	tests/unit/saved_state_rig.h $(UNIT_SOURCES)
tests_unit_test_saved_state_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_saved_state_LDADD = libcommon.la $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_saved_state_damage
TESTS += tests/unit/test_saved_state_damage
tests_unit_test_saved_state_damage_SOURCES = tests/unit/test_saved_state_damage.c tests/unit/saved_state_rig.c \
	tests/unit/saved_state_rig.h $(UNIT_SOURCES)
tests_unit_test_saved_state_damage_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_saved_state_damage_LDADD = libcommon.la $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_fd_message
TESTS += tests/unit/test_fd_message
tests_unit_test_fd_message_SOURCES = tests/unit/test_fd_message.c tests/unit/fds.h $(UNIT_SOURCES)
tests_unit_test_fd_message_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_fd_message_LDADD = libcommon.la $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_local
TESTS += tests/unit/test_local
tests_unit_test_local_SOURCES = tests/unit/test_local.c $(UNIT_SOURCES)
tests_unit_test_local_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_local_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_guest_memory
TESTS += tests/unit/test_guest_memory
tests_unit_test_guest_memory_SOURCES = tests/unit/test_guest_memory.c $(UNIT_SOURCES)
tests_unit_test_guest_memory_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_guest_memory_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_device_memory
TESTS += tests/unit/test_device_memory
tests_unit_test_device_memory_SOURCES = tests/unit/test_device_memory.c $(UNIT_SOURCES)
tests_unit_test_device_memory_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_device_memory_LDADD = libdm.la libcommon.la $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_bounce_recover
TESTS += tests/unit/test_bounce_recover
tests_unit_test_bounce_recover_SOURCES = tests/unit/test_bounce_recover.c $(UNIT_SOURCES)
tests_unit_test_bounce_recover_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_bounce_recover_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_device_types
TESTS += tests/unit/test_device_types
tests_unit_test_device_types_SOURCES = tests/unit/test_device_types.c $(UNIT_SOURCES)
tests_unit_test_device_types_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_device_types_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_pci
TESTS += tests/unit/test_pci
tests_unit_test_pci_SOURCES = tests/unit/test_pci.c tests/unit/pci_guest.c tests/unit/pci_guest.h $(UNIT_SOURCES)
tests_unit_test_pci_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_pci_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_virtio_pci
TESTS += tests/unit/test_virtio_pci
tests_unit_test_virtio_pci_SOURCES = tests/unit/test_virtio_pci.c tests/unit/pci_guest.c \
	tests/unit/pci_guest.h tests/unit/counting_device.c tests/unit/counting_device.h $(UNIT_SOURCES)
tests_unit_test_virtio_pci_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_virtio_pci_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_hotplug
TESTS += tests/unit/test_hotplug
tests_unit_test_hotplug_SOURCES = tests/unit/test_hotplug.c tests/unit/pci_guest.c tests/unit/pci_guest.h \
	tests/unit/counting_device.c tests/unit/counting_device.h $(UNIT_SOURCES)
tests_unit_test_hotplug_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_hotplug_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS)

# Two programs of one guest.
MMIO_GUEST = tests/unit/mmio_guest.c tests/unit/mmio_guest.h tests/unit/pci_guest.c tests/unit/pci_guest.h \
	tests/unit/counting_device.c tests/unit/counting_device.h
check_PROGRAMS += tests/unit/test_virtio_mmio tests/unit/test_virtio_mmio_life
TESTS += tests/unit/test_virtio_mmio tests/unit/test_virtio_mmio_life
tests_unit_test_virtio_mmio_SOURCES = tests/unit/test_virtio_mmio.c $(MMIO_GUEST) $(UNIT_SOURCES)
tests_unit_test_virtio_mmio_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_virtio_mmio_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS)
tests_unit_test_virtio_mmio_life_SOURCES = tests/unit/test_virtio_mmio_life.c $(MMIO_GUEST) $(UNIT_SOURCES)
tests_unit_test_virtio_mmio_life_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_virtio_mmio_life_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_vhost_user
TESTS += tests/unit/test_vhost_user
tests_unit_test_vhost_user_SOURCES = tests/unit/test_vhost_user.c $(UNIT_SOURCES)
tests_unit_test_vhost_user_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_vhost_user_LDADD = libcommon.la $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_channel
TESTS += tests/unit/test_channel
tests_unit_test_channel_SOURCES = tests/unit/test_channel.c tests/unit/fds.h $(UNIT_SOURCES)
tests_unit_test_channel_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_channel_LDADD = libcommon.la $(CHECK_LIBS)

# What tests of the front-end share: an event loop, and a back-end that does what it is told to.
FRONTEND_RIG = tests/unit/frontend_rig.c tests/unit/frontend_rig.h tests/unit/fake_backend.c \
	tests/unit/fake_backend.h tests/unit/fds.h

check_PROGRAMS += tests/unit/test_frontend
TESTS += tests/unit/test_frontend
tests_unit_test_frontend_SOURCES = tests/unit/test_frontend.c $(FRONTEND_RIG) $(UNIT_SOURCES)
tests_unit_test_frontend_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_frontend_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS) -lpthread

check_PROGRAMS += tests/unit/test_frontend_memory
TESTS += tests/unit/test_frontend_memory
tests_unit_test_frontend_memory_SOURCES = tests/unit/test_frontend_memory.c $(FRONTEND_RIG) $(UNIT_SOURCES)
tests_unit_test_frontend_memory_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_frontend_memory_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS) -lpthread

check_PROGRAMS += tests/unit/test_frontend_faults
TESTS += tests/unit/test_frontend_faults
tests_unit_test_frontend_faults_SOURCES = tests/unit/test_frontend_faults.c $(FRONTEND_RIG) $(UNIT_SOURCES)
tests_unit_test_frontend_faults_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_frontend_faults_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS) -lpthread

check_PROGRAMS += tests/unit/test_frontend_real
TESTS += tests/unit/test_frontend_real
tests_unit_test_frontend_real_SOURCES = tests/unit/test_frontend_real.c $(FRONTEND_RIG) $(UNIT_SOURCES)
tests_unit_test_frontend_real_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_frontend_real_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS) -lpthread

check_PROGRAMS += tests/unit/test_qemu_wrapper
TESTS += tests/unit/test_qemu_wrapper
tests_unit_test_qemu_wrapper_SOURCES = tests/unit/test_qemu_wrapper.c dmd/devices_file.c dmd/devices_file.h \
	dmd/dm_start.c dmd/dm_start.h dmd/qemu_args.c dmd/qemu_args.h tests/unit/fds.h $(UNIT_SOURCES)
tests_unit_test_qemu_wrapper_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_qemu_wrapper_LDADD = libcommon.la $(CHECK_LIBS)
endif

# Scripts.
EXTRA_DIST += tests/unit/hotplug-table.sh tests/unit/mmio-table.sh tests/unit/transport-options.sh
TESTS += tests/unit/transport-options.sh
if WITH_XEN
AM_TESTS_ENVIRONMENT += IASL='$(IASL)'; export IASL;
TESTS += tests/unit/hotplug-table.sh tests/unit/mmio-table.sh
endif

# Tests of xen/ with a fake Xen: the libraries' functions that they replace.
if HAVE_CHECK
if WITH_XEN
XEN_MEMORY_WRAP = -Wl,--wrap=xenforeignmemory_map -Wl,--wrap=xenforeignmemory_unmap \
	-Wl,--wrap=xc_domain_hvm_getcontext_partial -Wl,--wrap=xc_domain_maximum_gpfn \
	-Wl,--wrap=xc_domain_setmaxmem -Wl,--wrap=xc_domain_populate_physmap_exact
XEN_IOREQ_WRAP = -Wl,--wrap=xendevicemodel_create_ioreq_server -Wl,--wrap=xendevicemodel_destroy_ioreq_server \
	-Wl,--wrap=xendevicemodel_set_ioreq_server_state -Wl,--wrap=xendevicemodel_nr_vcpus \
	-Wl,--wrap=xendevicemodel_map_io_range_to_ioreq_server \
	-Wl,--wrap=xendevicemodel_unmap_io_range_from_ioreq_server \
	-Wl,--wrap=xendevicemodel_map_pcidev_to_ioreq_server \
	-Wl,--wrap=xendevicemodel_unmap_pcidev_from_ioreq_server \
	-Wl,--wrap=xenforeignmemory_map_resource -Wl,--wrap=xenforeignmemory_unmap_resource \
	-Wl,--wrap=xenevtchn_open -Wl,--wrap=xenevtchn_close -Wl,--wrap=xenevtchn_fd \
	-Wl,--wrap=xenevtchn_bind_interdomain -Wl,--wrap=xenevtchn_pending -Wl,--wrap=xenevtchn_unmask \
	-Wl,--wrap=xenevtchn_notify
FAKE_XEN_MEMORY = tests/unit/fake_xen_memory.c tests/unit/fake_xen_memory.h

check_PROGRAMS += tests/unit/test_ioreq_access
TESTS += tests/unit/test_ioreq_access
tests_unit_test_ioreq_access_SOURCES = tests/unit/test_ioreq_access.c $(UNIT_SOURCES)
tests_unit_test_ioreq_access_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_ioreq_access_LDADD = libxenhv.la libcommon.la $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_device_grants
TESTS += tests/unit/test_device_grants
tests_unit_test_device_grants_SOURCES = tests/unit/test_device_grants.c $(UNIT_SOURCES)
tests_unit_test_device_grants_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_device_grants_LDADD = libxenhv.la libcommon.la $(CHECK_LIBS)

XEN_PRIVILEGED_WRAP = -Wl,--wrap=xc_interface_open -Wl,--wrap=xc_interface_close \
	-Wl,--wrap=xenforeignmemory_open -Wl,--wrap=xenforeignmemory_close -Wl,--wrap=xc_domain_getinfolist \
	-Wl,--wrap=xc_domain_pause -Wl,--wrap=xc_domain_unpause -Wl,--wrap=xc_domain_setmaxmem \
	-Wl,--wrap=xc_get_paging_mempool_size -Wl,--wrap=xc_set_paging_mempool_size \
	-Wl,--wrap=xc_domain_iomem_permission -Wl,--wrap=xc_domain_memory_mapping \
	-Wl,--wrap=xc_get_machine_memory_map -Wl,--wrap=device_memory_find

check_PROGRAMS += tests/unit/test_privileged
TESTS += tests/unit/test_privileged
tests_unit_test_privileged_SOURCES = tests/unit/test_privileged.c $(UNIT_SOURCES)
tests_unit_test_privileged_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_privileged_LDFLAGS = $(AM_LDFLAGS) $(XEN_PRIVILEGED_WRAP)
tests_unit_test_privileged_LDADD = libxenhv.la libdevices.la libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_xen_memory
TESTS += tests/unit/test_xen_memory
tests_unit_test_xen_memory_SOURCES = tests/unit/test_xen_memory.c $(FAKE_XEN_MEMORY) $(UNIT_SOURCES)
tests_unit_test_xen_memory_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_xen_memory_LDFLAGS = $(AM_LDFLAGS) $(XEN_MEMORY_WRAP)
tests_unit_test_xen_memory_LDADD = libxenhv.la libcommon.la $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_ioreq_server
TESTS += tests/unit/test_ioreq_server
tests_unit_test_ioreq_server_SOURCES = tests/unit/test_ioreq_server.c $(FAKE_XEN_MEMORY) $(UNIT_SOURCES)
tests_unit_test_ioreq_server_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_ioreq_server_LDFLAGS = $(AM_LDFLAGS) $(XEN_MEMORY_WRAP) $(XEN_IOREQ_WRAP)
tests_unit_test_ioreq_server_LDADD = libxenhv.la libcommon.la $(EV_LIBS) $(CHECK_LIBS)
endif
endif

# What vhost-dmd reads.
if HAVE_CHECK
if HAVE_DAEMON
check_PROGRAMS += tests/unit/test_dmd_config tests/unit/test_dmd_record
TESTS += tests/unit/test_dmd_config tests/unit/test_dmd_record
tests_unit_test_dmd_config_SOURCES = tests/unit/test_dmd_config.c $(UNIT_SOURCES)
tests_unit_test_dmd_config_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_dmd_config_LDADD = libdmd.la libxenhv.la libcommon.la $(CHECK_LIBS)
tests_unit_test_dmd_record_SOURCES = tests/unit/test_dmd_record.c $(UNIT_SOURCES)
tests_unit_test_dmd_record_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_dmd_record_LDADD = libdmd.la libxenhv.la libcommon.la $(CHECK_LIBS)
# The guests of vhost-dmd, with a toolstack of the test's own.
check_PROGRAMS += tests/unit/test_dmd_guest
TESTS += tests/unit/test_dmd_guest
tests_unit_test_dmd_guest_SOURCES = tests/unit/test_dmd_guest.c dmd/child.c dmd/guest.c \
	dmd/guest_folder.c dmd/guest_nodes.c \
	dmd/guest_plan.c dmd/guest_process.c $(UNIT_SOURCES)
tests_unit_test_dmd_guest_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_dmd_guest_LDADD = libdmd.la libxenhv.la libcommon.la $(EV_LIBS) $(CHECK_LIBS)
endif
endif

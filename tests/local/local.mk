# tests/local/local.mk - the device model as a whole on the local hypervisor, between a driver of ours and
# back-ends.
if HAVE_CHECK
# The host's hardware, the guest's operating system, a driver, and programs beside us.
LOCAL_RIG = \
	tests/local/driver_mmio.c tests/local/driver_pci.c tests/local/driver_transport.h \
	tests/local/driver_queue.c tests/local/driver_queue.h \
	tests/local/driver_shm.c tests/local/driver_shm.h \
	tests/local/guest_os.c tests/local/guest_os.h \
	tests/local/program_process.c tests/local/program_process.h \
	tests/local/rig.c tests/local/rig.h \
	tests/local/virtio_driver.c tests/local/virtio_driver.h

# A disk with qemu-storage-daemon.
check_PROGRAMS += tests/local/test_blk_qsd
TESTS += tests/local/test_blk_qsd
tests_local_test_blk_qsd_SOURCES = tests/local/test_blk_qsd.c tests/local/blk_cases.h \
	tests/local/blk_cases_backend.c tests/local/blk_cases_basic.c tests/local/blk_cases_fuzz.c \
	tests/local/blk_cases_malformed.c tests/local/blk_cases_restart.c tests/local/blk_load.c \
	tests/local/blk_load.h tests/local/blk_test.c tests/local/blk_test.h tests/local/backend_process.c \
	tests/local/backend_process.h $(LOCAL_RIG) $(UNIT_SOURCES)
tests_local_test_blk_qsd_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_local_test_blk_qsd_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS)

# Devices with shared memory regions.
check_PROGRAMS += tests/local/test_pmem
TESTS += tests/local/test_pmem
tests_local_test_pmem_SOURCES = tests/local/test_pmem.c $(LOCAL_RIG)
tests_local_test_pmem_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_local_test_pmem_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/local/test_shmem
TESTS += tests/local/test_shmem
tests_local_test_shmem_SOURCES = tests/local/test_shmem.c tests/local/shmem_test.c tests/local/shmem_test.h \
	tests/local/shmem_refusals.c tests/local/shmem_model.c tests/local/shmem_life.c \
	tests/local/shmem_files.c tests/local/shmem_dma.c tests/local/shmem_hostile.c tests/local/shmem_terms.c \
	tests/local/shmem_told.c \
	tests/local/backend_process.c tests/local/backend_process.h tests/unit/fake_backend.c \
	tests/unit/fake_backend.h tests/unit/fds.h $(LOCAL_RIG)
tests_local_test_shmem_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_local_test_shmem_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS) -lpthread

# Devices that are no disks.
check_PROGRAMS += tests/local/test_types
TESTS += tests/local/test_types
RINGS_TEST = tests/local/rings_test.c tests/local/rings_test.h tests/unit/fake_backend.c \
	tests/unit/fake_backend.h $(LOCAL_RIG)
tests_local_test_types_SOURCES = tests/local/test_types.c tests/unit/fds.h $(RINGS_TEST)
tests_local_test_types_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_local_test_types_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS) -lpthread

# Drivers that reset a device, and do not wait.
check_PROGRAMS += tests/local/test_reset
TESTS += tests/local/test_reset
tests_local_test_reset_SOURCES = tests/local/test_reset.c $(RINGS_TEST)
tests_local_test_reset_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_local_test_reset_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS) -lpthread

check_PROGRAMS += tests/local/test_probe
TESTS += tests/local/test_probe
tests_local_test_probe_SOURCES = tests/local/test_probe.c tests/local/backend_process.c \
	tests/local/backend_process.h tests/local/program_process.c tests/local/program_process.h \
	tests/unit/fake_backend.c tests/unit/fake_backend.h
tests_local_test_probe_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_local_test_probe_LDADD = libcommon.la $(CHECK_LIBS) -lpthread

check_PROGRAMS += tests/unit/test_pmem_queue
TESTS += tests/unit/test_pmem_queue
tests_unit_test_pmem_queue_SOURCES = tests/unit/test_pmem_queue.c examples/pmem_queue.c examples/pmem_queue.h \
	examples/pmem_xen.c examples/pmem_xen.h $(UNIT_SOURCES)
tests_unit_test_pmem_queue_CPPFLAGS = $(AM_CPPFLAGS) $(XEN_CFLAGS)
tests_unit_test_pmem_queue_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_pmem_queue_LDADD = libcommon.la $(CHECK_LIBS)

# The control socket.
if HAVE_JSON
CONTROL_RIG = tests/local/control_rig.c tests/local/control_rig.h tests/local/blk_load.c tests/local/blk_load.h \
	tests/local/backend_process.c tests/local/backend_process.h $(LOCAL_RIG) $(UNIT_SOURCES)
check_PROGRAMS += tests/local/test_control tests/local/test_control_hostile tests/local/test_control_hotplug
TESTS += tests/local/test_control tests/local/test_control_hostile tests/local/test_control_hotplug
tests_local_test_control_SOURCES = tests/local/test_control.c $(CONTROL_RIG)
tests_local_test_control_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS) $(JSONC_CFLAGS)
tests_local_test_control_LDADD = libdevices.la libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS) $(JSONC_LIBS)
tests_local_test_control_hotplug_SOURCES = tests/local/test_control_hotplug.c $(CONTROL_RIG)
tests_local_test_control_hotplug_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS) $(JSONC_CFLAGS)
tests_local_test_control_hotplug_LDADD = libdevices.la libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS) $(JSONC_LIBS)
tests_local_test_control_hostile_SOURCES = tests/local/test_control_hostile.c $(CONTROL_RIG)
tests_local_test_control_hostile_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS) $(JSONC_CFLAGS)
tests_local_test_control_hostile_LDADD = libdevices.la libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS) $(JSONC_LIBS)
endif
endif

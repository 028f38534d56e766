# xen/local.mk - everything that includes a Xen header.
EXTRA_DIST += xen/pvh_pci.asl
if WITH_XEN
noinst_LTLIBRARIES += libxenhv.la
libxenhv_la_SOURCES = \
	xen/broker.c xen/broker.h \
	xen/busy_pages.c xen/busy_pages.h \
	xen/device_grants.c xen/device_grants.h \
	xen/domain.c xen/domain.h \
	xen/domain_find.c \
	xen/domain_watch.c xen/domain_watch.h \
	xen/foreign_cache.c xen/foreign_cache.h \
	xen/guest_map.c xen/guest_map.h \
	xen/holder.c xen/holder.h \
	xen/holder_keeper.c xen/holder_keeper.h \
	xen/ioreq_access.c xen/ioreq_access.h \
	xen/ioreq_server.c xen/ioreq_server.h \
	xen/kept.c xen/kept.h \
	xen/no_save.c xen/no_save.h \
	xen/placed.c xen/placed.h \
	xen/privileged.c xen/privileged.h xen/privileged_internal.h xen/privileged_device.c \
	xen/privileged_requests.c \
	xen/pvh_acpi.c xen/pvh_acpi.h \
	xen/toolstack.c xen/toolstack.h \
	xen/xen_attach.c xen/xen_internal.h \
	xen/xen_errors.c xen/xen_errors.h \
	xen/xen_hypervisor.c xen/xen_hypervisor.h \
	xen/xen_logger.c xen/xen_logger.h \
	xen/xen_pages.c xen/xen_pages.h \
	xen/xen_state.h \
	xen/xenstore_open.c xen/xenstore_open.h
libxenhv_la_CPPFLAGS = $(AM_CPPFLAGS) $(XEN_CFLAGS)
libxenhv_la_LIBADD = libcommon.la $(XEN_LIBS) $(EV_LIBS)

# The ACPI table for PVH guests, compiled, as a list of numbers for a C array.
xen/pvh_pci.aml.inc: xen/pvh_pci.aml
	$(AM_V_GEN)od -An -v -tu1 xen/pvh_pci.aml | sed 's/[0-9][0-9]*/&,/g' >$@.tmp && mv $@.tmp $@
$(libxenhv_la_OBJECTS): xen/pvh_pci.aml.inc
CLEANFILES += xen/pvh_pci.aml xen/pvh_pci.aml.inc xen/pvh_pci.aml.inc.tmp xen/pvh_pci.aml.log
endif

# dmd/local.mk - what starts vhost-dm for xl.
# vhost-dmd, the daemon: a library that the tests link with too, and the program.
DMD_DEFINES = -DVHOST_DM_PROGRAM='"$(sbindir)/vhost-dm"' -DCONFIG_DIR='"$(sysconfdir)/vhost-dm"' \
	-DBACK_ENDS_DIR='"$(pkgdatadir)"'
if HAVE_DAEMON
noinst_LTLIBRARIES += libdmd.la
libdmd_la_SOURCES = \
	dmd/configuration.c dmd/configuration.h \
	dmd/devices_file.c dmd/devices_file.h \
	dmd/ini_file.c dmd/ini_file.h \
	dmd/plan.c dmd/plan.h \
	dmd/record.c dmd/record.h \
	dmd/templates.c dmd/templates.h dmd/templates_json.c \
	dmd/words.c dmd/words.h \
	dmd/xl_nodes.c dmd/xl_nodes.h
libdmd_la_CPPFLAGS = $(AM_CPPFLAGS) $(DMD_DEFINES)
libdmd_la_CFLAGS = $(AM_CFLAGS) $(INIH_CFLAGS) $(JSONC_CFLAGS)
libdmd_la_LIBADD = libdevices.la libdm.la libcommon.la $(INIH_LIBS) $(JSONC_LIBS)

sbin_PROGRAMS += vhost-dmd
vhost_dmd_SOURCES = dmd/main.c dmd/child.c dmd/child.h dmd/daemon.c dmd/daemon.h dmd/guest.c dmd/guest.h \
	dmd/guest_folder.c dmd/guest_nodes.c dmd/guest_plan.c dmd/guest_process.c
vhost_dmd_CPPFLAGS = $(AM_CPPFLAGS) $(DMD_DEFINES)
vhost_dmd_LDADD = libdmd.la libxenhv.la libcommon.la $(EV_LIBS) $(XEN_LIBS)

# Where things are is known when make is.
EXTRA_DIST += dmd/back-ends.conf.in dmd/vhost-dmd.conf.in
pkgdata_DATA += dmd/back-ends.conf dmd/vhost-dmd.conf
DMD_EDIT = sed -e 's|@pkglibexecdir[@]|$(pkglibexecdir)|g' -e 's|@sbindir[@]|$(sbindir)|g' \
	-e 's|@pkgdatadir[@]|$(pkgdatadir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g'
dmd/back-ends.conf: dmd/back-ends.conf.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(DMD_EDIT) $(srcdir)/dmd/back-ends.conf.in >$@.tmp && mv $@.tmp $@
dmd/vhost-dmd.conf: dmd/vhost-dmd.conf.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(DMD_EDIT) $(srcdir)/dmd/vhost-dmd.conf.in >$@.tmp && mv $@.tmp $@
CLEANFILES += dmd/back-ends.conf dmd/vhost-dmd.conf
# Empty: what stands there is the administrator's.
install-data-local:
	$(MKDIR_P) $(DESTDIR)$(sysconfdir)/vhost-dm
endif

# The program that stands in for QEMU.
if WITH_XEN
pkglibexec_PROGRAMS += vhost-dm-qemu
vhost_dm_qemu_SOURCES = dmd/vhost_dm_qemu.c dmd/devices_file.c dmd/devices_file.h dmd/dm_start.c dmd/dm_start.h \
	dmd/qemu_args.c dmd/qemu_args.h
vhost_dm_qemu_CPPFLAGS = $(AM_CPPFLAGS) -DSBINDIR='"$(sbindir)"' -DXEN_QEMU='"$(XEN_QEMU)"'
vhost_dm_qemu_LDADD = libxenhv.la libcommon.la $(XEN_LIBS)
endif

# For systemd.
EXTRA_DIST += dmd/vhost-dmd.service.in dmd/vhost-dm.tmpfiles
dmd/vhost-dmd.service: $(srcdir)/dmd/vhost-dmd.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && sed -e 's|@sbindir[@]|$(sbindir)|' $(srcdir)/dmd/vhost-dmd.service.in >$@
CLEANFILES += dmd/vhost-dmd.service
if SYSTEMD_UNITS
systemdunit_DATA = dmd/vhost-dmd.service
systemdunitdir = $(systemdsystemunitdir)
endif
if SYSTEMD_TMPFILES
install-data-hook: install-tmpfiles
uninstall-hook: uninstall-tmpfiles
install-tmpfiles:
	$(MKDIR_P) $(DESTDIR)$(tmpfilesdir)
	$(INSTALL_DATA) $(srcdir)/dmd/vhost-dm.tmpfiles $(DESTDIR)$(tmpfilesdir)/vhost-dm.conf
uninstall-tmpfiles:
	rm -f $(DESTDIR)$(tmpfilesdir)/vhost-dm.conf
endif

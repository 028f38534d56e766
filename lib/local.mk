# lib/local.mk - libvhost-dm-shm, which back-ends link with, and its preloaded form. LGPL-2.1-or-later.
EXTRA_DIST += lib/LICENSE.LGPL
include_HEADERS = lib/vhost-dm-shm.h
SHM_CLIENT = lib/shm_client.c lib/shm_client.h lib/shm_protocol.h

lib_LTLIBRARIES += libvhost-dm-shm.la
libvhost_dm_shm_la_SOURCES = lib/vhost_dm_shm.c lib/vhost-dm-shm.h $(SHM_CLIENT)
libvhost_dm_shm_la_CPPFLAGS = $(AM_CPPFLAGS) $(XEN_CFLAGS)
libvhost_dm_shm_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -export-symbols-regex '^vhost_dm_shm_'
libvhost_dm_shm_la_LIBADD = -lpthread

# It goes into programs that were built without sanitizers; nothing links with it.
pkglib_LTLIBRARIES += libvhost-dm-shm-preload.la
libvhost_dm_shm_preload_la_SOURCES = lib/preload.c $(SHM_CLIENT)
libvhost_dm_shm_preload_la_CPPFLAGS = $(AM_CPPFLAGS) $(XEN_CFLAGS)
libvhost_dm_shm_preload_la_CFLAGS = -std=gnu11 $(WARN_CFLAGS)
libvhost_dm_shm_preload_la_LDFLAGS = -module -avoid-version -shared -export-symbols-regex \
	'^(memfd_create|ftruncate(64)?|(posix_)?fallocate(64)?|mmap(64)?|munmap|mremap|mprotect|close|dup[23]?|fcntl(64)?|read|write|p(read|write)(64)?|__(read|pread|pread64)_chk)$$'
libvhost_dm_shm_preload_la_LIBADD = -ldl -lpthread

pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = lib/vhost-dm-shm.pc

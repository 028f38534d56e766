# common/local.mk - what depends on neither a hypervisor nor a device.
noinst_LTLIBRARIES += libcommon.la
libcommon_la_SOURCES = \
	common/device_grant.h \
	common/fd_keep.c common/fd_keep.h \
	common/fd_message.c common/fd_message.h \
	common/log.c common/log.h \
	common/notify.c common/notify.h \
	common/process.c common/process.h \
	common/region_table.c common/region_table.h common/region_table_internal.h \
	common/saved_state.c common/saved_state.h \
	common/unix_listen.c common/unix_listen.h \
	common/utf8.c common/utf8.h \
	common/util.h \
	common/vhost_user.c common/vhost_user.h \
	common/vhost_user_channel.c common/vhost_user_channel.h \
	common/virtio_uapi.h

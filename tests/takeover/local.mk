# tests/takeover/local.mk - vhost-dm with hostile code in it: see takeover.h. Made by name only, never installed. And
# what of that can be tried without Xen.
if WITH_XEN
EXTRA_PROGRAMS += vhost-dm-taken-over
vhost_dm_taken_over_SOURCES = $(vhost_dm_SOURCES) tests/takeover/takeover.c tests/takeover/takeover.h \
	tests/takeover/takeover_broker.c tests/takeover/takeover_calls.c tests/takeover/takeover_xen.c
vhost_dm_taken_over_CFLAGS = $(vhost_dm_CFLAGS) $(XEN_CFLAGS)
vhost_dm_taken_over_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=xendevicemodel_open,--wrap=xenforeignmemory_open \
	-Wl,--wrap=xenevtchn_open,--wrap=confine,--wrap=fd_message_send,--wrap=notify_service_manager
vhost_dm_taken_over_LDADD = $(vhost_dm_LDADD)

CLEANFILES += vhost-dm-taken-over$(EXEEXT)

check_PROGRAMS += tests/takeover/test_confine
if !SANITIZERS
TESTS += tests/takeover/test_confine
endif
tests_takeover_test_confine_SOURCES = tests/takeover/test_confine.c tests/takeover/takeover_calls.c \
	tests/takeover/takeover.h
tests_takeover_test_confine_CFLAGS = $(AM_CFLAGS) $(XEN_CFLAGS)
tests_takeover_test_confine_LDADD = libdm.la libcommon.la
endif

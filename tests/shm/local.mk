# tests/shm/local.mk - shared pages and libvhost-dm-shm, linked and preloaded.
check_PROGRAMS += tests/shm/shm_user
tests_shm_shm_user_SOURCES = tests/shm/shm_user.c tests/shm/shm_user.h
tests_shm_shm_user_CFLAGS = -std=gnu11 $(WARN_CFLAGS)
tests_shm_shm_user_LDFLAGS =
tests_shm_shm_user_LDADD = libvhost-dm-shm.la

check_PROGRAMS += tests/shm/shm_user_malloc
tests_shm_shm_user_malloc_SOURCES = tests/shm/own_malloc.c $(tests_shm_shm_user_SOURCES)
tests_shm_shm_user_malloc_CFLAGS = $(tests_shm_shm_user_CFLAGS) -fno-builtin
tests_shm_shm_user_malloc_LDFLAGS =
tests_shm_shm_user_malloc_LDADD = libvhost-dm-shm.la

if HAVE_CHECK
check_PROGRAMS += tests/shm/test_shm
TESTS += tests/shm/test_shm
tests_shm_test_shm_SOURCES = tests/shm/test_shm.c tests/shm/shm_user.h tests/unit/fds.h $(UNIT_SOURCES)
tests_shm_test_shm_CPPFLAGS = $(AM_CPPFLAGS) -DSHM_USER='"$(abs_top_builddir)/tests/shm/shm_user"' \
	-DSHM_USER_MALLOC='"$(abs_top_builddir)/tests/shm/shm_user_malloc"' \
	-DSHM_PRELOAD='"$(abs_top_builddir)/.libs/libvhost-dm-shm-preload.so"'
tests_shm_test_shm_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_shm_test_shm_LDADD = libdm.la libcommon.la $(EV_LIBS) $(CHECK_LIBS)
EXTRA_tests_shm_test_shm_DEPENDENCIES = libvhost-dm-shm-preload.la tests/shm/shm_user \
	tests/shm/shm_user_malloc
endif

# The test finds the compiler by this. With sanitizers, programs without them load a library that has them, which
# then is not the first to be loaded.
AM_TESTS_ENVIRONMENT += CC='$(CC)'; export CC; \
	ASAN_OPTIONS="$${ASAN_OPTIONS:-verify_asan_link_order=0}"; export ASAN_OPTIONS;
TESTS += tests/shm/man-example.sh
EXTRA_DIST += tests/shm/man-example.sh

# docs/local.mk - man pages and documents.
dist_man_MANS += docs/vhost-dm.8 docs/vhost-dm-probe.8 docs/vhost-dm-qemu.8 docs/libvhost-dm-shm.3
EXTRA_DIST += docs/control.md docs/design.md docs/dom0-image.md docs/performance.md docs/probe.md docs/shared-memory.md docs/testing.md \
	docs/virtio-mmio.md
if HAVE_JSON
dist_man_MANS += docs/vhost-dmctl.8
endif
if HAVE_DAEMON
dist_man_MANS += docs/vhost-dmd.8 docs/vhost-dm.conf.5
endif

# vhost-dm_0.1.0.bb - for a Xen image by meta-virtualization (which has xen-tools) with meta-oe (libev, libinih). Put it
# into a layer of yours, as recipes-extended/vhost-dm/vhost-dm_0.1.0.bb, with the release (make dist) beside it in
# vhost-dm/, and add "vhost-dm" to IMAGE_INSTALL. See docs/dom0-image.md for what was tried.
SUMMARY = "virtio devices of Xen guests, served by vhost-user back-ends"
DESCRIPTION = "A device model for Xen whose virtio devices are served by unmodified vhost-user back-ends in dom0, the \
daemon that starts it for the guests that xl creates, and vhost-dmctl, to look at and change devices."
SECTION = "console/tools"
LICENSE = "GPL-2.0-or-later & LGPL-2.1-or-later"
LIC_FILES_CHKSUM = "file://LICENSE;md5=b234ee4d69f5fce4486a80fdaf4a4263 \
                    file://lib/LICENSE.LGPL;md5=4fbd65380cdd255951079008b364516c"
# acpica-native: iasl.
DEPENDS = "acpica-native json-c libev libinih libseccomp xen-tools"

SRC_URI = "file://${BP}.tar.xz"

inherit autotools bash-completion features_check pkgconfig systemd

# xen-tools and libseccomp ask for a feature each, too; vhost-dmd is a unit.
REQUIRED_DISTRO_FEATURES = "systemd"
COMPATIBLE_HOST = "x86_64.*-linux"

# The path of QEMU is that of xen-tools' --with-system-qemu.
EXTRA_OECONF = "--with-xen-qemu=${bindir}/qemu-system-i386 \
                --with-systemdsystemunitdir=${systemd_system_unitdir} --with-tmpfilesdir=${nonarch_libdir}/tmpfiles.d"

# Where that layer's virtiofsd is.
do_install:append() {
    sed -i 's|/usr/libexec/virtiofsd|${bindir}/virtiofsd|' ${D}${datadir}/vhost-dm/back-ends.conf
}

SYSTEMD_SERVICE:${PN} = "vhost-dmd.service"

PACKAGES =+ "libvhost-dm-shm libvhost-dm-shm-dev libvhost-dm-shm-preload"
LICENSE:${PN} = "GPL-2.0-or-later"
LICENSE:libvhost-dm-shm = "LGPL-2.1-or-later"
LICENSE:libvhost-dm-shm-dev = "LGPL-2.1-or-later"
LICENSE:libvhost-dm-shm-preload = "LGPL-2.1-or-later"
FILES:${PN} += "${nonarch_libdir}/tmpfiles.d"
FILES:libvhost-dm-shm = "${libdir}/libvhost-dm-shm${SOLIBS}"
FILES:libvhost-dm-shm-dev = "${includedir} ${libdir}/libvhost-dm-shm${SOLIBSDEV} ${libdir}/pkgconfig"
FILES:libvhost-dm-shm-preload = "${libdir}/vhost-dm/libvhost-dm-shm-preload.so"

RDEPENDS:${PN} = "xen-tools-xencommons xen-tools-xl"
RRECOMMENDS:${PN} = "libvhost-dm-shm-preload qemu"
RDEPENDS:libvhost-dm-shm-dev = "libvhost-dm-shm (= ${EXTENDPKGV})"

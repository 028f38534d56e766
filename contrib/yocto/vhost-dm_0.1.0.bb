# vhost-dm_0.1.0.bb - for a Xen image by meta-virtualization (which has xen-tools) with meta-oe (libev, inih). Put it into
# a layer of yours, with the release (make dist) beside it in vhost-dm/, and add "vhost-dm" to IMAGE_INSTALL.
# Written from the layers' documentation; not built by the project's tests.
SUMMARY = "virtio devices of Xen guests, served by vhost-user back-ends"
LICENSE = "GPL-2.0-or-later & LGPL-2.1-or-later"
LIC_FILES_CHKSUM = "file://LICENSE;md5=b234ee4d69f5fce4486a80fdaf4a4263 \
                    file://lib/LICENSE.LGPL;md5=4fbd65380cdd255951079008b364516c"
SRC_URI = "file://vhost-dm-${PV}.tar.xz"
S = "${WORKDIR}/vhost-dm-${PV}"

# acpica-native: iasl.
DEPENDS = "xen-tools libev json-c libseccomp inih acpica-native"
inherit autotools pkgconfig systemd bash-completion

EXTRA_OECONF = "--with-xen-qemu=${bindir}/qemu-system-i386 \
                --with-systemdsystemunitdir=${systemd_system_unitdir} --with-tmpfilesdir=${nonarch_libdir}/tmpfiles.d"
SYSTEMD_SERVICE:${PN} = "vhost-dmd.service"

PACKAGES =+ "libvhost-dm-shm libvhost-dm-shm-preload"
FILES:libvhost-dm-shm = "${libdir}/libvhost-dm-shm.so.*"
FILES:libvhost-dm-shm-preload = "${libdir}/vhost-dm/libvhost-dm-shm-preload.so"
FILES:${PN} += "${nonarch_libdir}/tmpfiles.d ${datadir}/vhost-dm"
INSANE_SKIP:libvhost-dm-shm-preload = "dev-so"
RDEPENDS:${PN} += "xen-tools-xl"
RRECOMMENDS:${PN} += "qemu libvhost-dm-shm-preload"
COMPATIBLE_HOST = "x86_64.*-linux"

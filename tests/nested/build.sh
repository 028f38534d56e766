#!/bin/bash
# build.sh - make, in one cache folder, all that run.sh and build-exec.sh need. From Debian's packages
# only. Each part is made again only when its recipe or its lists have changed, so a second run is a no-op.
# shellcheck disable=SC2046,SC2086 # lists of names are split into words throughout
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() { cat <<USAGE
usage: build.sh [CACHE]
  Makes in CACHE (default $CACHE):
    dom0.ext4          Debian $SUITE root file system of dom0, with Xen $XEN's tools and QEMU
    buildroot/         Debian $SUITE with a compiler and Xen $XEN's headers (see build-exec.sh)
    guestroot.ext4     Debian $SUITE root file system of a guest: small, with systemd
    xen vmlinuz vmlinux dom0.cpio guest.ext4   hypervisor, kernel, initramfs, guest files
  environment: NESTED_MIRROR (a Debian mirror; default: the one this machine's apt uses),
    NESTED_DOM0_PACKAGES NESTED_BUILD_PACKAGES NESTED_DOM0_MODULES (names to add to lists/*)
  To take newer packages from the mirror: remove CACHE and run it again.
USAGE
}
case ${1:-} in -h|--help) usage; exit 0;; -*) usage >&2; exit 125;; esac
CACHE=${1:-$CACHE}
need_root
mkdir -p "$CACHE"; CACHE=$(cd "$CACHE" && pwd)
exec 9>"$CACHE/lock"; flock -n 9 || { say "another build.sh is at work in $CACHE, waiting"; flock 9; }

# ---- what this machine must have -------------------------------------------------------------------
host_packages() {
    local cmd pkg want=()
    while read -r cmd pkg; do command -v "$cmd" >/dev/null || want+=("$pkg"); done <<'LIST'
mmdebstrap mmdebstrap
mke2fs e2fsprogs
qemu-system-x86_64 qemu-system-x86
python3 python3
cpio cpio
xz xz-utils
zstd zstd
depmod kmod
unshare util-linux
mount mount
LIST
    [ ${#want[@]} = 0 ] && return
    say "installing on this machine: ${want[*]}"
    apt-get update -q >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${want[@]}" debian-archive-keyring >&2
}

# The mirror this machine's apt takes Debian's main from; cloud images name it in a file (mirror+file:).
mirror() {
    local url=${NESTED_MIRROR:-}
    [ -n "$url" ] || url=$(apt-get indextargets --format '$(LABEL)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian|main|//p' | head -n 1)
    case $url in mirror+file:*) url=$(grep -o -m1 'https\?://[^[:space:]]*' "${url#mirror+file:}" || true);; esac
    case $url in http://*|https://*) echo "${url%/}";; *) die "no Debian mirror in apt's configuration: set NESTED_MIRROR to one (http://...)";; esac
}

# mmdebstrap does not read this machine's apt configuration; pass on its proxies and time checks, which
# say how the mirror is reached.
debian_root() { # debian_root VARIANT PACKAGES TARGET [MMDEBSTRAP-OPTION...]
    local variant=$1 packages=$2 target=$3; shift 3
    rm -rf --one-file-system "$target"
    apt-config dump | grep -E '^Acquire::(Check-[A-Za-z-]+|https?::([^ ]*::)?Proxy[^ ]*) ' >"$CACHE/apt.conf" || true
    mmdebstrap --quiet --mode=root --variant="$variant" --aptopt="$CACHE/apt.conf" \
        --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/xml/iso-codes/*' --dpkgopt='path-exclude=/usr/share/iso-codes/*' \
        --include="$(tr -s ' \n' ',' <<<"$packages" | sed 's/,$//')" "$@" "$SUITE" "$target" "$(mirror)" >&2
}

# Copies the modules named, and those they need, unpacked (busybox cannot unpack; TCG is slow at it).
modules() { # modules TARGET NAME...
    local target=$1 src=$CACHE/kernel/lib/modules ver name file; shift
    ver=$(ls "$src")
    for name; do
        file=$(awk -F: -v n="${name//_/-}" '{ f = $1; sub(/.*\//, "", f); sub(/\.ko.*/, "", f); gsub(/_/, "-", f)
            if (f == n) { print $1, $2; exit } }' "$src/$ver/modules.dep")
        [ -n "$file" ] || { grep -q "/${name//[-_]/[-_]}\.ko" "$src/$ver/modules.builtin" ||
            say "warning: no kernel module $name"; continue; }
        printf '%s\n' $file
    done | sort -u | while read -r file; do
        name=$target/lib/modules/$ver/${file%.xz}
        mkdir -p "${name%/*}"
        case $file in *.xz) xz -dc "$src/$ver/$file" >"$name";; *) cp "$src/$ver/$file" "$name";; esac
    done
    cp "$src/$ver/"modules.{builtin,builtin.modinfo,order} "$target/lib/modules/$ver/"
    depmod -b "$target" "$ver"
}

# A tree with busybox in it, /init from the kit, and modules.
initramfs_tree() { # initramfs_tree TARGET INIT MODULE...
    local target=$1 init=$2; shift 2
    rm -rf "$target"
    mkdir -p "$target"/{bin,sbin,dev,proc,sys,tmp,mnt,run,etc,lib/modules}
    cp "$CACHE/busybox" "$target/bin/busybox"
    "$CACHE/busybox" --list | while read -r name; do [ "$name" = busybox ] || ln -s busybox "$target/bin/$name"; done
    ln -s ../bin/busybox "$target/sbin/modprobe"        # where the kernel looks for it
    install -m 755 "$init" "$target/init"
    modules "$target" "$@"
}
pack() { (cd "$1" && find . -print0 | sort -z | cpio --quiet -0 -o -H newc -R 0:0); }

# A hook of mmdebstrap: what the release has not, packages of sid, which must be right for dom0 as they are (dpkg
# says so if they are not).
# shellcheck disable=SC2016 # run by mmdebstrap
sid_hook='[ -n "$SID_PACKAGES" ] || exit 0
    set -e
    tmp=$(mktemp -d); mkdir -p "$tmp/lists/partial" "$1/var/tmp/sid"
    echo "deb $SID_MIRROR sid main" >"$tmp/sources.list"
    export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG
    apt="apt-get -q -o Dir::Etc::SourceList=$tmp/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$tmp/lists"
    $apt update
    cd "$1/var/tmp/sid"; $apt download $SID_PACKAGES
    chroot "$1" sh -c "dpkg -i /var/tmp/sid/*.deb"
    rm -r "$tmp" "$1/var/tmp/sid"'

# ---- the parts -------------------------------------------------------------------------------------
make_dom0() { # dom0.ext4, and the packages of the kernel and of Xen in debs/
    export KIT_DEBS=$CACHE/debs SID_PACKAGES=$sid_packages SID_MIRROR
    SID_MIRROR=$(mirror)
    rm -rf "$KIT_DEBS"; mkdir -p "$KIT_DEBS"
    # The kernel and the hypervisor are only unpacked: installed, they would run boot loader hooks.
    debian_root essential "$dom0_packages" "$CACHE/dom0.tmp" --customize-hook='cd "$KIT_DEBS"
        export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG
        kernel=$(apt-cache depends linux-image-amd64 | sed -n "s/.*Depends: \(linux-image-[^ ]*\).*/\1/p" | head -n 1)
        apt-get -q download "$kernel" xen-hypervisor-'$XEN'-amd64' \
        --customize-hook="$sid_hook"
    cp "$CACHE/dom0.tmp/usr/bin/busybox" "$CACHE/busybox"
    rm -f "$CACHE/dom0.ext4"
    # 64 MiB to spare and no journal: dom0 mounts it read-only under a tmpfs.
    mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$CACHE/dom0.tmp" "$CACHE/dom0.ext4" \
        $(($(du -sm "$CACHE/dom0.tmp" | cut -f1) * 115 / 100 + 64))M
    rm -rf --one-file-system "$CACHE/dom0.tmp"
}

make_kernel() { # kernel/, vmlinuz, vmlinux, xen
    local deb pos
    rm -rf "$CACHE/kernel" "$CACHE/kernel.tmp"; mkdir "$CACHE/kernel.tmp"
    for deb in "$CACHE"/debs/*.deb; do dpkg-deb -x "$deb" "$CACHE/kernel.tmp"; done
    [ -e "$CACHE/kernel.tmp/lib" ] || ln -s usr/lib "$CACHE/kernel.tmp/lib"
    ls "$CACHE"/kernel.tmp/lib/modules/*/modules.dep >/dev/null 2>&1 ||
        depmod -b "$CACHE/kernel.tmp" "$(ls "$CACHE/kernel.tmp/lib/modules")"
    cp "$CACHE"/kernel.tmp/boot/vmlinuz-* "$CACHE/vmlinuz"
    zcat "$CACHE/kernel.tmp/boot/xen-$XEN-amd64.gz" >"$CACHE/xen"
    # The ELF kernel inside vmlinuz, so that nobody has to unpack it under TCG at each boot.
    while read -r pos; do
        tail -c "+$((pos + 1))" "$CACHE/vmlinuz" | zstd -qdc 2>/dev/null >"$CACHE/vmlinux" || true
        [ "$(head -c 4 "$CACHE/vmlinux" | tail -c 3)" = ELF ] && break
    done < <(LC_ALL=C grep -abUoP '\x28\xb5\x2f\xfd' "$CACHE/vmlinuz" | cut -d: -f1)
    [ "$(head -c 4 "$CACHE/vmlinux" | tail -c 3)" = ELF ] || die "no ELF kernel found in vmlinuz (is it still zstd?)"
    mv "$CACHE/kernel.tmp" "$CACHE/kernel"
}

make_guestroot() { # guestroot.ext4, and tools/: some of its programs with their libraries
    local root=$CACHE/guestroot.tmp tools=$CACHE/tools.tmp name file
    debian_root essential "$guest_packages" "$root"
    install -m 644 "$KIT"/guest/kit-autorun.service "$KIT"/guest/kit.target "$root/etc/systemd/system/"
    ln -s kit.target "$root/etc/systemd/system/default.target"
    ln -s /dev/null "$root/etc/systemd/system/proc-sys-fs-binfmt_misc.automount"   # no autofs module there
    echo guest >"$root/etc/hostname"
    rm -rf "$tools"; mkdir -p "$tools"/{etc,usr/bin,usr/sbin,usr/lib64,usr/share/misc}
    for name in $(list "$KIT/lists/guest.tools"); do
        file=$(chroot "$root" sh -c "command -v $name") || die "no program $name in the guest's root file system"
        { echo "$file"; chroot "$root" ldd "$file" | grep -o '/[^ ]*'; } |
            while read -r file; do
                mkdir -p "$tools${file%/*}"
                cp -L "$root$(chroot "$root" readlink -f "$file")" "$tools$file"
            done
    done
    cp "$root/etc/mke2fs.conf" "$tools/etc/"
    cp "$root/usr/share/misc/pci.ids" "$tools/usr/share/misc/"
    rm -rf "$CACHE/tools" "$CACHE/guestroot.ext4"; mv "$tools" "$CACHE/tools"
    mke2fs -q -t ext4 -m 0 -d "$root" "$CACHE/guestroot.ext4" $(($(du -sm "$root" | cut -f1) * 115 / 100 + 96))M
    rm -rf --one-file-system "$root"
}

make_guest() { # guest.ext4: what dom0 sees as /guest
    local dir=$CACHE/guest.tmp
    rm -rf "$dir"; mkdir -p "$dir/disk"
    initramfs_tree "$dir/tree" "$KIT/guest/init" $(list "$KIT/lists/guest.modules")
    cp -r "$CACHE/tools/." "$dir/tree/"
    pack "$dir/tree" >"$dir/disk/guest.cpio"
    cp "$CACHE/vmlinuz" "$CACHE/vmlinux" "$dir/disk/"
    cp --sparse=always "$CACHE/guestroot.ext4" "$dir/disk/root.ext4"
    rm -f "$CACHE/guest.ext4"
    mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$dir/disk" "$CACHE/guest.ext4" \
        $(($(du -sm "$dir/disk" | cut -f1) * 105 / 100 + 24))M
    rm -rf "$dir"
}

make_initrd() { # dom0.cpio: mounts dom0.ext4 and brings the kit's own files, so that these are cheap to change
    local tree=$CACHE/initrd.tmp
    initramfs_tree "$tree" "$KIT/dom0/initrd-init" $(list "$KIT/lists/initrd.modules" "$KIT/lists/dom0.modules") \
        ${NESTED_DOM0_MODULES:-}
    list "$KIT/lists/initrd.modules" >"$tree/etc/load"
    mkdir "$tree/kit"
    install -m 755 "$KIT"/dom0/{init,guest-initrd,guest-wait} "$tree/kit/"
    pack "$tree" >"$CACHE/dom0.cpio.tmp"
    mv "$CACHE/dom0.cpio.tmp" "$CACHE/dom0.cpio"
    rm -rf "$tree"
}

make_buildroot() {
    debian_root apt "$build_packages" "$CACHE/buildroot.tmp"
    mkdir -p "$CACHE/buildroot.tmp/src"
    rm -rf --one-file-system "$CACHE/buildroot"
    mv "$CACHE/buildroot.tmp" "$CACHE/buildroot"
}

# part NAME INPUT...: runs make_NAME unless it last ran with the same text and inputs. The stamp of a part
# is in the inputs of the parts made from it, and of run.sh's snapshots.
part() {
    local name=$1 key start=$SECONDS; shift
    key=$({ declare -f "make_$name" debian_root initramfs_tree modules; echo "$SUITE $XEN"; cat "$@"; } | sha256sum)
    if [ "$(cat "$CACHE/$name.stamp" 2>/dev/null)" = "$key" ]; then say "$name: up to date"; return; fi
    say "$name: making ..."
    rm -f "$CACHE/$name.stamp"
    "make_$name"
    # A part that is made again need not be the same, even from the same inputs (newer packages).
    echo "$key" >"$CACHE/$name.stamp"; date +%s.%N >"$CACHE/$name.made"
    say "$name: made in $((SECONDS - start)) s"
}

host_packages
dom0_packages=$(list "$KIT/lists/dom0.packages"; printf '%s\n' ${NESTED_DOM0_PACKAGES:-})
sid_packages=$(list "$KIT/lists/dom0.packages.sid")
build_packages=$(list "$KIT/lists/build.packages"; printf '%s\n' ${NESTED_BUILD_PACKAGES:-})
guest_packages=$(list "$KIT/lists/guest.packages")
K=$KIT/lists
part dom0 <(echo "$dom0_packages") <(echo "$sid_packages" "$sid_hook")
part kernel "$CACHE/dom0.made"
part guestroot <(echo "$guest_packages") "$KIT"/guest/kit* "$K/guest.tools"
part guest "$CACHE/kernel.made" "$CACHE/guestroot.made" "$KIT/guest/init" "$K/guest.modules"
part initrd "$CACHE/kernel.made" "$KIT"/dom0/* "$K/initrd.modules" "$K/dom0.modules" <(echo "${NESTED_DOM0_MODULES:-}")
part buildroot <(echo "$build_packages")
say "ready: $CACHE ($(du -sh "$CACHE" | cut -f1))"

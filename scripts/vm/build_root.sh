#!/bin/bash
# Makes the guest's root file system in an empty directory: Debian 12, its kernel, and what scripts/setup installs.
#
#     build_root.sh ROOT TREE MIRROR SETTINGS
#
# TREE holds the files that the set-up reads; they come to stand in /vagrant, as in the Vagrantfile. SETTINGS is a
# directory with what was derived from this machine's own apt and pip: sources.list, apt.conf, directories (one a line,
# package directories to be seen at the same place), file-directories (of files that pip's settings name, to be seen in
# /run/qslice-host/files), pip's settings come as PIP_* variables. None of that stays.
#
# Runs in mount and process namespaces of its own, so whatever ends it, no mount and no process is left.
set -euo pipefail
root=$1 tree=$2 mirror=$3 settings=$4
suite=bookworm
here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")

# A boot, and who logs in to Vagrant's box, need these; a minimal base system has not got them.
base_packages=sudo,systemd,systemd-sysv,dbus,udev,linux-image-cloud-amd64,netbase,ca-certificates

say() { printf '== %s\n' "$*"; }

mount --make-rprivate /

say "unpacking a Debian base system (debootstrap)"
debootstrap --variant=minbase --include="$base_packages" "$suite" "$root" "$mirror"

say "preparing the guest's first step"
rm -f "$root/etc/resolv.conf" "$root/etc/hostname" # debootstrap copies this machine's
echo qslice >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 qslice\n' >"$root/etc/hosts"
printf '/dev/vda / ext4 defaults,noatime 0 1\n' >"$root/etc/fstab"
install -m 0755 "$here/guest-boot.sh" "$root/usr/local/sbin/qslice-guest"
install -m 0644 "$here/qslice-guest.service" "$root/etc/systemd/system/"
chroot "$root" systemctl --quiet enable qslice-guest.service
chroot "$root" useradd --create-home --shell /bin/bash vagrant # the box's user
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/vagrant"
chmod 0440 "$root/etc/sudoers.d/vagrant"
# Nobody logs in, nothing is to happen behind the tests' backs, and the serial line is theirs. No drivers are looked for:
# the initial file system has found the disks, the kernel asks for what the network needs, and there is nothing else.
chroot "$root" systemctl --quiet mask getty@tty1.service serial-getty@ttyS0.service serial-getty@ttyS1.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer e2scrub_reap.service \
    systemd-networkd-wait-online.service systemd-udev-trigger.service

mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir "$root/run/qslice-host"
for name in resolv.conf hosts; do # this machine's, for as long as packages are fetched
    touch "$root/etc/$name"
    cat "/etc/$name" >"$root/run/qslice-host/$name"
    mount --bind "$root/run/qslice-host/$name" "$root/etc/$name"
done
if [[ -f /etc/ssl/certs/ca-certificates.crt ]]; then
    cp /etc/ssl/certs/ca-certificates.crt "$root/run/qslice-host/ca.crt"
    export PIP_CERT=${PIP_CERT:-/run/qslice-host/ca.crt} SSL_CERT_FILE=/run/qslice-host/ca.crt
fi
while read -r directory; do
    [[ -d $directory ]] || continue
    mkdir -p "$root$directory"
    mount --bind -o ro "$directory" "$root$directory"
done <"$settings/directories"
number=0
while read -r directory; do # of files that pip's settings name
    mkdir -p "$root/run/qslice-host/files/$number"
    mount --bind -o ro "$directory" "$root/run/qslice-host/files/$number"
    number=$((number + 1))
done <"$settings/file-directories"
cp "$settings/sources.list" "$root/etc/apt/sources.list"
cp "$settings/apt.conf" "$root/etc/apt/apt.conf.d/99build"
[[ ! -v SSL_CERT_FILE ]] || printf 'Acquire::https::CaInfo "%s";\n' "$SSL_CERT_FILE" >>"$root/etc/apt/apt.conf.d/99build"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # packages must not start their services here
chmod 0755 "$root/usr/sbin/policy-rc.d"

mkdir "$root/vagrant"
cp -a "$tree/." "$root/vagrant/"

say "installing what QSlice needs, with its own set-up"
chroot "$root" /usr/bin/env -u SSL_CERT_FILE HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONNOUSERSITE=1 \
    /vagrant/scripts/setup/into-image.sh /vagrant/scripts/setup/debian-packages-test.txt

say "tidying up"
chroot "$root" apt-get clean
umount "$root/etc/resolv.conf" "$root/etc/hosts" "$root/tmp"
rm -rf "$root/etc/resolv.conf" "$root/usr/sbin/policy-rc.d" "$root/etc/apt/sources.list" \
    "$root/etc/apt/apt.conf.d/99build" "$root"/var/lib/apt/lists/* "$root/root/.cache"
printf '127.0.0.1 localhost\n127.0.1.1 qslice\n' >"$root/etc/hosts"
# Its own identity at its first boot; names and network come from nobody.
: >"$root/etc/machine-id"

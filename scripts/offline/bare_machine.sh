#!/bin/bash
# A bare Debian 12 in a directory, and what is done in it without a network.
#
#     bare_machine.sh make ROOT MIRROR        a minimal base system and nothing else (debootstrap)
#     bare_machine.sh run ROOT COMMAND ...    a command in it, in namespaces of its own: no network interface but lo
#
# The caller gives it mount and process namespaces, for `run` a network namespace too, so nothing is left of either.
set -euo pipefail
verb=$1 root=$2
shift 2

mount --make-rprivate /
case $verb in
    make)
        debootstrap --variant=minbase bookworm "$root" "$1"
        rm -f "$root/etc/resolv.conf" "$root/var/cache/apt/archives"/*.deb "$root/var/lib/apt/lists"/*_*
        : >"$root/etc/apt/sources.list" # no mirror to ask
        ;;
    run)
        mount --bind "$root" "$root" # Mininet makes / private, which it can where / is a mount
        mount -t proc proc "$root/proc"
        mount -t sysfs sysfs "$root/sys" # of this network namespace
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/run"
        ip link set lo up
        chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb "$@"
        ;;
esac

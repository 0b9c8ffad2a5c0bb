#!/bin/bash
# The guest's first step, run by systemd: unpack the tree that the host sends, run its tests, switch off.

# disk SERIAL: the device that the host gave this serial number; nobody has made links in /dev/disk.
disk() {
    local file
    for file in /sys/block/vd*/serial; do
        [[ $(<"$file") != "$1" ]] || printf '/dev/%s' "$(basename "$(dirname "$file")")"
    done
}

# A tar archive ends by itself, so the rest of the device does not matter.
tar --extract --file="$(disk qslice-tree)" --directory=/vagrant &&
    /usr/bin/python3 /vagrant/scripts/vm/guest.py "$(disk qslice-results)"
sync
systemctl poweroff

# shellcheck shell=bash
# A set-up without a network: `setup --bundle FILE` makes an archive of all that a machine needs, `setup --from FILE` sets
# a machine up from it. Sourced by scripts/qslice after environment.sh; scripts/offline/bundle.py makes the archive.
#
# A bundle is a tar archive: `manifest` (a name and a value in each line), `SHA256SUMS` of every other file, `debian/`
# (packages and their index), `wheels/`. It is for one Debian release, one architecture and one set of pinned packages.

: "${qslice_root:?the clone}"

os_release=/etc/os-release
bundle_format=1
bundle_place=/var/tmp # not in the clone: apt has ideas of its own about unusual letters in paths

# What a package of this bundle could have to be: the pinned Python packages, and the list of Debian's.
bundle_pins() { { pins_hash && wanted_packages "$qslice_root/scripts/setup/debian-packages.txt"; } | sha256sum | cut -d ' ' -f 1; }

release_of_this_machine() { sed -n 's/^VERSION_CODENAME=//p' "$os_release" | tr -d '"'; }

# read_setup_options WORD...: sets bundle_to, bundle_from (files) and wants_liboqs. On a bare machine nobody else looks.
read_setup_options() {
    bundle_to='' bundle_from='' wants_liboqs=
    while (($#)); do
        case $1 in
            --bundle | --from)
                [[ -n ${2-} && $2 != -* ]] || fail 2 "setup: $1: name a file"
                set_bundle_file "$1" "$2"
                shift
                ;;
            --bundle=* | --from=*) set_bundle_file "${1%%=*}" "${1#*=}" ;;
            --liboqs) wants_liboqs=1 ;;
            -o | --output | --config) shift "$(($# > 1 ? 1 : 0))" ;;
            --json | -v | --verbose | -o?* | --output=* | --config=*) ;;
            *) fail 2 "setup: $1 is not known (see: qslice setup --help)" ;;
        esac
        shift
    done
    [[ -z $bundle_to || -z $bundle_from ]] || fail 2 "setup: --bundle makes an archive and --from uses one: give one of them"
    [[ -z $wants_liboqs || -z $bundle_from ]] || fail 2 "setup: --liboqs fetches from the internet, which --from does without"
}

set_bundle_file() {
    local file
    [[ -n $2 ]] || fail 2 "setup: $1: name a file"
    file=$(readlink --canonicalize-missing -- "$2")
    if [[ $1 == --bundle ]]; then bundle_to=$file; else bundle_from=$file; fi
}

# open_bundle FILE: looks whether it is for this machine and whole, and has packages taken from it until close_bundle.
open_bundle() {
    local manifest
    [[ -f $1 && -r $1 ]] || fail 2 "setup: --from: cannot read $1"
    manifest=$(tar --extract --to-stdout --file="$1" manifest 2>/dev/null) ||
        fail 2 "setup: --from: $1 is no bundle that \`qslice setup --bundle FILE\` has made, or is damaged"
    require_bundle_fits "$manifest"
    bundle=$(mktemp --directory "$bundle_place/qslice-bundle.XXXXXX") || missing "cannot make a folder in $bundle_place"
    trap close_bundle EXIT
    say "unpacking and checking $1"
    tar --extract --no-same-owner --file="$1" --directory="$bundle" 2>/dev/null ||
        missing "$1 cannot be unpacked to $bundle: it is damaged, or the disk is full"
    (cd "$bundle" && sha256sum --quiet --strict --check SHA256SUMS) >/dev/null 2>&1 ||
        missing "$1 is damaged: a file in it is not what its SHA256SUMS says. Copy it again."
    printf 'deb [trusted=yes] file:%s/debian ./\n' "$bundle" >"$bundle/sources.list"
    mkdir --parents "$bundle/lists/partial"
}

# require_bundle_fits MANIFEST
require_bundle_fits() {
    local format release architecture pins here
    format=$(manifest_value format "$1") release=$(manifest_value release "$1")
    architecture=$(manifest_value architecture "$1") pins=$(manifest_value pins "$1")
    [[ $format == "$bundle_format" ]] || fail 2 "setup: --from: a bundle of form '$format', where this QSlice reads $bundle_format"
    here=$(release_of_this_machine)
    [[ $release == "$here" ]] ||
        missing "the bundle is for Debian ${release@Q}, and this machine runs ${here@Q}: make a bundle on a machine with ${here@Q}"
    here=$(dpkg --print-architecture)
    [[ $architecture == "$here" ]] ||
        missing "the bundle is for ${architecture@Q} processors, and this machine has ${here@Q}: make a bundle on such a machine"
    [[ $pins == "$(bundle_pins)" ]] ||
        missing "the bundle was made by another version of QSlice ($(manifest_value qslice "$1")), which pins other packages." \
            "Take that version, or make a bundle with this one: qslice setup --bundle FILE"
}

manifest_value() { sed -n "s/^$1 //p" <<<"$2"; }

close_bundle() {
    [[ -z $bundle ]] || rm -rf -- "$bundle"
    bundle=
}

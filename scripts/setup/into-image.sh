#!/bin/bash
# Installs what QSlice needs into the file system that it runs in, for a machine that is made from it: a container's
# image (Containerfile), the guest of `test --vm` (scripts/vm/build_root.sh). What runs, and what is compiled for the
# processor, is left to the first call there.
#
#     into-image.sh [LIST OF DEBIAN PACKAGES ...]      beside the list that QSlice runs on
set -euo pipefail
here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
qslice_root=${here%/scripts/setup}
# shellcheck disable=SC2034 # environment.sh reads it
package_lists=("$here/debian-packages.txt" "$@")
(umask 077 && mkdir --parents "$qslice_root/.state")
# shellcheck source=scripts/setup/environment.sh
source "$here/environment.sh"
install_everything

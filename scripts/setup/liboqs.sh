# shellcheck shell=bash
# `setup --liboqs`: the C library liboqs, built by liboqs-python's own installer from its source on GitHub. Sourced by
# scripts/qslice after environment.sh. Never by default: it needs the internet, and takes minutes.

: "${qslice_root:?the clone}"

liboqs_prefix() { printf '%s/.liboqs' "$qslice_root"; }

liboqs_source=https://github.com/open-quantum-safe/liboqs

liboqs_is_built() { [[ -e $(liboqs_prefix)/lib/liboqs.so || -e $(liboqs_prefix)/lib64/liboqs.so ]]; }

# Has our own processes find it, unless the caller names another.
use_liboqs() {
    [[ -z ${OQS_INSTALL_PATH-} ]] && liboqs_is_built || return 0
    export OQS_INSTALL_PATH
    OQS_INSTALL_PATH=$(liboqs_prefix)
}

install_liboqs() {
    local advice="The library stays absent, and post-quantum keys come from sntrup761 (pqcrypto) as before."
    liboqs_is_built || {
        # shellcheck disable=SC2034 # packages_to_install reads it
        local package_lists=("$qslice_root/scripts/setup/debian-packages-liboqs.txt")
        [[ -z $(packages_to_install) ]] || install_packages
        step "asking $liboqs_source" \
            "--liboqs fetches from there, and this machine does not reach it. $advice" liboqs_source_answers
        step "building liboqs (minutes)" "$advice" build_liboqs
    }
    export OQS_INSTALL_PATH
    OQS_INSTALL_PATH=$(liboqs_prefix)
    step "trying a key exchange with liboqs' NTRU" "liboqs is here, and has no NTRU that works. $advice" try_liboqs
}

liboqs_source_answers() { timeout 60 git ls-remote --exit-code "$liboqs_source" HEAD; }

# `import oqs` looks for the library, and where there is none clones, builds and installs it at OQS_INSTALL_PATH.
build_liboqs() {
    OQS_INSTALL_PATH=$(liboqs_prefix) "$(venv)/bin/python" -I -c 'import oqs' || return
    liboqs_is_built
}

try_liboqs() (
    cd "$qslice_root" && "$(venv)/bin/python" -c '
from kms.sources.kems import LiboqsKem, best_kem
kem = best_kem()
public, private = kem.generate()
ciphertext, secret = kem.encapsulate(public)
print(kem.algorithm)
raise SystemExit(not (isinstance(kem, LiboqsKem) and "NTRU" in kem.algorithm and kem.decapsulate(private, ciphertext) == secret))'
)

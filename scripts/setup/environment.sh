# shellcheck shell=bash
# Makes a Debian 12 machine ready for QSlice: Debian packages, .venv, Open vSwitch. Sourced by scripts/qslice.
#
# ensure_ready is the entrance. It looks first (a tenth of a second when all is there), and only where something is
# missing takes the lock and mends just that. Every step can be interrupted: what it leaves is told from a finished one
# and done again by the next call.
#
# The caller sets the two variables:
: "${qslice_root:?the clone}" "${package_lists:?files that list Debian packages}"

system_python=/usr/bin/python3

# Ryu 4.34 (2020) does not build with a setuptools of today: docs/decisions/0001.
build_tools=scripts/setup/build-tools.txt

# One set-up at a time on a machine, whichever clone it is for: apt, Open vSwitch.
lock_file=/run/qslice-setup.lock

# The folder of an opened bundle (offline.sh); empty: packages come from where apt and pip are told to look.
bundle=

exit_missing=3 # contracts: the environment is missing something

venv() { printf '%s/.venv' "$qslice_root"; }
state_dir() { printf '%s/.state' "$qslice_root"; }
setup_log() { printf '%s/.state/setup.log' "$qslice_root"; }

# -- telling what happens -------------------------------------------------------------------------

say() { printf 'qslice: [%3d s] %s\n' "$SECONDS" "$*" >&2; }

# fail STATUS LINE...: told to a person, and where the caller wants JSON as one document, too.
fail() {
    [[ -z ${wants_json-} ]] || printf '{"error": "%s", "exit_status": %d}\n' "$(json_text "${*:2}")" "$1"
    printf 'qslice: %s\n' "${@:2}" >&2
    exit "$1"
}

json_text() {
    local text=$1
    text=${text//\\/\\\\} text=${text//\"/\\\"} text=${text//$'\n'/ }
    printf '%s' "${text//[[:cntrl:]]/ }"
}

missing() {
    fail "$exit_missing" "$@"
}

# step WHAT ADVICE CMD...: runs CMD with its output in the log; when it fails, shows the end of that and the advice.
# Descriptor 9 holds the set-up lock; a daemon started in a step must not inherit it, or it would hold it for ever.
step() {
    local what=$1 advice=$2 status=0
    shift 2
    say "$what"
    printf '\n== %(%F %T)T %s\n' -1 "$what" >>"$(setup_log)"
    # The caller's directory may be gone, or another user's.
    (cd / && "$@") >>"$(setup_log)" 2>&1 </dev/null 9>&- || status=$?
    ((status == 0)) && return
    {
        printf 'qslice: failed: %s (exit status %d). The end of %s:\n' "$what" "$status" "$(setup_log)"
        tail -n 20 "$(setup_log)" | sed 's/^/    /'
    } >&2
    missing "$advice" "Then run the same command again: it goes on from there."
}

# -- Debian packages ------------------------------------------------------------------------------

# wanted_packages FILE...: the names in package lists, without comments.
wanted_packages() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' -e 's/[[:space:]]//g' "$@"; }

# missing_packages NAME...: those that are not installed and configured.
missing_packages() {
    local installed # dpkg-query fails when it does not know one of the names: those are missing
    installed=$(dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
    printf '%s\n' "$@" | grep --line-regexp --fixed-strings --invert-match --file=<(sed -n 's/^installed //p' <<<"$installed")
}

packages_to_install() {
    local names
    mapfile -t names < <(wanted_packages "${package_lists[@]}")
    missing_packages "${names[@]}"
}

apt_get() {
    # No questions (tshark, iperf3 and needrestart ask some), and patience with whoever else holds dpkg's lock:
    # a freshly booted machine upgrades itself.
    local options
    if [[ -n $bundle ]]; then
        mapfile -t options < <(bundled_sources)
    else
        mapfile -t options < <(readable_sources)
    fi
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C.UTF-8 apt-get --quiet --yes "${options[@]}" \
        -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@"
}

# bundled_sources: options for apt-get that have it know nothing but the bundle, and leave this machine's index alone.
bundled_sources() {
    printf '%s\n' -o "Dir::Etc::SourceList=$bundle/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o "Dir::State::Lists=$bundle/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        -o APT::Sandbox::User=root -o Acquire::Languages=none
}

# apt-get does not wait for the lock of the package index, so that is tried again.
apt_update() {
    local attempt
    for attempt in 1 2 3 4 5; do
        echo "attempt $attempt"
        apt_get update && return
        sleep 3
    done
    return 1
}

# Somebody else's source that is broken must not stand in the way of Debian's: whether a package can be had shows when
# it is installed. A file that apt cannot even read makes every call of it fail, and is left out of ours.
apt_update_or_go_on() {
    apt_update || echo "some package sources cannot be read; going on with the others"
}

# readable_sources: options for apt-get that leave out the files of sources.list.d that it cannot parse; none if it can.
readable_sources() {
    local file good
    apt-get indextargets &>/dev/null && return
    good=$(state_dir)/apt-sources
    rm -rf "$good" && mkdir --parents "$good" || return
    for file in /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        [[ -f $file ]] || continue
        if apt-get indextargets -o Dir::Etc::SourceList="$file" -o Dir::Etc::SourceParts=/dev/null &>/dev/null; then
            cp "$file" "$good/"
        else
            echo "left out, as apt cannot read it: $file" >&2
        fi
    done
    printf '%s\n' -o "Dir::Etc::SourceParts=$good"
}

# Packages that an interrupted dpkg left unpacked make every later apt-get fail until they are configured.
finish_interrupted_dpkg() { DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 dpkg --configure -a; }

install_packages() {
    local names advice
    mapfile -t names < <(packages_to_install)
    advice="Check that this machine reaches its Debian mirrors (apt-get update)."
    [[ -z $bundle ]] || advice="Is the bundle older than what is installed here? Then make it anew."
    step "finishing what an interrupted dpkg may have left" "Run: dpkg --configure -a" finish_interrupted_dpkg
    step "reading the Debian package index" "$advice" apt_update_or_go_on
    step "installing ${#names[@]} Debian packages: ${names[*]}" "$advice" apt_get install --no-install-recommends "${names[@]}"
}

# -- Python ---------------------------------------------------------------------------------------

# What the venv was made from: another clone path breaks the scripts in .venv/bin, another Python the packages.
venv_identity() { printf '%s %s' "$(venv)" "$(readlink -f "$system_python")"; }

# What was installed into it.
pins_hash() {
    cat "$qslice_root/pyproject.toml" "$qslice_root/constraints.txt" "$qslice_root/$build_tools" | sha256sum | cut -d ' ' -f 1
}

stamp_holds() { [[ -f $1 && $(<"$1") == "$2" ]]; }

venv_usable() {
    # `unfinished` stands while pip works: half a package cannot be told from a whole one afterwards.
    [[ -x $(venv)/bin/python && ! -e $(venv)/unfinished ]] && stamp_holds "$(venv)/identity" "$(venv_identity)"
}

python_ready() { venv_usable && stamp_holds "$(venv)/pins" "$(pins_hash)"; }

# What numba looks at before it takes machine code that it has kept: the file's time and size, the processor.
loops=(kms/tunnel/packet/compiled_loops.py kms/tunnel/cards/compiled_io.py)
loops_identity() {
    stat --format='%y %s' "${loops[@]/#/$qslice_root/}"
    grep --max-count=1 '^model name' /proc/cpuinfo || uname --machine # not every architecture names its processors
    pins_hash
}

loops_ready() { stamp_holds "$(venv)/loops" "$(loops_identity)"; }

# Each of a network's agents would otherwise do so when it starts.
compile_loops() {
    step "compiling the tunnel's loops (${loops[*]})" "Run: $(venv)/bin/python -c 'import kms.tunnel.cards.compiled_io'" import_loops
    loops_identity >"$(venv)/loops"
}

import_loops() (cd "$qslice_root" && "$(venv)/bin/python" -c 'import kms.tunnel.cards.compiled_io, kms.tunnel.packet.compiled_loops')

# The requirements of pyproject.toml, one a line.
requirements() {
    "$system_python" -c '
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
print(*project["dependencies"], *project["optional-dependencies"]["dev"], sep="\n")' "$qslice_root/pyproject.toml"
}

# pip_install FILE [OPTION]...: what a file of pinned packages lists, each byte for byte as when it was pinned, and
# nothing that they ask for beyond.
pip_install() {
    local -a places=(env)
    [[ -z $bundle ]] || places+=(-u PIP_INDEX_URL -u PIP_EXTRA_INDEX_URL -u PIP_CONSTRAINT PIP_CONFIG_FILE=/dev/null
        PIP_NO_INDEX=1 "PIP_FIND_LINKS=$bundle/wheels")
    PIP_USER=0 "${places[@]}" "$(venv)/bin/python" -m pip --disable-pip-version-check --no-input install --progress-bar off \
        --require-hashes --no-deps --requirement "$@"
}

# A .venv is emptied only when this set-up made it, also one that was interrupted at any point, or by an older version.
venv_mark=.made-by-qslice
refuse_foreign_venv() {
    local name
    [[ ! -L $(venv) ]] || missing "$(venv) is a symbolic link to $(readlink "$(venv)"), which was not made for this clone." \
        "That is left as it is. Remove the link (rm '$(venv)') and run the same command again: this clone gets its own."
    for name in "$venv_mark" identity pins unfinished; do
        [[ ! -f $(venv)/$name ]] || return 0
    done
    [[ ! -e $(venv) || (-d $(venv) && -z $(ls -A "$(venv)")) ]] ||
        missing "$(venv) was not made by QSlice, which needs that place: move it away, then run this again."
}

empty_venv() {
    # From within: `find -path` would take brackets in the clone's own path for a pattern.
    mkdir --parents "$(venv)" && cd "$(venv)" && : >"$venv_mark" && find . -mindepth 1 ! -path "./$venv_mark" -delete
}

make_venv() { "$system_python" -m venv --system-site-packages "$@" "$(venv)"; }

install_python_packages() {
    local names advice
    advice="Check that this machine reaches its Python package index (pip download pip), and that the disk is not full."
    if ! venv_usable; then
        refuse_foreign_venv
        step "emptying .venv" "Delete $(venv) and run this again." empty_venv
        step "making .venv from $system_python" "Delete $(venv) and see whether $system_python runs." \
            make_venv
        venv_identity >"$(venv)/identity"
    fi
    mapfile -t names < <(requirements)
    ((${#names[@]})) || missing "cannot read the requirements from $qslice_root/pyproject.toml"
    rm -f "$(venv)/pins"
    : >"$(venv)/unfinished"
    step "building Ryu" "$advice" build_ryu "${names[@]}"
    # Wheels alone: what a build fetches for itself has no hash.
    step "installing Python packages" "$advice" pip_install "$qslice_root/constraints.txt" --only-binary :all:
    pins_hash >"$(venv)/pins"
    rm "$(venv)/unfinished"
}

# pinned NAME==VERSION: its lines in constraints.txt.
pinned() { sed -n "/^$1 /,/[^\\\\]\$/p" "$qslice_root/constraints.txt"; }

build_ryu() {
    local ryu
    ryu=$(printf '%s\n' "$@" | grep '^ryu==') || return
    "$(venv)/bin/python" -m pip freeze | grep --line-regexp --fixed-strings "$ryu" && return
    pip_install "$qslice_root/$build_tools" && pip_install <(pinned "$ryu") --no-build-isolation
}

# -- Open vSwitch ---------------------------------------------------------------------------------

# ovs-vswitchd takes and frees 32 buffers for every port that it looks at in vain: docs/decisions/0013.
ovs_allocator=libjemalloc.so.2
ovs_drop_in=/etc/systemd/system/ovs-vswitchd.service.d/qslice.conf

openvswitch_answers() {
    ovs-vsctl --timeout=5 --no-wait show && ovs-appctl --timeout=5 --target=ovs-vswitchd version
} &>/dev/null

openvswitch_has_allocator() {
    grep --quiet --fixed-strings "$ovs_allocator" "/proc/$(<"${OVS_RUNDIR:-/var/run/openvswitch}/ovs-vswitchd.pid")/maps"
} 2>/dev/null

openvswitch_in_use() { [[ -n $(ovs-vsctl --timeout=5 --no-wait list-br) ]]; }

# One that runs without the allocator is started anew, unless it has bridges: nobody's network is interrupted.
openvswitch_ready() { openvswitch_answers && { openvswitch_has_allocator || openvswitch_in_use; }; }

openvswitch_answers_soon() {
    local attempt
    for attempt in {1..60}; do
        openvswitch_answers && return
        sleep 0.5
    done
    echo "Open vSwitch has not answered $attempt times"
    return 1
}

start_openvswitch() {
    local advice="See /var/log/openvswitch/ovs-vswitchd.log and ovsdb-server.log."
    if [[ -d /run/systemd/system ]]; then # what sd_booted(3) looks for
        step "starting Open vSwitch (systemd)" "$advice" start_openvswitch_units
    else
        step "starting Open vSwitch" "$advice" start_openvswitch_daemons
    fi
    step "waiting for Open vSwitch" "$advice" openvswitch_answers_soon
}

start_openvswitch_units() {
    mkdir --parents "${ovs_drop_in%/*}" &&
        printf '[Service]\nEnvironment=LD_PRELOAD=%s\n' "$ovs_allocator" >"$ovs_drop_in" &&
        systemctl daemon-reload &&
        systemctl start openvswitch-switch &&
        { openvswitch_has_allocator || systemctl restart ovs-vswitchd; }
}

start_openvswitch_daemons() {
    local scripts=/usr/share/openvswitch/scripts
    local -x LD_PRELOAD=$ovs_allocator
    ! openvswitch_answers || "$scripts/ovs-ctl" --no-ovsdb-server stop || return
    "$scripts/ovs-ctl" start --system-id=random && return
    # ovs-ctl wants the kernel module wherever the kernel takes modules at all, also in a container whose host has none
    # loaded. The userspace datapath needs none.
    echo "ovs-ctl gave up; starting ovs-vswitchd for the userspace datapath alone"
    "$scripts/ovs-ctl" start --no-ovs-vswitchd --system-id=random &&
        ovs-vswitchd unix:/var/run/openvswitch/db.sock -vconsole:emer -vsyslog:err -vfile:info --mlockall --no-chdir \
            --log-file --pidfile --detach --monitor
}

# -- all of it ------------------------------------------------------------------------------------

is_ready() { [[ -z $(packages_to_install) ]] && python_ready && loops_ready && openvswitch_ready; }

# All but what runs, or is made for the processor: so much is done in a file system for another machine (scripts/vm).
install_everything() {
    [[ -z $(packages_to_install) ]] || install_packages
    python_ready || install_python_packages
}

# Said in one line before anything is written: a full disk shows as a different error at each place.
require_room() {
    local free_mb needed_mb=50
    python_ready || needed_mb=1500
    free_mb=$(df --output=avail --block-size=1M "$qslice_root" | tail -n 1)
    ((free_mb >= needed_mb)) ||
        missing "$qslice_root is on a disk with $((free_mb)) MB free, and the set-up needs $needed_mb MB: make room there."
}

make_ready() {
    require_room
    install_everything
    loops_ready || compile_loops
    openvswitch_ready || start_openvswitch
}

ensure_ready() {
    command -v apt-get dpkg-query flock >/dev/null ||
        missing "the set-up is for Debian 12; apt-get, dpkg-query or flock is not here."
    if ! is_ready; then
        # It will hold private keys; --parents lets two calls at once both make it.
        (umask 077 && mkdir --parents "$(state_dir)")
        exec 9>"$lock_file"
        flock --nonblock 9 || {
            say "another set-up is running on this machine; waiting for it"
            flock 9
        }
        make_ready
        exec 9>&-
        say "ready"
    fi
}

# shellcheck shell=bash
# The package for Debian, made of debug binaries, looked at and installed; sourced by tests/run after
# tests/services.sh.
#
#   packages_check   fails at the first thing that is wrong; what needs root says when it is skipped

packages_dir=

packages_install() {
    local missing=() pair
    for pair in lintian:lintian debootstrap:debootstrap; do
        command -v "${pair%%:*}" >/dev/null || [[ -x /usr/sbin/${pair%%:*} ]] || missing+=("${pair#*:}")
    done
    ((${#missing[@]})) && [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || return 0
    say "installing ${missing[*]}"
    mkdir -p "$services_root"
    install_quietly "${missing[@]}" >"$services_root/install.log" 2>&1 || fail "installing ${missing[*]} failed"
}

# What judges the bill of materials, as its list pins it.
packages_judge() {
    local to=$packages_dir/judge list=tests/packages/requirements.txt
    cmp -s "$list" "$to/installed" && return 0
    rm -rf "$to"
    python3 -m venv "$to" && "$to/bin/pip" install --quiet --disable-pip-version-check --requirement "$list" ||
        fail "what $list names could not be installed from PyPI"
    cp "$list" "$to/installed"
}

packages_stop() {
    [[ -z $packages_dir ]] || ! mountpoint -q "$packages_dir/root/proc" || umount "$packages_dir/root/proc"
}

# A small Debian of the machine's own suite below $packages_dir/root; kept for the next time.
packages_root() {
    local root=$packages_dir/root kept=$packages_dir/base.tar suite mirror
    packages_stop
    rm -rf "$root"
    if [[ ! -e $kept ]]; then
        suite=$(. /etc/os-release && printf %s "$VERSION_CODENAME")
        mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' "Identifier: Packages" 2>/dev/null |
            awk -v suite="$suite" '$2 == suite { print $1; exit }')
        say "making a small Debian ($suite)"
        PATH=$PATH:/usr/sbin debootstrap --variant=minbase \
            --include=ca-certificates,systemd-standalone-sysusers,systemd-standalone-tmpfiles \
            "$suite" "$root" ${mirror:+"$mirror"} >"$packages_dir/debootstrap.log" 2>&1 ||
            fail "debootstrap failed: $(tail -n 3 "$packages_dir/debootstrap.log")"
        tar -C "$root" -cf "$kept" .
    else
        mkdir -p "$root"
        tar -C "$root" -xpf "$kept"
    fi
    mount -t proc proc "$root/proc"
}

# expect WORDS COMMAND…: it succeeds, and its output has the words.
expect() {
    local words=$1 said
    shift
    said=$("$@" 2>&1) || fail "${*@Q} ended with $?: $said"
    [[ $said == *"$words"* ]] || fail "${*@Q} does not say «$words»: $said"
}

packages_check() {
    local deb again version root=
    packages_dir=$(cd "$target" && pwd)/packages
    mkdir -p "$packages_dir"
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    say "making the package"
    # Debug binaries are large, and nobody downloads them.
    export DPKG_DEB_COMPRESSOR_TYPE=gzip DPKG_DEB_COMPRESSOR_LEVEL=1
    deb=$(SOURCE_DATE_EPOCH=1700000000 deploy/deb/build --binaries "$target/debug" --out "$packages_dir")
    again=$(SOURCE_DATE_EPOCH=1700000000 deploy/deb/build --binaries "$target/debug" --out "$packages_dir/again")
    cmp "$deb" "$again" || fail "the same sources and binaries gave two packages"
    rm -rf "$packages_dir/again" "$packages_dir/tree"
    dpkg-deb -x "$deb" "$packages_dir/tree"

    packages_judge
    "$packages_dir/judge/bin/python" tests/packages/validate.py "$packages_dir/tree/usr/share/doc/measoft-bridge/sbom.cdx.json" ||
        fail "the bill of materials is wrong"
    local page
    page=$(MANWIDTH=100 man --warnings -E UTF-8 -l "$packages_dir/tree/usr/share/man/man1/measoft-bridge.1.gz" 2>&1 >/dev/null) || true
    [[ -z $page ]] || fail "man minds the manual page: $page"
    if command -v lintian >/dev/null; then
        say "lintian looks at it"
        lintian --allow-root --fail-on error,warning "$deb" || fail "lintian minds the package"
    else
        say "skipped: lintian is not installed"
    fi

    if [[ $(id -u) != 0 || ! -x /usr/sbin/debootstrap ]] || ! unshare --mount true 2>/dev/null; then
        say "skipped: installing it in a chroot needs root and debootstrap"
        return
    fi
    packages_root
    root=$packages_dir/root
    say "installing it in a chroot"
    cp "$deb" "$root/tmp/bridge.deb"
    local -a in=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 chroot "$root")
    expect 'Setting up measoft-bridge' "${in[@]}" dpkg -i /tmp/bridge.deb
    expect "$version" "${in[@]}" measoft-bridge --version
    expect '700 measoft-bridge measoft-bridge' "${in[@]}" stat -c '%a %U %G' /var/lib/measoft-bridge
    expect '600 root root' "${in[@]}" stat -c '%a %U %G' /etc/measoft-bridge/bridge.env
    expect 'The configuration is good' "${in[@]}" measoft-bridge-op config check
    expect 'schema version' "${in[@]}" measoft-bridge-op migrate
    expect 'measoft-bridge 600' "${in[@]}" stat -c '%U %a' /var/lib/measoft-bridge/bridge.db
    local -a op=(integration add --title Shop --crm-url https://shop.retailcrm.ru --crm-key key --extra 8 --login shop)
    expect '' "${in[@]}" measoft-bridge-op "${op[@]}" --password password
    # It finds what is to be done (the vendors do not know that shop), and nothing of the installation.
    local found
    found=$("${in[@]}" measoft-bridge-op --json doctor --bad-only) || true
    python3 -c 'import json, sys; sys.exit(any(f["area"] in ("config", "store") for f in json.loads(sys.argv[1])))' "$found" ||
        fail "doctor minds the installation: $found"
    expect '' "${in[@]}" setpriv --reuid=measoft-bridge --regid=measoft-bridge --clear-groups measoft-bridge demo --orders 6
    expect 'measoft-bridge' "${in[@]}" bash -c '. /usr/share/bash-completion/completions/measoft-bridge && complete -p measoft-bridge'
    local program
    while read -r program; do
        [[ -x $root$program ]] || fail "a unit runs $program, which is not there"
    done < <(sed -n 's/^ExecStart[A-Za-z]*=-\?\([^ ]*\).*/\1/p' "$root"/usr/lib/systemd/system/measoft-bridge*.service)

    say "installing it again, and taking it away"
    printf '\nLOG_FORMAT=json\n' >>"$root/etc/measoft-bridge/bridge.env"
    expect 'Setting up measoft-bridge' "${in[@]}" dpkg -i /tmp/bridge.deb
    grep -q LOG_FORMAT=json "$root/etc/measoft-bridge/bridge.env" || fail "settings were lost"
    expect Removing "${in[@]}" dpkg -r measoft-bridge
    [[ ! -e $root/usr/lib/measoft-bridge && -e $root/etc/measoft-bridge/bridge.env ]] || fail "more or less was removed"
    expect Purging "${in[@]}" dpkg -P measoft-bridge
    [[ ! -e $root/etc/measoft-bridge/bridge.env ]] || fail "settings were left after a purge"
    [[ -s $root/var/lib/measoft-bridge/bridge.db ]] || fail "a purge took the ledger away"
    packages_stop
    rm -rf "$root"
}

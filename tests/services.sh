# shellcheck shell=bash
# A private RabbitMQ and a private PostgreSQL for one test run; sourced by tests/run.
#
# Both live below target/services/<pid>, listen on free loopback ports only and end with
# the run. No default instance of the machine is started, used or stopped.
#
#   services_install   installs what is missing (Debian, as root), starting nothing
#   judges_install     installs RetailCRM's official client below target/judges, pinned
#   services_start     returns when both answer; exports what tests read (services_exports)
#   services_stop      ends both and removes their data; safe to call at any time
#
# With services_disk set, PostgreSQL lies on a disk that can be made bad through the file that
# TEST_DISK_FILE names (tests/harness/shim/disk.c).
#
# Either is started again at once when it is killed; "$TEST_CRASH rabbitmq" and
# "$TEST_CRASH postgres" kill it.

services_root=${CARGO_TARGET_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/target}/services
services_dir=$services_root/$$
services_pgdir=
rabbit_sbin=
pg_bin=
rabbit_pid=
epmd_pid=
pg_pid=
# What the broker was started with, for others beside it.
cluster_env=()

say() { printf '\033[2m-- %s\033[0m\n' "$*" >&2; }

fail() {
    printf 'tests: %s\n' "$*" >&2
    exit 1
}

# The first folder among the arguments that holds an executable $1.
folder_with() {
    local name=$1 folder
    shift
    for folder in "$@"; do
        [[ -x $folder/$name ]] && printf '%s\n' "$folder" && return 0
    done
    return 1
}

services_find() {
    # Debian's /usr/sbin/rabbitmq* insist on the user rabbitmq and the machine's own
    # settings; the scripts below lib do not. Likewise the server binaries of PostgreSQL.
    local onpath_rabbit='' onpath_pg='' installed
    installed=$(command -v rabbitmq-server || true)
    [[ -n $installed ]] && onpath_rabbit=$(dirname "$(readlink -f "$installed")")
    rabbit_sbin=$(folder_with rabbitmqctl \
        /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin /opt/rabbitmq/sbin ${onpath_rabbit:+"$onpath_rabbit"} || true)
    installed=$(command -v initdb || true)
    [[ -n $installed ]] && onpath_pg=$(dirname "$(readlink -f "$installed")")
    local versions
    mapfile -t versions < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV)
    pg_bin=$(folder_with initdb "${versions[@]}" ${onpath_pg:+"$onpath_pg"} || true)
    [[ -n $rabbit_sbin && -n $pg_bin ]]
}

# Installs packages without letting any of them start a service, now or at the next boot.
install_quietly() (
    policy=/usr/sbin/policy-rc.d
    kept=
    cluster_conf=/etc/postgresql-common/createcluster.conf
    cluster_conf_kept=
    restore() {
        rm -f "$policy"
        [[ -z $kept ]] || mv -f "$kept" "$policy"
        [[ -z $cluster_conf_kept ]] || mv -f "$cluster_conf_kept" "$cluster_conf"
    }
    trap restore EXIT
    trap 'exit 130' INT TERM
    if [[ -e $policy ]]; then
        kept=$policy.before-tests
        mv -f "$policy" "$kept"
    fi
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    export DEBIAN_FRONTEND=noninteractive
    had_epmd=$(command -v epmd || true)
    apt=(apt-get -qq -y -o DPkg::Lock::Timeout=300 --no-install-recommends install)
    apt-get -qq -o DPkg::Lock::Timeout=300 update
    for package in "$@"; do
        if [[ $package == postgresql ]]; then
            "${apt[@]}" postgresql-common
            cluster_conf_kept=$cluster_conf.before-tests
            cp -p "$cluster_conf" "$cluster_conf_kept"
            printf 'create_main_cluster = false\n' >>"$cluster_conf"
        fi
        "${apt[@]}" "$package"
    done
    if command -v systemctl >/dev/null; then
        for package in "$@"; do
            case $package in
            rabbitmq-server)
                SYSTEMD_OFFLINE=1 systemctl --quiet disable rabbitmq-server.service || true
                [[ -n $had_epmd ]] || SYSTEMD_OFFLINE=1 systemctl --quiet disable epmd.service epmd.socket || true
                ;;
            postgresql | prometheus | pgbouncer)
                SYSTEMD_OFFLINE=1 systemctl --quiet disable "$package.service" || true
                ;;
            nginx-light) SYSTEMD_OFFLINE=1 systemctl --quiet disable nginx.service || true ;;
            esac
        done
    fi
)

# Programs that single tests call, and the packages that have them.
tools_missing() {
    local pair
    for pair in promtool:prometheus nginx:nginx-light openssl:openssl systemd-analyze:systemd \
        chromium:chromium chromedriver:chromium-driver node:nodejs npm:npm php:php-cli pgbouncer:pgbouncer; do
        command -v "${pair%%:*}" >/dev/null || [[ -x /usr/sbin/${pair%%:*} ]] || printf '%s\n' "${pair#*:}"
    done
    # What RetailCRM evaluates triggers with.
    [[ -e /usr/share/php/Symfony/Component/ExpressionLanguage/autoload.php ]] || printf '%s\n' php-symfony-expression-language
    [[ -e /usr/share/php/Twig/autoload.php ]] || printf '%s\n' php-twig
    # What sends them.
    [[ -e /usr/share/php/GuzzleHttp/autoload.php ]] || printf '%s\n' php-guzzlehttp-guzzle
    [[ -e /usr/share/php/Symfony/Component/HttpClient/autoload.php ]] || printf '%s\n' php-symfony-http-client
    php -m 2>/dev/null | grep -qx curl || printf '%s\n' php-curl
    # What RetailCRM's own client runs in.
    python3 -c 'import ensurepip, venv' 2>/dev/null || printf '%s\n' python3-venv
    # Without a font with Cyrillic letters a page's pictures show boxes.
    [[ -n $(fc-list :lang=ru 2>/dev/null | head -n 1) ]] || printf '%s\n' fontconfig fonts-dejavu-core
}

services_install() {
    local missing=()
    mapfile -t missing < <(tools_missing)
    if ! services_find; then
        [[ -n $rabbit_sbin ]] || missing+=(rabbitmq-server)
        [[ -n $pg_bin ]] || missing+=(postgresql)
    fi
    ((${#missing[@]})) || return 0
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        fail "${missing[*]} must be installed; do that, or run this once as root on Debian or Ubuntu"
    fi
    say "installing ${missing[*]} (nothing of it is started)"
    mkdir -p "$services_root"
    install_quietly "${missing[@]}" >"$services_root/install.log" 2>&1 ||
        fail "installing ${missing[*]} failed: $(tail -n 3 "$services_root/install.log")"
    services_find || fail "${missing[*]} was installed, but its programs were not found"
}

# A client that judges is one that was pinned: what is there of another list is made anew.
judges_install() {
    local to=${services_root%/services}/judges list=tests/judges/requirements.txt
    cmp -s "$list" "$to/installed" && return 0
    say "installing RetailCRM's official client into $to"
    rm -rf "$to"
    python3 -m venv "$to" && "$to/bin/pip" install --quiet --disable-pip-version-check --requirement "$list" ||
        fail "RetailCRM's client could not be installed from PyPI: tests/judges needs what $list names"
    cp "$list" "$to/installed"
}

port_is_taken() {
    local hex
    printf -v hex '%04X' "$1"
    grep -qsiE "^ *[0-9]+: [0-9A-F]+:$hex " /proc/net/tcp /proc/net/tcp6
}

# Sets the variable $1 to a port nobody uses. Below the range that outgoing connections take.
pick_port() {
    local -n picked=$1
    local _
    for _ in {1..200}; do
        picked=$((15000 + (RANDOM << 15 | RANDOM) % 17000))
        port_is_taken "$picked" || return 0
    done
    fail "no free port found"
}

# What ended without cleaning up (kill -9) is cleaned up by the next run.
clear_leftovers() {
    local folder file pid
    for folder in "$services_root"/[0-9]*/; do
        [[ -d $folder ]] || continue
        pid=$(basename "$folder")
        [[ -d /proc/$pid ]] && continue
        for file in "$folder"/*.pid; do
            # A process id may be somebody else's by now: its environment must name our folder.
            pid=$(cat "$file" 2>/dev/null || true)
            if [[ -n $pid ]] && tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep -qx "SERVICES_DIR=${folder%/}"; then
                kill -KILL -- "-$pid" 2>/dev/null || true
            fi
        done
        file=$(cat "$folder/pgdir" 2>/dev/null || true)
        [[ $file == /tmp/bridge-tests.* ]] && rm -rf "$file"
        rm -rf "$folder"
    done
}

# Starts "$@" in a process group of its own, named $1, with its output in $1.log; sets REPLY to the group.
start_group() {
    local name=$1
    shift
    SERVICES_DIR=$services_dir setsid "$@" </dev/null >"$services_dir/$name.log" 2>&1 &
    REPLY=$!
    printf '%s\n' "$REPLY" >"$services_dir/$name.pid"
}

# For start_group: runs a server again for as long as it ends by "$TEST_CRASH"; what a
# killed PostgreSQL leaves behind keeps the next one from starting for a moment.
keep_alive='
crashed=$1
shift
while :; do
    code=0
    "$@" || code=$?
    [[ -e $crashed ]] || exit "$code"
    sleep 0.2
done'

# A script that kills a server as hard as it goes.
crash_begin() {
    {
        printf '#!/usr/bin/env bash\n# Kills rabbitmq or postgres of this test run; it is started again.\nset -euo pipefail\ncase $1 in\n'
        printf 'rabbitmq) home=%q pid=node.pid ;;\npostgres) home=%q pid=data/postmaster.pid ;;\n*) exit 2 ;;\nesac\n' \
            "$services_dir/rabbitmq" "$services_pgdir"
        printf 'touch "$home/crashed"\nkill -KILL "$(head -n 1 "$home/$pid")"\n'
    } >"$services_dir/crash"
    chmod 755 "$services_dir/crash"
}

rabbit_begin() {
    local epmd_port dist_port node=bridge-tests-$$@localhost home=$services_dir/rabbitmq epmd
    pick_port epmd_port
    pick_port dist_port
    pick_port rabbit_port
    pick_port management_port
    mkdir -p "$home/plugins" "$home/config"
    (umask 077 && head -c 24 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' >"$home/.erlang.cookie")
    chmod 400 "$home/.erlang.cookie"
    printf '[rabbitmq_management].\n' >"$home/enabled_plugins"
    cat >"$home/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$rabbit_port
vm_memory_high_watermark.relative = 0.4
disk_free_limit.absolute = 100MB
log.console = true
log.console.level = info
log.file = false
management.tcp.ip = 127.0.0.1
management.tcp.port = $management_port
CONF
    # Nothing of the machine's own RabbitMQ is inherited.
    local name
    for name in ${!RABBITMQ_@}; do unset "$name"; done
    rabbit_env=(
        HOME="$home" ERL_EPMD_PORT="$epmd_port" ERL_EPMD_ADDRESS=127.0.0.1 LC_ALL=C.UTF-8
        RABBITMQ_NODENAME="$node" RABBITMQ_CONF_ENV_FILE="$home/none.conf"
        RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf" RABBITMQ_ADVANCED_CONFIG_FILE="$home/none.config"
        RABBITMQ_GENERATED_CONFIG_DIR="$home/config" RABBITMQ_ENABLED_PLUGINS_FILE="$home/enabled_plugins"
        RABBITMQ_MNESIA_BASE="$home/data" RABBITMQ_LOG_BASE="$home/log" RABBITMQ_PID_FILE="$home/node.pid"
        RABBITMQ_DIST_PORT="$dist_port"
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
    )
    {
        printf '#!/bin/sh\n# rabbitmqctl against the private node of this test run.\nexec env'
        printf ' %q' "${rabbit_env[@]}" "$rabbit_sbin/rabbitmqctl"
        printf ' -q "$@"\n'
    } >"$services_dir/rabbitmqctl"
    chmod 755 "$services_dir/rabbitmqctl"

    # Started here, in the foreground of its group, so that it ends with the run.
    epmd=$(command -v epmd || true)
    [[ -n $epmd ]] || epmd=$(compgen -G '/usr/lib/erlang/erts-*/bin/epmd' | head -n 1)
    start_group epmd env ERL_EPMD_ADDRESS=127.0.0.1 "$epmd" -port "$epmd_port"
    epmd_pid=$REPLY
    start_group rabbitmq env "${rabbit_env[@]}" bash -c "$keep_alive" keep-alive "$services_dir/rabbitmq/crashed" \
        "$rabbit_sbin/rabbitmq-server"
    rabbit_pid=$REPLY
}

pg_begin() {
    local -a as=()
    services_pgdir=$services_dir/postgres
    mkdir -p "$services_pgdir"
    if [[ $(id -u) == 0 ]]; then
        # initdb refuses root.
        local user=postgres
        id -u postgres >/dev/null 2>&1 || user=nobody
        as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
        chown "$user" "$services_pgdir"
        if ! "${as[@]}" test -x "$services_pgdir"; then
            # A checkout below /root, say.
            services_pgdir=$(mktemp -d /tmp/bridge-tests.XXXXXX)
            chown "$user" "$services_pgdir"
        fi
    fi
    printf '%s\n' "$services_pgdir" >"$services_dir/pgdir"
    # A socket's path may have 107 bytes.
    local sockets=$services_pgdir
    ((${#sockets} < 85)) || sockets=
    pick_port pg_port
    (
        cd "$services_pgdir"
        "${as[@]}" "$pg_bin/initdb" -D "$services_pgdir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-instructions \
            >"$services_dir/initdb.log" 2>&1 ||
            fail "initdb failed: $(tail -n 3 "$services_dir/initdb.log")"
    )
    local -a disk=()
    if [[ -n ${services_disk-} ]]; then
        # Where its user can read it.
        cc -O1 -shared -fPIC -o "$services_pgdir/disk.so" tests/harness/shim/disk.c -ldl
        disk=(env LD_PRELOAD="$services_pgdir/disk.so" TEST_DISK="$services_pgdir/disk" TEST_DISK_OF=/base/)
        export TEST_DISK_FILE=$services_pgdir/disk
    fi
    start_group postgres "${as[@]}" "${disk[@]}" bash -c "$keep_alive" keep-alive "$services_pgdir/crashed" \
        "$pg_bin/postgres" -D "$services_pgdir/data" -p "$pg_port" -h 127.0.0.1 \
        -k "$sockets" -c fsync=on -c max_connections=300 -c log_min_messages=warning
    pg_pid=$REPLY
}

# Waits until the command succeeds, while the process $1 lives, at most $2 seconds.
await() {
    local name=$1 pid=$2 limit=$3 started=$SECONDS
    shift 3
    until "$@" >/dev/null 2>&1; do
        [[ -d /proc/$pid ]] || fail "$name ended while starting: $(tail -n 5 "$services_dir/$name.log")"
        ((SECONDS - started < limit)) || fail "$name did not answer within $limit s: $(tail -n 5 "$services_dir/$name.log")"
        sleep 0.1
    done
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

services_start() {
    local started=$SECONDS rabbit_port management_port pg_port
    local -a rabbit_env
    clear_leftovers
    mkdir -p "$services_dir"
    say "starting a private RabbitMQ and a private PostgreSQL"
    rabbit_begin
    cluster_env=("${rabbit_env[@]}")
    pg_begin
    crash_begin
    await postgres "$pg_pid" 60 "$pg_bin/pg_isready" -q -h 127.0.0.1 -p "$pg_port"
    await rabbitmq "$rabbit_pid" 120 answers "$rabbit_port"
    "$services_dir/rabbitmqctl" await_startup --timeout 60 >/dev/null ||
        fail "RabbitMQ did not start: $(tail -n 5 "$services_dir/rabbitmq.log")"
    export TEST_AMQP_URL=amqp://guest:guest@127.0.0.1:$rabbit_port/%2f
    export TEST_RABBITMQ_MANAGEMENT=http://127.0.0.1:$management_port
    export TEST_DATABASE_URL=postgres://postgres@127.0.0.1:$pg_port/postgres
    export TEST_RABBITMQCTL=$services_dir/rabbitmqctl
    export TEST_CRASH=$services_dir/crash
    say "RabbitMQ on port $rabbit_port, PostgreSQL on port $pg_port, after $((SECONDS - started)) s"
}

services_exports() {
    local name
    for name in TEST_AMQP_URL TEST_RABBITMQ_MANAGEMENT TEST_DATABASE_URL TEST_RABBITMQCTL TEST_CRASH TEST_DISK_FILE; do
        [[ -v $name ]] || continue
        printf 'export %s=%q\n' "$name" "${!name}"
    done
}

services_stop() {
    [[ -d $services_dir ]] || return 0
    local group
    # Their data goes away with them, so nothing is flushed first.
    for group in $rabbit_pid $pg_pid $epmd_pid; do
        kill -KILL -- "-$group" 2>/dev/null || true
        wait "$group" 2>/dev/null || true
    done
    rabbit_pid='' pg_pid='' epmd_pid=''
    # The logs of the last run stay.
    mkdir -p "$services_root/logs"
    mv -f "$services_dir"/*.log "$services_root/logs/" 2>/dev/null || true
    [[ -z $services_pgdir ]] || rm -rf "$services_pgdir"
    rm -rf "$services_dir"
}

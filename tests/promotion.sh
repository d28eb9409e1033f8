# shellcheck shell=bash
# Two PostgreSQL servers of which one follows the other asynchronously; sourced by tests/run after
# tests/services.sh.
#
#   promotion_start   exports TEST_PAIR, a command for the stories:
#       primary         starts a new server; prints its port
#       standby PORT    makes a copy of the server behind PORT that follows it; prints its port
#       kill            ends the primary as hard as it goes
#       promote         returns when the standby takes writes
#       end             ends both and removes their data
#   promotion_stop    ends what is left

promotion_start() {
    local -a as=()
    if [[ $(id -u) == 0 ]]; then
        # PostgreSQL refuses root.
        local user
        user=$(stat -c %U "$services_pgdir")
        as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
    fi
    {
        printf '#!/usr/bin/env bash\n# A primary and a standby of this test run; see tests/promotion.sh.\nset -euo pipefail\n'
        printf 'home=%q\nbin=%q\n' "$services_pgdir/pair" "$pg_bin"
        printf 'as=(%s)\n' "$(printf '%q ' "${as[@]}")"
        printf 'export SERVICES_DIR=%q\n' "$services_dir"
        declare -f port_is_taken pick_port fail
        cat <<'COMMANDS'
start() {
    local port=$2
    "${as[@]}" setsid "$bin/postgres" -D "$home/$1" -p "$port" -h 127.0.0.1 -k '' -c max_connections=200 \
        -c wal_level=replica -c max_wal_senders=4 -c hot_standby=on -c synchronous_standby_names= \
        -c log_min_messages=warning </dev/null >>"$home/$1.log" 2>&1 &
    echo $! >"$home/$1.group"
    local _
    for _ in {1..600}; do
        if "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"; then
            echo "$port" | tee "$home/$1.port"
            return
        fi
        sleep 0.1
    done
    tail -n 5 "$home/$1.log" >&2
    exit 1
}

end() {
    [[ -e $home/$1.group ]] || return 0
    kill -KILL -- "-$(cat "$home/$1.group")" 2>/dev/null || true
    # The server leads a group of its own below the one that changed the user.
    kill -KILL "$(head -n 1 "$home/$1/postmaster.pid" 2>/dev/null)" 2>/dev/null || true
    rm -f "$home/$1.group"
}

cd /
case $1 in
primary)
    "${as[@]}" mkdir -p "$home"
    "${as[@]}" "$bin/initdb" -D "$home/primary" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-instructions \
        >"$home/initdb.log" 2>&1
    pick_port port
    start primary "$port"
    ;;
standby)
    "${as[@]}" "$bin/pg_basebackup" -h 127.0.0.1 -p "$2" -U postgres -D "$home/standby" -R -X stream -c fast \
        >"$home/basebackup.log" 2>&1
    pick_port port
    start standby "$port"
    ;;
kill) end primary ;;
promote)
    "$bin/psql" -q -h 127.0.0.1 -p "$(cat "$home/standby.port")" -U postgres -Atc 'SELECT pg_promote(true, 60)' >/dev/null
    ;;
end)
    end primary
    end standby
    rm -rf "$home"
    ;;
*) exit 2 ;;
esac
COMMANDS
    } >"$services_dir/pair"
    chmod 755 "$services_dir/pair"
    export TEST_PAIR=$services_dir/pair
}

promotion_stop() {
    [[ -z ${TEST_PAIR-} || ! -x $TEST_PAIR ]] || "$TEST_PAIR" end || true
}

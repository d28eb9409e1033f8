# For the scripts beside this file: packages of a Debian suite with all they need, unpacked into a
# folder and run there by chroot. Nothing is installed on the machine; root is needed. Sets $folder,
# which goes at the end with whatever was started from below it.

folder=$(mktemp -d)

stop() {
    local pid
    for pid in "$folder"/*/pid; do
        [[ ! -e $pid ]] || kill -- "-$(cat "$pid")" || true
    done
    wait || true
    rm -rf "$folder"
}
trap stop EXIT

# Unpacks PACKAGE[=VERSION]... of SUITE into FOLDER: debian FOLDER SUITE PACKAGE...
debian() {
    local folder=$1 suite=$2 mirror package
    shift 2
    mkdir -p "$folder"/{apt/{lists,cache/archives}/partial,dev,proc,tmp,usr/{bin,sbin,lib,lib64}}
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
        grep -m1 '/debian/$')
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
        >"$folder/apt/sources.list"
    touch "$folder/apt/status"
    local apt=(apt-get -qq -o "Dir::Etc::SourceList=$folder/apt/sources.list"
        -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$folder/apt/lists"
        -o "Dir::State::status=$folder/apt/status" -o "Dir::Cache=$folder/apt/cache"
        -o APT::Install-Recommends=0 -o APT::Sandbox::User=root)
    "${apt[@]}" update
    "${apt[@]}" install -y --download-only bash coreutils dash sed grep mawk "$@" >/dev/null
    for package in bin sbin lib lib64; do ln -s "usr/$package" "$folder/$package"; done
    for package in "$folder"/apt/cache/archives/*.deb; do dpkg --fsys-tarfile "$package" |
        tar -x --keep-directory-symlink -C "$folder"; done
    ln -sf dash "$folder/bin/sh"
    mknod -m 666 "$folder/dev/null" c 1 3
    printf '%s:x:%s::/tmp:/bin/sh\n' root 0:0 postgres 999:999 >"$folder/etc/passwd"
    echo 127.0.0.1 localhost >"$folder/etc/hosts"
    rm -r "$folder/apt"
    chmod 1777 "$folder/tmp"
}

# A port nobody listens at.
free_port() {
    python3 -c 'import socket
free = socket.socket()
free.bind(("127.0.0.1", 0))
print(free.getsockname()[1])'
}

# Starts the RabbitMQ unpacked in FOLDER: rabbitmq FOLDER PORT. Its group's id is in FOLDER/pid.
rabbitmq() {
    local epmd
    touch "$1/started"
    epmd=$(free_port)
    setsid env -i PATH=/usr/sbin:/usr/bin HOME=/tmp LANG=C.UTF-8 ERL_EPMD_PORT="$epmd" \
        ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_NODENAME=finding@localhost \
        RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$2" \
        RABBITMQ_DIST_PORT="$(free_port)" RABBITMQ_MNESIA_BASE=/tmp/db RABBITMQ_LOG_BASE=/tmp/log \
        RABBITMQ_ENABLED_PLUGINS_FILE=/tmp/plugins RABBITMQ_CONFIG_FILE=/tmp/none \
        RABBITMQ_CONF_ENV_FILE=/tmp/none unshare --mount sh -c 'mount -t proc proc "$0/proc" &&
        exec chroot "$0" sh -c "epmd & exec /usr/lib/rabbitmq/bin/rabbitmq-server"' "$1" \
        >"$1/started" 2>&1 &
    echo $! >"$1/pid"
    for _ in $(seq 120); do
        if grep -q 'completed with' "$1/started"; then return; fi
        sleep 0.5
    done
    cat "$1/started"
    return 1
}

# Runs a program of the PostgreSQL 17 unpacked in FOLDER: postgres FOLDER PROGRAM ARGUMENT...
postgres() {
    env -i PATH=/usr/lib/postgresql/17/bin:/usr/sbin:/usr/bin LC_ALL=C \
        chroot --userspec=999:999 "$@"
}

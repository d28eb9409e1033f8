# shellcheck shell=bash
# Two more RabbitMQ nodes beside the private one of a test run, joined to a cluster; sourced by
# tests/run after tests/services.sh.
#
#   cluster_start   returns when three nodes are one cluster; exports TEST_AMQP_URL_2 and
#                   TEST_CLUSTER_NODE, which kills and starts the second node

cluster_pids=()

# cluster_node N: starts node N with a home of its own, on the cookie and the port mapper of the run.
cluster_node() {
    local n=$1 dist_port port home=$services_dir/rabbitmq-$1
    pick_port dist_port
    pick_port port
    mkdir -p "$home/plugins" "$home/config"
    cp -p "$services_dir/rabbitmq/.erlang.cookie" "$home/.erlang.cookie"
    printf '[].\n' >"$home/enabled_plugins"
    sed -e "s/^listeners.tcp.1 = .*/listeners.tcp.1 = 127.0.0.1:$port/" -e '/^management/d' \
        "$services_dir/rabbitmq/rabbitmq.conf" >"$home/rabbitmq.conf"
    local -a node_env=() entry
    for entry in "${cluster_env[@]}"; do
        case $entry in
        RABBITMQ_NODENAME=*) entry=RABBITMQ_NODENAME=bridge-tests-$$-$n@localhost ;;
        RABBITMQ_DIST_PORT=*) entry=RABBITMQ_DIST_PORT=$dist_port ;;
        *"$services_dir/rabbitmq"*) entry=${entry//"$services_dir/rabbitmq"/"$home"} ;;
        esac
        node_env+=("$entry")
    done
    start_group "rabbitmq-$n" env "${node_env[@]}" "$rabbit_sbin/rabbitmq-server"
    cluster_pids+=("$REPLY")
    await "rabbitmq-$n" "$REPLY" 120 answers "$port"
    local -a ctl=(env "${node_env[@]}" "$rabbit_sbin/rabbitmqctl" -q)
    "${ctl[@]}" await_startup --timeout 60 >/dev/null
    "${ctl[@]}" stop_app
    "${ctl[@]}" join_cluster "bridge-tests-$$@localhost"
    "${ctl[@]}" start_app
    if ((n == 2)); then
        export TEST_AMQP_URL_2=amqp://guest:guest@127.0.0.1:$port/%2f
        {
            printf '#!/usr/bin/env bash\n# kill: as hard as it goes; start: returns when it is back.\ncase $1 in\n'
            printf 'kill) kill -KILL "$(head -n 1 %q)" ;;\n' "$home/node.pid"
            printf 'start)\n    setsid env'
            printf ' %q' "${node_env[@]}" "SERVICES_DIR=$services_dir" "$rabbit_sbin/rabbitmq-server"
            printf ' </dev/null >>%q 2>&1 &\n    echo $! >%q\n' "$services_dir/rabbitmq-2.log" "$services_dir/rabbitmq-2.pid"
            # Nobody answers for a node that has only just been started.
            printf '    for _ in {1..60}; do env'
            printf ' %q' "${node_env[@]}" "$rabbit_sbin/rabbitmqctl" -q
            printf ' await_startup --timeout 60 && exit; sleep 1; done\n    exit 1\n    ;;\nesac\n'
        } >"$services_dir/cluster-node"
        chmod 755 "$services_dir/cluster-node"
        export TEST_CLUSTER_NODE=$services_dir/cluster-node
    fi
}

cluster_start() {
    say "joining two more nodes to the RabbitMQ"
    cluster_node 2
    cluster_node 3
}

cluster_stop() {
    local group
    for group in "${cluster_pids[@]}" $(cat "$services_dir/rabbitmq-2.pid" 2>/dev/null); do
        kill -KILL -- "-$group" 2>/dev/null || true
    done
    cluster_pids=()
}

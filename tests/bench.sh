# shellcheck shell=bash
# What the benchmarks need besides the programs; sourced by tests/run.
#
#   compare_build COMMIT PROFILE   builds another commit's programs as today's are built; leaves
#                                  their folder in $compare_programs
#   peers_build                    builds the peers of ingress into target/peers; those whose
#                                  language is missing are left out with a line

compare_programs=

compare_build() {
    local commit tree profile=$2
    commit=$(git rev-parse --verify --quiet "$1^{commit}") || {
        say "there is no commit $1"
        return 2
    }
    tree=$PWD/target/compare/$commit
    if [[ ! -d $tree ]]; then
        mkdir -p "${tree%/*}"
        # An export, not a work tree: nothing is left behind in the repository's own books.
        mkdir "$tree.new"
        git archive "$commit" | tar -x -C "$tree.new"
        mv "$tree.new" "$tree"
    fi
    say "building the programs of ${commit:0:7}"
    # Earlier commits know no profile dist: both sides get the same one.
    local dist='profile.dist'
    run env -C "$tree" "CARGO_TARGET_DIR=$tree/target" cargo build --workspace --profile "$profile" \
        --config "$dist.inherits=\"release\"" --config "$dist.lto=\"fat\"" \
        --config "$dist.codegen-units=1" --config "$dist.opt-level=3" \
        --bin bridge --bin ingress --bin worker --bin scheduler
    compare_programs=$tree/target/$profile
}

peers_build() {
    local peers=tests/bench/peers to=target/peers
    mkdir -p "$to"
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null && ! command -v go >/dev/null; then
        say "installing Go for a peer of ingress"
        install_quietly golang-go golang-github-rabbitmq-amqp091-go-dev >"$services_root/install.log" 2>&1 || true
    fi
    if command -v go >/dev/null &&
        run env GO111MODULE=off GOPATH=/usr/share/gocode go build -o "$to/go" "./$peers/go"; then :; else
        rm -f "$to/go"
        say "no peer in Go: it takes golang-go and golang-github-rabbitmq-amqp091-go-dev"
    fi
    if command -v npm >/dev/null && cp -r "$peers/node" "$to/" &&
        run env -C "$to/node" npm ci --silent --no-audit --no-fund; then :; else
        rm -rf "$to/node"
        say "no peer in Node: it takes node, npm and the packages that tests/bench/peers/node pins"
    fi
}

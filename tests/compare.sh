# shellcheck shell=bash
# The programs of another commit, for a comparison with today's; sourced by tests/run.
#
#   compare_build COMMIT PROFILE   builds them as today's are built; leaves their folder in $compare_programs

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
    run env -C "$tree" "CARGO_TARGET_DIR=$tree/target" cargo build --profile "$profile" \
        --config "$dist.inherits=\"release\"" --config "$dist.lto=\"fat\"" \
        --config "$dist.codegen-units=1" --config "$dist.opt-level=3" \
        --bin bridge --bin ingress --bin worker --bin scheduler
    compare_programs=$tree/target/$profile
}

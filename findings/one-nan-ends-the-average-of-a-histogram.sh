#!/usr/bin/env bash
# What: one NaN that is observed, the mean of nothing for one, ends a histogram's average until the
#       process restarts, and four Prometheus clients count it in four ways.
# Versions: prometheus_client 0.26.0 (PyPI), prom-client 15.1.3 (npm), prometheus 0.14.0 and
#       prometheus-client 0.24.0 (crates.io).
# Guess before the run: it is passed over, or counted in `+Inf` alone.
# Seen: three add it to the sum, which stays NaN; Python does not count it, Rust's `prometheus`
#       counts it above every bound, the official Rust client counts it in `_count` and in no
#       bucket, so the two disagree for good. prom-client throws. Quantiles go on as if nothing had
#       happened.
# For whom: whoever records ratios or means beside durations: a panel of averages has a gap that no
#       alert sees, since a comparison with NaN is false.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check prometheus_client==0.26.0
npm install --silent --no-audit --no-fund --prefix "$folder" prom-client@15.1.3
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "run"
version = "0.0.0"
edition = "2021"
[dependencies]
prometheus = { version = "=0.14.0", default-features = false }
prometheus-client = "=0.24.0"
TOML
cat >"$folder/run.py" <<'PYTHON'
import math
from prometheus_client import CollectorRegistry, Histogram, generate_latest

registry = CollectorRegistry()
took = Histogram("took", "Time", registry=registry, buckets=(1, 2))
took.observe(math.nan)
took.observe(1.5)
print(generate_latest(registry).decode())
PYTHON
cat >"$folder/run.js" <<'JS'
const { Histogram, register } = require(__dirname + "/node_modules/prom-client");
const took = new Histogram({ name: "took", help: "Time", buckets: [1, 2] });
try {
    took.observe(NaN);
} catch {
    console.log("refused");
}
took.observe(1.5);
register.metrics().then(console.log);
JS
cat >"$folder/src/main.rs" <<'RUST'
use prometheus::Encoder as _;
use prometheus_client::metrics::histogram::Histogram;

fn main() {
    if std::env::args().nth(1).is_some() {
        let mut registry = prometheus_client::registry::Registry::default();
        let took = Histogram::new([1.0, 2.0]);
        registry.register("took", "Time", took.clone());
        took.observe(f64::NAN);
        took.observe(1.5);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        println!("{text}");
    } else {
        let took = prometheus::HistogramOpts::new("took", "Time").buckets(vec![1.0, 2.0]);
        let took = prometheus::register_histogram!(took).unwrap();
        took.observe(f64::NAN);
        took.observe(1.5);
        let mut text = Vec::new();
        prometheus::TextEncoder::new().encode(&prometheus::gather(), &mut text).unwrap();
        println!("{}", String::from_utf8(text).unwrap());
    }
}
RUST
run() { echo "$1:" "$("${@:2}" | grep -E 'refused|Inf|_sum|_count' | sort | paste -sd' ')"; }
{
    run "Python" "$folder/venv/bin/python" "$folder/run.py"
    run "prom-client" node "$folder/run.js"
    run "Rust, prometheus" cargo run -q --manifest-path "$folder/Cargo.toml"
    run "Rust, prometheus-client" cargo run -q --manifest-path "$folder/Cargo.toml" -- official
} | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
Python: took_bucket{le="+Inf"} 1.0 took_count 1.0 took_sum NaN
prom-client: refused took_bucket{le="+Inf"} 1 took_count 1 took_sum 1.5
Rust, prometheus: took_bucket{le="+Inf"} 2 took_count 2 took_sum NaN
Rust, prometheus-client: took_bucket{le="+Inf"} 1 took_count 2 took_sum NaN
SEEN
echo "as described"

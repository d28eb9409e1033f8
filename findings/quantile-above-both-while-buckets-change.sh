#!/usr/bin/env bash
# What: while a rolling update changes a histogram's buckets, the median over old and new processes
#       is far above the median of either: 2 s where the old have 0.6 s and the new 0.32 s.
# Versions: promtool of Prometheus 2.42.0 (Debian 12); 3.5.3 says the same.
# Guess before the run: a blurred value somewhere between the two.
# Seen: a bound that only one release has counts only that release's observations, while `+Inf`
#       counts all. So half of everything seems to lie above every bound, and the answer is the
#       highest one.
# For whom: whoever alerts on a latency's quantile and ships new bucket bounds: the alert fires
#       during the update although every process is fast.
set -euo pipefail
source "$(dirname "$0")/debian.bash"
debian "$folder/prometheus" bookworm prometheus=2.42.0+ds-5+deb12u1
# A hundred requests a minute each. The old release has the bounds 0.1 and 1, the new 0.1, 0.5, 2.
cat >"$folder/prometheus/tmp/run.yml" <<'YAML'
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'took_seconds_bucket{release="old", le="0.1"}', values: '0+0x20'}
      - {series: 'took_seconds_bucket{release="old", le="1"}', values: '0+90x20'}
      - {series: 'took_seconds_bucket{release="old", le="+Inf"}', values: '0+100x20'}
      - {series: 'took_seconds_bucket{release="new", le="0.1"}', values: '0+0x20'}
      - {series: 'took_seconds_bucket{release="new", le="0.5"}', values: '0+90x20'}
      - {series: 'took_seconds_bucket{release="new", le="2"}', values: '0+99x20'}
      - {series: 'took_seconds_bucket{release="new", le="+Inf"}', values: '0+100x20'}
    promql_expr_test:
      - expr: round(histogram_quantile(0.5, rate(took_seconds_bucket[5m])), 0.01)
        eval_time: 10m
        exp_samples:
          - {labels: '{release="new"}', value: 0.32}
          - {labels: '{release="old"}', value: 0.6}
      - expr: histogram_quantile(0.5, sum by (le) (rate(took_seconds_bucket[5m])))
        eval_time: 10m
        exp_samples: [{labels: '{}', value: 2}]
YAML
chroot "$folder/prometheus" promtool test rules /tmp/run.yml
echo "as described"

//! Which room of a crate may know which: from the ground up, a line for each layer.
//!
//! A room is a folder or a file right below `src`. It may know what lies in the lines above its own
//! here, and never another of its own line. Rooms joined by `+` are one room.

use std::collections::BTreeMap;

use crate::imports::crates;

const LAYERS: [(&str, &[&str]); 6] = [
    (
        "shared",
        &[
            "allowed_hosts clock closed_set debug dice digest files hidden locked mutant networks pasted retry shutdown suggest tls tls_trouble \
             vendor widget",
            "http listen random waiting",
            "domain",
            "reasons",
            "phrases",
            "crypto message",
            "draft reason telemetry trigger_forms",
            "explain",
            "story",
            "config measoft retailcrm store",
            "arguments ctx existing told",
            "queue",
            "bootstrap",
        ],
    ),
    (
        "ingress",
        &[
            "bilingual buckets finish keys urlencoded",
            "failures reply",
            "ask body hand_over triggers",
            "callbacks push",
            "connect settings_page",
            "widget",
            "server",
        ],
    ),
    (
        "worker",
        &[
            "hint lifeline notifier policy",
            "vendor",
            "tools",
            "ask kinship takeover",
            "order",
            "consume shadow sync",
            "callbacks compare correct dispatch inquire jobs preview",
            "manage",
        ],
    ),
    ("scheduler", &["plan"]),
    ("console", &["csv errands form html refusals routes seen texts", "chart oidc", "visit", "pages", "answer"]),
    (
        "bridge",
        &[
            "args language manual stdout version",
            "output",
            "filters secret_key secrets transfer up who",
            "ask audit budget causes compare console correct dead doctor integration journal now order preview probe replay \
              shadow trigger_help waiting",
            "demo",
        ],
    ),
];

/// Of each room of a crate, its layer and what it is joined to.
fn rooms(layers: &'static [&'static str]) -> BTreeMap<&'static str, (usize, &'static str)> {
    let of_line = |(layer, line): (usize, &&'static str)| {
        line.split(' ')
            .flat_map(move |joined| joined.split('+').map(move |room| (room, (layer, joined))))
            .collect::<Vec<_>>()
    };
    layers.iter().enumerate().flat_map(of_line).collect()
}

/// `order/decide.rs` → `order`.
fn room_of(file: &str) -> &str {
    file.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

#[test]
fn every_room_knows_only_what_lies_below_it() {
    let mut wrong = Vec::new();
    for (name, layers) in LAYERS {
        let rooms = rooms(layers);
        let all = crates();
        let one = all.iter().find(|one| one.name == name).expect("a crate of the product");
        for (file, imports) in one.imports() {
            let room = room_of(file);
            if ["lib", "main"].contains(&room) {
                continue;
            }
            let Some((layer, joined)) = rooms.get(room) else {
                wrong.push(format!("{name}: the room {room} has no layer"));
                continue;
            };
            for other in imports {
                let known = room_of(other);
                let below = rooms.get(known).is_some_and(|(of, with)| of < layer || with == joined);
                if !below && !["lib", "main"].contains(&known) {
                    wrong.push(format!("{name}: {file} imports {other}"));
                }
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "imports that point upward or aside:\n{}", wrong.join("\n"));
}

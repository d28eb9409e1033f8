#!/usr/bin/env bash
# What: with `trim_text` quick-xml reads the company «Иванов &amp; сын» as «Иванов&сын»: what is
#       trimmed is no longer an element's text but each piece of it between references.
# Versions: quick-xml 0.37.5 and 0.42.0 (crates.io).
# Guess before the run: only spaces at the two ends of the element go, as in 0.37.
# Seen: since references are events of their own, a text with one is three pieces, and both inner
#       ends are trimmed too. CDATA is not trimmed at all. Names without a reference show nothing of
#       it.
# For whom: whoever read a courier's XML with `trim_text` and took an update over by handling the
#       new event: companies, streets and remarks with an ampersand or quote lose spaces.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "run"
version = "0.0.0"
edition = "2021"
[dependencies]
before = { package = "quick-xml", version = "=0.37.5" }
now = { package = "quick-xml", version = "=0.42.0" }
TOML
cat >"$folder/src/main.rs" <<'RUST'
fn before(xml: &str) -> String {
    let mut reader = before::Reader::from_str(xml);
    reader.config_mut().trim_text(true);
    let mut text = String::new();
    loop {
        match reader.read_event().unwrap() {
            before::events::Event::Text(piece) => text.push_str(&piece.unescape().unwrap()),
            before::events::Event::CData(piece) => {
                text.push_str(std::str::from_utf8(&piece).unwrap())
            }
            before::events::Event::Eof => return text,
            _ => {}
        }
    }
}

fn now(xml: &str) -> String {
    let mut reader = now::Reader::from_str(xml);
    reader.config_mut().trim_text(true);
    let mut text = String::new();
    loop {
        match reader.read_event().unwrap() {
            now::events::Event::Text(piece) => text.push_str(piece.as_ref()),
            now::events::Event::CData(piece) => text.push_str(piece.as_ref()),
            now::events::Event::GeneralRef(name) => {
                text.push_str(now::escape::resolve_predefined_entity(name.as_ref()).unwrap())
            }
            now::events::Event::Eof => return text,
            _ => {}
        }
    }
}

fn main() {
    let plain = " Иванов &amp; сын ";
    let quoted = "ООО &quot;Ромашка&quot; (склад)";
    for text in [plain, quoted, "<![CDATA[ Иванов & сын ]]>"] {
        let xml = format!("<company>{text}</company>");
        println!("{text:?}: 0.37 {:?}, 0.42 {:?}", before(&xml), now(&xml));
    }
}
RUST
cargo run -q --manifest-path "$folder/Cargo.toml" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
" Иванов &amp; сын ": 0.37 "Иванов & сын", 0.42 "Иванов&сын"
"ООО &quot;Ромашка&quot; (склад)": 0.37 "ООО \"Ромашка\" (склад)", 0.42 "ООО\"Ромашка\"(склад)"
"<![CDATA[ Иванов & сын ]]>": 0.37 " Иванов & сын ", 0.42 " Иванов & сын "
SEEN
echo "as described"

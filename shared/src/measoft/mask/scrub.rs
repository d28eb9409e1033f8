//! Hides what looks like a phone, an e-mail address or a password in a text for people.

/// A text of the vendor without runs of ten and more digits (phones, also with spaces,
/// brackets and dashes inside), e-mail addresses and `pass="…"` values.
pub(crate) fn scrub(text: &str) -> String {
    hide_digits(&hide_pass(&hide_emails(text)))
}

fn hide_digits(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run = String::new();
    let mut digits = 0;
    for c in text.chars().chain(std::iter::once('\0')) {
        if c.is_numeric() {
            digits += 1;
            run.push(c);
        } else if digits > 0 && matches!(c, ' ' | '-' | '(' | ')' | '\u{a0}' | '.') {
            run.push(c);
        } else {
            if digits >= 10 && !is_order_number(&out, &run) {
                let tail = run.len() - run.trim_end_matches([' ', '-', '(', ')', '\u{a0}', '.']).len();
                out.push_str(&format!("[hidden {digits}]"));
                out.push_str(&run[run.len() - tail..]);
            } else {
                out.push_str(&run);
            }
            run.clear();
            digits = 0;
            if c != '\0' {
                out.push(c);
            }
        }
    }
    out
}

/// `RC-2026-000101`: digits and dashes after a capital letter and a dash.
fn is_order_number(before: &str, run: &str) -> bool {
    let prefix = before.strip_suffix('-').is_some_and(|before| before.ends_with(|c: char| c.is_ascii_uppercase()));
    prefix && run.trim_end().bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

fn hide_emails(text: &str) -> String {
    if !text.contains('@') {
        return text.to_owned();
    }
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@' | '%');
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().map(Some).chain(std::iter::once(None)) {
        match c {
            Some(c) if is_part(c) => word.push(c),
            other => {
                if word.contains('@') {
                    out.push_str(&format!("[hidden {}]", word.chars().count()));
                } else {
                    out.push_str(&word);
                }
                word.clear();
                out.extend(other);
            }
        }
    }
    out
}

fn hide_pass(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("pass") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let value = from.find(['=', ':']).filter(|at| *at <= 10).map(|at| at + 1);
        let Some(start) = value else {
            out.push_str("pass");
            rest = &from[4..];
            continue;
        };
        let skipped = from[start..].len() - from[start..].trim_start_matches([' ', '"', '\'']).len();
        let value = &from[start + skipped..];
        let end = value.find(['"', '\'', ' ', '\n', '<', '>', '&', ';', ',']).unwrap_or(value.len());
        out.push_str(&from[..start + skipped]);
        if end > 0 {
            out.push_str(&format!("[hidden {}]", value[..end].chars().count()));
        }
        rest = &value[end..];
    }
    out.push_str(rest);
    out
}

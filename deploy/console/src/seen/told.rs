//! Entries of the journal as people read them.

pub use shared::told::{head, is_good, is_old, line, operation, story, took};

/// A body with a line for each of its parts. What is neither XML nor JSON stays as it is.
pub fn pretty(body: &str) -> String {
    let trimmed = body.trim();
    if trimmed.starts_with('{') || trimmed.starts_with('[') {
        let read = serde_json::from_str::<serde_json::Value>(trimmed).ok();
        let written = read.and_then(|value| serde_json::to_string_pretty(&value).ok());
        return written.unwrap_or_else(|| body.to_owned());
    }
    if !trimmed.starts_with('<') || trimmed.contains('\n') {
        return body.to_owned();
    }
    indented(trimmed)
}

/// XML of one line with each element on its own, deeper ones further in.
fn indented(text: &str) -> String {
    let (mut depth, mut lines) = (0usize, Vec::new());
    for part in text.replace("><", ">\n<").lines() {
        let closes = part.starts_with("</");
        depth = depth.saturating_sub(usize::from(closes));
        lines.push(format!("{}{part}", "  ".repeat(depth)));
        let stays =
            closes || part.starts_with("<?") || part.starts_with("<!") || part.ends_with("/>") || part.contains("</");
        depth += usize::from(!stays && part.starts_with('<'));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_shown_with_a_line_for_each_part() {
        let xml = "<?xml version=\"1.0\"?><neworder><auth extra=\"8\"/><order orderno=\"1\"><town>Москва</town></order></neworder>";
        let shown = "<?xml version=\"1.0\"?>\n<neworder>\n  <auth extra=\"8\"/>\n  <order orderno=\"1\">\n    \
                     <town>Москва</town>\n  </order>\n</neworder>";
        assert_eq!(pretty(xml), shown);
        assert_eq!(pretty("{\"id\":1}"), "{\n  \"id\": 1\n}");
        for as_it_is in ["id=1&sum=2", "[not json", "<a>\n<b/>\n</a>", ""] {
            assert_eq!(pretty(as_it_is), as_it_is);
        }
    }
}

//! The smallest PDF that viewers and mergers accept: one page with one line of text per order.

/// Builds a PDF 1.4 with one A6 page per line of text. Characters outside printable ASCII become `?`, since the
/// built-in font has no Cyrillic.
pub(crate) fn pdf(lines: &[String]) -> Vec<u8> {
    let mut objects = vec!["<< /Type /Catalog /Pages 2 0 R >>".to_owned()];
    let kids: Vec<String> = (0..lines.len()).map(|page| format!("{} 0 R", 4 + page * 2)).collect();
    objects.push(format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), lines.len()));
    objects.push("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned());
    for (page, line) in lines.iter().enumerate() {
        let text: String = line.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect();
        let text = text.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)");
        let stream = format!("BT /F1 18 Tf 30 380 Td ({text}) Tj ET");
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 298 420] /Resources << /Font << /F1 3 0 R >> >> /Contents {} 0 R >>",
            5 + page * 2
        ));
        objects.push(format!("<< /Length {} >>\nstream\n{stream}\nendstream", stream.len()));
    }
    let mut out = String::from("%PDF-1.4\n");
    let mut offsets = Vec::with_capacity(objects.len());
    for (number, object) in objects.iter().enumerate() {
        offsets.push(out.len());
        out.push_str(&format!("{} 0 obj\n{object}\nendobj\n", number + 1));
    }
    let table = out.len();
    out.push_str(&format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1));
    for offset in offsets {
        out.push_str(&format!("{offset:010} 00000 n \n"));
    }
    out.push_str(&format!("trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n", objects.len() + 1));
    out.into_bytes()
}

/// Standard base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            if place <= group.len() {
                out.push(char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_as_the_standard_says() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }

    #[test]
    fn every_entry_of_the_cross_reference_table_points_at_its_object() {
        let pdf = String::from_utf8(pdf(&["RC-1".to_owned(), "Заказ (2)".to_owned()])).unwrap();
        assert!(pdf.starts_with("%PDF-1.4\n") && pdf.ends_with("%%EOF\n"));
        assert!(pdf.contains("(RC-1) Tj") && pdf.contains("(????? \\(2\\)) Tj"));
        assert!(pdf.contains("/Count 2"));
        let start: usize = pdf.rsplit("startxref\n").next().unwrap().lines().next().unwrap().parse().unwrap();
        let mut entries = pdf[start..].lines();
        assert_eq!(entries.next(), Some("xref"));
        assert_eq!(entries.next(), Some("0 8"));
        assert_eq!(entries.next(), Some("0000000000 65535 f "));
        for number in 1..8 {
            let entry = entries.next().unwrap();
            let offset: usize = entry[..10].parse().unwrap();
            assert!(pdf[offset..].starts_with(&format!("{number} 0 obj\n")), "object {number}");
        }
        for chunk in pdf.split("/Length ").skip(1) {
            let length: usize = chunk.split(' ').next().unwrap().parse().unwrap();
            let stream = chunk.split_once("stream\n").unwrap().1;
            assert_eq!(&stream[length..length + 5], "\nends");
        }
    }
}

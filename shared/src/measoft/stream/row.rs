//! One row of an answer, found and not yet read.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memchr;

use crate::domain::OrderNo;
use crate::measoft::wire::element;
use crate::measoft::wire::statusreq::{PoisonRow, StatusRow, read_status_row};

/// A row, or why it is set aside. Rows after a poisoned one still count.
pub type Row = Result<StatusRow, PoisonRow>;

/// The largest part of a full row (protocols/measoft.md#statusreq), and nothing of it is read: it
/// is ourselves.
const UNREAD: &str = "sender";

/// A row as it came. Reading it is most of the work of a sync and may be done on another
/// thread than the one that waits for the next.
pub struct RawRow(pub(super) Raw);

pub(super) enum Raw {
    Piece { bytes: Bytes, windows_1251: bool, too_long: bool },
    Read(Box<Row>),
}

impl RawRow {
    /// Parses it.
    pub fn read(self) -> Row {
        let (bytes, windows_1251, too_long) = match self.0 {
            Raw::Read(row) => return *row,
            Raw::Piece { bytes, windows_1251, too_long } => (bytes, windows_1251, too_long),
        };
        let why = if too_long {
            "the row is too long".to_owned()
        } else {
            match element::parse_piece(&decode(&bytes, windows_1251), Some(UNREAD)) {
                Ok(order) => return read_status_row(&order),
                Err(why) => why.to_string(),
            }
        };
        // The numbers in the start tag of a row that cannot be read.
        let end = memchr(b'>', &bytes).map_or(bytes.len(), |at| at + 1);
        let mut tag = decode(&bytes[..end], windows_1251).into_owned();
        if !tag.ends_with("/>") {
            tag.push_str("</order>");
        }
        let order = element::parse_text(&tag).unwrap_or_default();
        let (orderno, ordercode) = (order.attribute("orderno").map(OrderNo::known), order.owned_attribute("ordercode"));
        Err(PoisonRow { orderno, ordercode, why })
    }
}

impl std::fmt::Debug for RawRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawRow")
    }
}

pub(super) fn decode(bytes: &[u8], windows_1251: bool) -> Cow<'_, str> {
    if windows_1251 { Cow::Owned(element::windows_1251(bytes)) } else { element::utf_8(bytes) }
}

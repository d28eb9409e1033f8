//! Every reader of MeaSoft's answers over one body, for the fuzz target.

use bytes::Bytes;

use crate::domain::OrderNo;
use crate::measoft::error::MeasoftError;
use crate::measoft::op::Op;
use crate::measoft::stream::Row;
use crate::measoft::stream::reader::RowReader;
use crate::measoft::wire::{calculator, cancelorder, element, lists, neworder, probe, statusreq, waybill};
use crate::measoft::{envelope, mask};

/// Most bytes of an answer here.
const LIMIT: u64 = 1 << 20;

/// Reads a body as the answer to each operation and answers what came of it, in a word for
/// each: inputs that come to something new are worth keeping.
///
/// # Panics
/// When a reader breaks a promise: that is what is looked for.
pub fn read(body: &[u8]) -> String {
    let mut came_to = String::new();
    for op in Op::ALL {
        let word = match envelope::open(op, body) {
            Err(error) => error.outcome(),
            Ok(root) => rows_of(op, &root),
        };
        came_to.push_str(word);
        came_to.push(' ');
    }
    let whole = stream(body, body.len().max(1));
    for piece in [1, 7] {
        assert_eq!(stream(body, piece), whole, "an answer reads the same in pieces of {piece}");
    }
    came_to.push_str(&whole);
    let _ = (mask::body(body, &["secret-demo"]), mask::excerpt(body));
    came_to
}

fn rows_of(op: Op, root: &element::Element) -> &'static str {
    let number = OrderNo::known("RC-2026-000101");
    let count = match op {
        Op::NewOrder | Op::EditOrder => {
            let rows = neworder::read_create_rows(root);
            rows.iter()
                .filter(|row| row.verdict(op).is_none() || row.text(crate::domain::Language::Ru).is_some())
                .count()
        }
        Op::CancelOrder => usize::from(cancelorder::read_cancel_row(root, &number, None).is_some()),
        Op::Calculator => calculator::read_tariffs(root).len(),
        Op::Services => lists::read_services(root).len(),
        Op::PvzList => lists::read_pvzlist(root).len(),
        Op::TownList => lists::read_townlist(root).len(),
        Op::Waybill => usize::from(waybill::read_waybill(root).is_some()),
        Op::Client => usize::from(probe::read_client(root).is_some()),
        Op::StatusReq | Op::CommitLastStatus => {
            let rows = root.children("order").map(statusreq::read_status_row);
            return match rows
                .fold((0, 0), |(good, bad), row| if row.is_ok() { (good + 1, bad) } else { (good, bad + 1) })
            {
                (0, 0) => "none",
                (_, 0) => "rows",
                (0, _) => "poison",
                _ => "mixed",
            };
        }
    };
    ["none", "one", "rows"][count.min(2)]
}

fn stream(body: &[u8], piece: usize) -> String {
    let mut reader = RowReader::new(Op::StatusReq, LIMIT);
    let ended = body
        .chunks(piece)
        .try_for_each(|chunk| reader.push(&Bytes::copy_from_slice(chunk)))
        .and_then(|()| reader.finish());
    let (mut good, mut bad) = (0, 0);
    while let Some(row) = reader.pop() {
        match row {
            Row::Ok(..) => good += 1,
            _ => bad += 1,
        }
    }
    format!("{} {good} {bad}", ended.as_ref().map_or_else(MeasoftError::outcome, |()| "whole"))
}

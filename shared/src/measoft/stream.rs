//! Answers of `statusreq` read row by row in bounded memory: the first `ONLY_LAST` of an
//! account can hold every order it ever had (protocols/measoft.md#changes).

mod lexer;
pub(crate) mod reader;
mod row;

use std::collections::VecDeque;

use crate::measoft::class::{Class, Verdict};
use crate::measoft::error::MeasoftError;
use crate::measoft::exchange::Incoming;
use crate::measoft::op::Op;
use crate::measoft::stream::reader::RowReader;
use crate::measoft::stream::row::Raw;

pub use row::{RawRow, Row};

/// The rows of one answer, in the order in which they were sent.
pub struct StatusStream {
    source: Source,
}

enum Source {
    Http(Box<(Incoming, RowReader)>),
    Given(VecDeque<Row>),
}

impl StatusStream {
    /// A stream without a server behind it, for tests and fakes of the port.
    pub fn of(rows: Vec<Row>) -> Self {
        Self { source: Source::Given(rows.into()) }
    }

    /// Reads until the first row or the end, so that an answer that is an error is one
    /// from the start.
    pub(crate) async fn begin(incoming: Incoming, op: Op, limit: u64) -> Result<Self, MeasoftError> {
        let mut both = Box::new((incoming, RowReader::new(op, limit)));
        let (incoming, rows) = both.as_mut();
        while rows.ready.is_empty() && !rows.done {
            advance(incoming, rows).await?;
        }
        Ok(Self { source: Source::Http(both) })
    }

    /// The next row; `None` after the last one of a complete answer.
    ///
    /// # Errors
    /// [`MeasoftError`] when the answer breaks off or turns out to be an error. Nothing of
    /// it may be acknowledged then.
    pub async fn next(&mut self) -> Result<Option<RawRow>, MeasoftError> {
        match &mut self.source {
            Source::Given(rows) => Ok(rows.pop_front().map(|row| RawRow(Raw::Read(Box::new(row))))),
            Source::Http(both) => loop {
                let (incoming, rows) = both.as_mut();
                if let Some(row) = rows.ready.pop_front() {
                    return Ok(Some(row));
                }
                if rows.done {
                    incoming.finish(Ok(()));
                    return Ok(None);
                }
                advance(incoming, rows).await?;
            },
        }
    }

    /// Reports the exchange as failed for a reason that lies in a row.
    pub(crate) fn give_up(&mut self, error: MeasoftError) -> MeasoftError {
        if let Source::Http(both) = &mut self.source {
            both.0.finish(Err(&error));
        }
        error
    }
}

async fn advance(incoming: &mut Incoming, rows: &mut RowReader) -> Result<(), MeasoftError> {
    let step = match incoming.chunk().await {
        Ok(Some(chunk)) => rows.push(&chunk),
        Ok(None) => rows.finish(),
        Err(error) => Err(error),
    };
    if let Err(error) = &step {
        incoming.finish(Err(error));
    }
    step
}

impl std::fmt::Debug for StatusStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StatusStream")
    }
}

/// Whether a refusal says only that there is nothing to report
/// (protocols/measoft.md#general-table).
pub(crate) fn means_nothing_found(error: &MeasoftError) -> bool {
    matches!(error, MeasoftError::Refused { verdict: Verdict { class: Class::NotFound, .. }, .. })
}

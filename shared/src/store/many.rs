//! Several rows in one statement: a round trip costs more than a row.
//!
//! Few different lengths are used, so that the statements are found prepared.

const LENGTHS: [usize; 3] = [32, 8, 1];

/// The rows in order, in pieces of a few fixed lengths.
pub fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = LENGTHS.into_iter().find(|length| *length <= rows.len())?;
        let (piece, rest) = rows.split_at(length);
        rows = rest;
        Some(piece)
    })
}

/// `($1, $2), ($3, $4)` for two rows of two columns.
pub fn values(rows: usize, columns: usize) -> String {
    let row = |n: usize| format!("({})", places(n * columns + 1, columns));
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// Numbers as the inside of an `IN (…)`.
pub(crate) fn ids<T: std::fmt::Display>(ids: impl IntoIterator<Item = T>) -> String {
    ids.into_iter().map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}

/// `$3, $4` for two places from the third on.
pub(crate) fn places(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_piece_and_their_order_stays() {
        for count in [0, 1, 7, 8, 9, 31, 32, 75] {
            let rows: Vec<usize> = (0..count).collect();
            assert_eq!(pieces(&rows).flatten().copied().collect::<Vec<_>>(), rows);
            assert!(pieces(&rows).all(|piece| LENGTHS.contains(&piece.len())));
        }
    }

    #[test]
    fn places_are_numbered_through() {
        assert_eq!(values(2, 3), "($1, $2, $3), ($4, $5, $6)");
    }
}

//! Everything at once, from one database into another: a move, a backup, its return.

pub mod backup;
mod ends;
pub mod move_to;
pub mod restore;

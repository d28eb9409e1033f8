//! An integration that is a shadow of another one: what it would have done is laid beside what is
//! at MeaSoft, and once it goes live it takes over what is there. Reads only, until then.

mod ask;
mod judge;
mod move_in;
#[cfg(test)]
mod move_in_stories;
mod run;
#[cfg(test)]
mod stories;
mod strangers;

pub use self::run::run;

//! What the operator is told, the same by the command and on the pages: what is asked of the
//! store, what it comes to, and the words for it.

pub mod acts;
pub mod causes;
pub mod compared;
pub mod corrected;
pub mod moments;
pub mod overview;
pub mod previewed;
pub mod replaying;
pub mod shadow;
pub mod spending;
pub mod story;
pub mod told;
pub mod why;
pub mod words;

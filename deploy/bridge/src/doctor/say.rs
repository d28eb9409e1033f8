//! What one integration is told: findings that bear no id yet.

use super::{Area, Finding};

#[derive(Default)]
pub struct Say(pub(super) Vec<Finding>);

impl Say {
    pub(super) fn ok(&mut self, what: impl Into<String>) {
        self.0.push(Finding::ok(Area::Integration, what));
    }

    pub fn warning(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding::warning(Area::Integration, what, remedy));
    }

    pub fn error(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding::error(Area::Integration, what, remedy));
    }
}

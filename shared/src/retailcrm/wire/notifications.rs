//! Notifications of RetailCRM's users (protocols/retailcrm.md#notifications).

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum NotificationKind {
    #[serde(rename = "api.info")]
    Info,
    #[serde(rename = "api.error")]
    Error,
}

/// What users of some groups are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    #[serde(rename = "type")]
    pub kind: NotificationKind,
    /// HTML: what is no markup has to be escaped.
    pub message: String,
    /// Codes of groups; never none.
    pub user_groups: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_written_as_the_official_client_writes_it() {
        let notification = Notification {
            kind: NotificationKind::Info,
            message: "<p>some notification</p>".into(),
            user_groups: vec!["superadmins".into()],
        };
        assert_eq!(
            serde_json::to_value(&notification).expect("JSON"),
            serde_json::json!({
                "type": "api.info", "message": "<p>some notification</p>", "userGroups": ["superadmins"]
            })
        );
    }
}

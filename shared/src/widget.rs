//! The order card's widget: what RetailCRM is told of it, and the folder it is served from.
//! Built from `ingress/widget`.

use std::path::Path;

/// Below it lies what RetailCRM loads: [`SCRIPT`], [`STYLESHEET`]; itself it is a page that names both.
pub const ENTRYPOINT: &str = "/retailcrm/extension/measoft";
pub const SCRIPT: &str = "script";
pub const STYLESHEET: &str = "stylesheet";

/// Where in an order it is shown (@retailcrm/embed-ui-v1-endpoint, `common/targets`): the order's
/// card, and its form beside a chat.
pub const TARGETS: [&str; 2] = ["order/card:delivery.after", "order/mg:delivery.after"];
/// Code of its page of failures.
pub const PAGE: &str = "measoft-failures";

/// Name and media type of the files of the folder; each lies there as `NAME.gz` too.
pub const FILES: [(&str, &str); 2] =
    [("widget.js", "text/javascript; charset=utf-8"), ("widget.css", "text/css; charset=utf-8")];

/// Whether a folder holds a built widget.
pub fn is_built(folder: &Path) -> bool {
    FILES.iter().all(|(name, _)| folder.join(name).is_file() && folder.join(format!("{name}.gz")).is_file())
}

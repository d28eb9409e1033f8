//! RetailCRM's API v5.

//! The contract both queue adapters must keep, as a suite of async functions.

//! What goes over the wire, one file per family of requests, in the vendor's spelling.
//! Writing is strict (one deterministic form), reading is tolerant (protocols/measoft.md#envelope).

pub mod calculator;
pub mod cancelorder;
pub mod document;
pub mod element;
pub mod lists;
pub mod neworder;
pub mod probe;
pub mod statusreq;
pub mod value;
pub mod waybill;

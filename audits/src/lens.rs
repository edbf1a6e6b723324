//! The IoT Lens review: 71 best practices, each judged from evidence or answered by a person
//! (`iot-lens.md`). What no source knows is unanswered, with the reason; it never counts as met.
//!
//! ```text
//! findings ─┐
//! settings ─┤
//! registry ─┼─▶ Evidence ─▶ evaluate ─▶ figures, verdict ─┐
//! events ───┤                                             ├─▶ review::join ─▶ report
//! server ───┘        review file ─▶ answers ──────────────┘
//! ```
//!
//! Everything here is a pure function; files, clock and network belong to the caller.

pub mod asked;
pub mod difference;
pub mod evaluate;
pub mod evidence;
pub mod figure;
pub mod findings;
pub mod practice;
pub mod question;
pub mod report;
pub mod review;
pub mod review_file;
pub mod stream;
pub mod template;

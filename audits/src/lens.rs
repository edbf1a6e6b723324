//! The IoT Lens review: 71 best practices, each judged from evidence or answered by a person
//! (`iot-lens.md`). What no source knows is unanswered, with the reason; it never counts as met.

pub mod practice;
pub mod review;

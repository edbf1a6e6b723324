//! The engine through its public doors.

mod attribution;
mod fold;
mod journal;
mod resume;
mod runner;
mod same;
mod support;

//! The history through its public face.

mod crash;
mod model;
mod retention;
mod support;
mod values;

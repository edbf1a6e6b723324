//! What led to an alarm: [`gather`] finds what is stored about it, [`events`] what the entity did in
//! the journal, [`series`] the metric's values around it; [`chart`] draws them and [`report`] puts all
//! into words.

pub mod chart;
pub mod events;
pub mod gather;
pub mod report;
pub mod series;

//! Response: mitigation actions, guard rails, tasks and undo; alert delivery
//! through a durable outbox.

pub mod control;

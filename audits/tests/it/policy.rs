//! The verdicts that the policy analysis must reach.

mod aws_verdicts;
mod brokers;
mod golden;
mod mutations;
mod sheet;

//! Certificates of recorded corpora and of fixtures, through the public interface of `audits`.

mod corpora;
mod checks;
mod facts;
mod fleet;
mod keys;
mod pkits;
mod support;

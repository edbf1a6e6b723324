//! Certificates of recorded corpora and of fixtures, through the public interface of `audits`.

mod corpora;
mod facts;
mod keys;
mod pkits;
mod support;

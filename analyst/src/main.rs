//! stub
use polars as _;
fn main() {}

//! The worker as the engine starts it: a request on standard input, answers on standard output. What
//! it writes is read back by Arrow's Python package as well, which shares no code with polars.

#[cfg(test)]
mod events;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod records;
#[cfg(test)]
mod support;

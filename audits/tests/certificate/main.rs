//! Certificates of recorded corpora and of fixtures, through the public interface of `audits`.

#[cfg(test)]
mod checks;
#[cfg(test)]
mod corpora;
#[cfg(test)]
mod facts;
#[cfg(test)]
mod fleet;
#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "lengths are split into their octets")]
mod keys;
#[cfg(test)]
mod pkits;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod support;
#[cfg(test)]
mod zlint;

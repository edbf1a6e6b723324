//! The history through its public face.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod model;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod support;
#[cfg(test)]
mod values;

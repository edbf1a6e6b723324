//! The engine through its public doors.

#[cfg(test)]
mod attribution;
#[cfg(test)]
mod collect;
#[cfg(test)]
mod entities;
#[cfg(test)]
mod evidence;
#[cfg(test)]
mod fold;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod journal_blocks;
#[cfg(test)]
mod journal_old;
#[cfg(test)]
mod learned;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod runner;
#[cfg(test)]
mod same;
#[cfg(test)]
mod support;
#[cfg(test)]
mod violating;
#[cfg(test)]
mod walk;

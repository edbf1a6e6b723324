//! `fleetward check`.

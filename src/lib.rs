//! fleetward

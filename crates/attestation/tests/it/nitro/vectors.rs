//! Cases that every implementation reads.

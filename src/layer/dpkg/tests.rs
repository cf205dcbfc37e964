//! Contract of the package database.
use super::*;

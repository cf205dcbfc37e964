//! Contract of the generators.
use super::*;

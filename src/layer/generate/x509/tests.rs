//! Contract of the certificate reader; the oracle is the `openssl` command.
use super::*;

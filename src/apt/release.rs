//! InRelease files: signature, identity, validity, index digests.

//! Conductor: Definition and Lock to finished image.

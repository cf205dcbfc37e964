//! Layers to image.

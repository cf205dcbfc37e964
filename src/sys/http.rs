//! HTTP downloads with retry, timeout, size limit, resume, and an offline switch.

//! What is due: rebuild cadence, age, end of life.

//! Lock to verified packages in the store, in parallel, resumable.

//! What happened, told to others: Git checkouts, webhooks, metrics.

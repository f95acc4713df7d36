"""Where bytes live: one abstract store, one file per backend."""

"""Where the state of jobs lives: one abstract store, one file per backend."""

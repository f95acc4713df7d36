"""What API and worker share: job spec, status, records, stores, artifacts, inspection and settings."""

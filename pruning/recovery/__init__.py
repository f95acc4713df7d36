"""Getting the accuracy back: statistics, reconstruction, fine-tuning."""

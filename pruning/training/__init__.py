"""Everything that needs samples and an optimizer: `data`, `batches`, `compiling`, `freezing`, and `recovery`."""

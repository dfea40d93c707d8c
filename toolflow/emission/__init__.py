"""Plan to files: configuration package, memory images, golden vectors."""

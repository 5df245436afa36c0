"""Users' files: images, photo pipelines, style datasets."""

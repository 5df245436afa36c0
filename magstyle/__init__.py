"""Fast, multi-style image stylisation in Keras 3, the successor of Magenta's image_stylization."""

__version__ = "0.1.0"

"""The networks: the style transformer and the VGG loss network. Keras alone, on any backend."""

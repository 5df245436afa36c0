"""The network as LiteRT graphs, written from its weights."""

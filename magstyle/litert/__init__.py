"""The network as LiteRT graphs, written operation by operation from its weights.

The way in is `runtime`, for images of any size, and `tiles`, for those that need more memory than there is. `network`
draws the whole network and `stages` parts of it, on a `graph`.
"""

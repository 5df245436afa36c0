"""Methods that optimise the pixels of one picture."""

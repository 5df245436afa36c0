"""Whole datasets of photos, painted on many machines.

The way in is `dataset_files`; the work is done by `beam_pipeline`, on Apache Beam.
"""

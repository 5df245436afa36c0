"""The programs, one module for each: its flags, and one call into the library.

Importing one does nothing; its `run` is what the launchers in bin/ and the console scripts call.
"""

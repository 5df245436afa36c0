"""The programs, one per job; installed as magstyle.bin, so that console scripts can call them."""

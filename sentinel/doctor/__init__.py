"""What is wrong with this machine, its libraries and the configured services, and how to mend it."""

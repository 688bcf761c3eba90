"""What runs on this machine and what it uses, read from /proc; and control groups, which limit it."""

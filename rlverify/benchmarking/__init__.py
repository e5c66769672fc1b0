"""How fast functions are: `rlverify compare`, `rlverify bench`; nothing wrong is ever timed."""

"""Training loops on the suite's own functions, and what `rlverify train` does with them."""
